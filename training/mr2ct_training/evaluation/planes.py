"""Three pictures out of a volume, so that a report needs no volume: sagittal, axial and coronal, upright, in true mm.

They are cut along the patient's axes whatever the volume's own, and lie as radiologists look at them: superior is up;
sagittal with the face to the left; axial from below and coronal from the front, so the patient's right is at the left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct.grid import Grid
from mr2ct.intensity import AIR_HU
from mr2ct.model_grid import from_model_grid, head_box
from mr2ct.volume import Volume

PIXEL_MM = 0.8  # a head is then 250 to 300 pixels wide, and a plane of HU 0.15 MB
MARGIN_MM = 8.0  # around the mask
COARSE_MM = 3.0  # the mask's area is measured slice by slice, so far apart
NEARLY = 0.95  # slices of so much of the largest area count as filled best; their middle is taken, near the midline

Cut = Literal["sagittal", "axial", "coronal"]
Cuts = Mapping[Cut, NDArray[Any]]  # each (rows, columns)
View = Mapping[Cut, Grid]  # each of one slice

CUTS: tuple[Cut, ...] = ("sagittal", "axial", "coronal")
ACROSS: dict[Cut, int] = {"sagittal": 0, "axial": 2, "coronal": 1}  # the LPS axis a cut stands on
# to which side columns and rows run: LPS axis and sign
TOWARDS: dict[Cut, tuple[tuple[int, int], tuple[int, int]]] = {
    "sagittal": ((1, 1), (2, -1)),  # to Posterior, to Inferior
    "axial": ((0, 1), (1, 1)),  # to the patient's Left, to Posterior
    "coronal": ((0, 1), (2, -1)),  # to the patient's Left, to Inferior
}
MARKS: dict[Cut, tuple[str, str]] = {"sagittal": ("A", "P"), "axial": ("R", "L"), "coronal": ("R", "L")}


@dataclass(frozen=True)
class Planes:
    """What the pictures of one synthetic CT need, on the pixels of view.

    synthetic, reference: int16 HU.  mask: bool.  mr, cycled: float32, scanner units, None where the table gives none.
    mr_limits: the MR's range in the mask, scanner units; None without an MR.
    """

    view: View
    synthetic: Cuts
    reference: Cuts
    mask: Cuts
    mr: Cuts | None = None
    cycled: Cuts | None = None
    mr_limits: tuple[float, float] | None = None


def view_of(mask: NDArray[np.bool_], grid: Grid) -> View:
    """The planes through a mask, (k, j, i) on its grid, not empty: each where it fills most, all of one box."""
    low, high = head_box(grid, mask)
    middle = _fullest(mask, grid, low, high)
    low, high = low - MARGIN_MM, high + MARGIN_MM
    return {cut: _plane(cut, low, high, middle) for cut in CUTS}


def cut_hu(ct: Volume, view: View) -> Cuts:
    """The planes of a CT, int16 HU; air beyond its voxels."""
    return {
        name: np.rint(np.clip(plane, -32768, 32767)).astype(np.int16)
        for name, plane in cut_values(ct, view, AIR_HU).items()
    }


def cut_mask(mask: NDArray[np.bool_], grid: Grid, view: View) -> Cuts:
    """The planes of a mask, bool."""
    planes = cut_values(Volume(mask.astype(np.uint8), grid), view, 0)
    return {name: plane >= 0.5 for name, plane in planes.items()}


def cut_values(volume: Volume, view: View, outside: float) -> dict[Cut, NDArray[np.float32]]:
    """The planes of a volume, linearly interpolated, (rows, columns) float32; outside: the value beyond its voxels."""
    return {name: from_model_grid(volume.voxels, volume.grid, plane, outside)[0] for name, plane in view.items()}


def _fullest(
    mask: NDArray[np.bool_], grid: Grid, low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(3,) LPS mm: on each axis the middle of the slices that the mask fills best, on the volume's nearest slice."""
    x, y, z = (max(1, math.ceil(n)) for n in (high - low) / COARSE_MM)
    first = (low + high) / 2 - (np.array([x, y, z]) - 1) / 2 * COARSE_MM
    coarse = Grid(
        (x, y, z), (COARSE_MM,) * 3, (float(first[0]), float(first[1]), float(first[2])), (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    inside = from_model_grid(mask.astype(np.uint8), grid, coarse, 0) >= 0.5
    middle = np.zeros(3)
    for axis in range(3):
        area = inside.sum(axis=tuple(a for a in range(3) if a != 2 - axis))
        best = np.flatnonzero(area >= NEARLY * area.max())
        middle[axis] = first[axis] + (best[0] + best[-1]) / 2 * COARSE_MM
    return np.array([_on_a_slice(grid, middle, axis) for axis in range(3)])


def _on_a_slice(grid: Grid, point: NDArray[np.float64], axis: int) -> float:
    """The point's LPS coordinate, mm, moved to the nearest slice of the volume, so that nothing is interpolated."""
    index = (point - grid.origin) @ grid.axes / grid.spacing
    nearest = int(np.abs(grid.axes[axis]).argmax())
    index[nearest] = round(index[nearest])
    return float(grid.points(index)[axis])


def _plane(cut: Cut, low: NDArray[np.float64], high: NDArray[np.float64], middle: NDArray[np.float64]) -> Grid:
    """The box from low to high, LPS mm, cut at middle: a grid of one slice, pixels of PIXEL_MM."""
    origin = middle.copy()
    size, axes = [], []
    for axis, sign in TOWARDS[cut]:
        count = math.ceil((high[axis] - low[axis]) / PIXEL_MM) + 1
        origin[axis] = (low[axis] + high[axis]) / 2 - sign * (count - 1) / 2 * PIXEL_MM
        size.append(count)
        axes.append(sign * np.eye(3)[axis])
    a, b, c, d, e, f, g, h, i = np.column_stack([*axes, np.cross(*axes)]).ravel().tolist()
    x, y, z = origin.tolist()
    return Grid((size[0], size[1], 1), (PIXEL_MM, PIXEL_MM, 1.0), (x, y, z), (a, b, c, d, e, f, g, h, i))
