"""Do two volumes lie on the same voxels, and if not, may one be laid onto the other?"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from mr2ct.grid import Grid
from mr2ct.intensity import AIR_HU
from mr2ct.model_grid import from_model_grid
from mr2ct.volume import Volume

SAME_GRID_MM = 0.01  # a NIfTI's float32 geometry is off by 1e-4 mm; 0.01 mm at an edge of 1000 HU/mm are 10 HU


def difference(grid: Grid, other: Grid) -> str:
    """How the voxels of two grids lie apart, in words, or "" where all do within SAME_GRID_MM."""
    if grid.size != other.size:
        one, two = (" x ".join(str(n) for n in size) for size in (grid.size, other.size))
        return f"{one} voxels, not {two}"
    corners = np.array(list(itertools.product(*((0, n - 1) for n in grid.size))), dtype=np.float64)
    apart = float(np.linalg.norm(grid.points(corners) - other.points(corners), axis=1).max())
    return f"voxels up to {apart:.2f} mm away" if apart > SAME_GRID_MM else ""


def laid_onto(ct: Volume, grid: Grid) -> Volume:
    """A CT, HU, linearly interpolated onto another grid, float32; -1000 HU beyond its own voxels."""
    return Volume(from_model_grid(ct.voxels, ct.grid, grid, AIR_HU), grid)


def mask_laid_onto(mask: NDArray[np.bool_], of: Grid, grid: Grid) -> NDArray[np.bool_]:
    """A mask, (k, j, i) on its grid, on another grid: where the interpolated mask is at least a half."""
    if not difference(of, grid):
        return mask
    laid: NDArray[np.bool_] = from_model_grid(mask.astype(np.uint8), of, grid, 0) >= 0.5
    return laid
