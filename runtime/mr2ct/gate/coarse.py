"""A volume in cells that are quickly looked at: along its own axes, and along the patient's.

The gate looks at shapes and contrasts of many millimetres, so a head is 100,000 cells to it instead of millions of
voxels. No step knows a first or a last end of an axis of the volume: the same head in another order of voxels gives the
same cells, to rounding.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.cells import coarsened
from mr2ct.grid import Grid
from mr2ct.head import Mask
from mr2ct.model_grid import head_box, to_model_grid
from mr2ct.volume import Volume

CELL_MM = 3.0  # along the volume's own axes; a scalp of 6 mm is two of them
UPRIGHT_MM = 4.0  # along the patient's axes
DARK, BRIGHT = 0.5, 99.5  # percentiles of the head's cells that become 0 and 1; the brightest are fat and flow
FLAT = 1e-6  # of the brightest signal: less contrast is none

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """A volume in cells. signal: (k, j, i) float32, 0 the head's darkest and 1 its brightest, not clipped.

    head: (k, j, i) bool.  grid: of the cells, LPS mm.
    """

    signal: Field
    head: Mask
    grid: Grid

    @property
    def mm(self) -> tuple[float, float, float]:
        """Size of a cell along k, j, i."""
        i, j, k = self.grid.spacing
        return k, j, i


def own_cells(mr: Volume, head: Mask) -> tuple[Cells, tuple[float, float]]:
    """The volume in cells along its own axes, and the signal, in scanner units, that is 0 and 1 in them.

    mr: (k, j, i), finite.  head: likewise, not empty.
    """
    values, mm = coarsened(mr.voxels, mr.grid.spacing[::-1], CELL_MM)
    spacing = (float(mm[2]), float(mm[1]), float(mm[0]))
    first = mr.grid.points((np.array(spacing) / mr.grid.spacing - 1) / 2)
    k, j, i = values.shape
    grid = Grid((i, j, k), spacing, (float(first[0]), float(first[1]), float(first[2])), mr.grid.direction)
    inside = _sampled(head, mr.grid, grid) > 0.5
    low, high = np.percentile(values[inside] if inside.any() else values, (DARK, BRIGHT)).tolist()
    signal = (values - np.float32(low)) / np.float32(max(high - low, FLAT * abs(high), np.finfo(np.float32).tiny))
    return Cells(signal.astype(np.float32, copy=False), inside, grid), (low, high)


def upright_cells(cells: Cells) -> Cells:
    """The head in cells of UPRIGHT_MM along the patient's axes, (k, j, i) to superior, posterior and left.

    One cell of air is around it; the signal is clipped to 0 to 1, and 0 outside the head.
    """
    low, high = head_box(cells.grid, cells.head)
    i, j, k = (int(n) for n in np.ceil((high - low) / UPRIGHT_MM) + 3)
    middle = (low + high) / 2 - (np.array((i, j, k)) - 1) / 2 * UPRIGHT_MM
    origin = (float(middle[0]), float(middle[1]), float(middle[2]))
    grid = Grid((i, j, k), (UPRIGHT_MM,) * 3, origin, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    head = to_model_grid(Volume(cells.head.view(np.uint8), cells.grid), grid, outside=0) > 0.5
    signal = to_model_grid(Volume(cells.signal, cells.grid), grid, outside=0)
    return Cells(np.where(head, np.clip(signal, 0, 1), np.float32(0)), head, grid)


def _sampled(head: Mask, of: Grid, at: Grid) -> Field:
    """A mask, 0 to 1, linearly interpolated at the middles of cells; ITK looks at no more voxels than it needs."""
    image = of.image(np.ascontiguousarray(head).view(np.uint8))
    sampled = sitk.Resample(
        image, at.size, sitk.Transform(), sitk.sitkLinear, at.origin, at.spacing, at.direction, 0.0, sitk.sitkFloat32
    )
    values: Field = sitk.GetArrayFromImage(sampled)
    return values


def nearest_axes(grid: Grid) -> tuple[tuple[int, bool], tuple[int, bool], tuple[int, bool]]:
    """For x, y and z the index axis (0 is i) that runs nearest along it, and whether it runs the other way."""
    cosines = grid.axes
    order = max(itertools.permutations(range(3)), key=lambda axes: sum(abs(cosines[d, a]) for d, a in enumerate(axes)))
    x, y, z = ((axis, bool(cosines[direction, axis] < 0)) for direction, axis in enumerate(order))
    return x, y, z
