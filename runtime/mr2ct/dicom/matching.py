"""Is a volume the one that a DICOM series holds?"""

from __future__ import annotations

import itertools

import numpy as np

from mr2ct.dicom.axial import nearest
from mr2ct.dicom.ct_text import one_line
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import plain
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.volume import Volume

SAME_PLACE_MM = 0.01  # of a voxel; float32 in NIfTI is 1e-4 mm off at most, another scan or a resampled one millimetres
WAY_OUT = "give the volume that was converted from this very series, neither resampled nor cropped nor registered"


def refuse_another_place(volume: Volume, series: MrSeries) -> None:
    """Raise VolumeError unless the volume lies on the series' own grid.

    Its axes may be in any order and direction, left-handed too, as converters leave them; every voxel's patient
    coordinates must be those of a voxel of the series within SAME_PLACE_MM. What the voxels hold is not compared.
    """
    theirs = series.volume.grid
    mine = nearest(volume.grid, theirs.axes, handed=False).grid(volume.grid)
    name = f"series {one_line(plain(series.header, 'SeriesInstanceUID'))}"
    if mine.size != theirs.size:
        raise VolumeError(
            f"the volume is not the one of {name}: {_size(mine)} voxels along the axes of the series, which has "
            f"{_size(theirs)}; {WAY_OUT}"
        )
    apart = _apart(mine, theirs)
    if not apart <= SAME_PLACE_MM:
        raise VolumeError(
            f"the volume does not lie where {name} does: up to {apart:.3g} mm apart, {SAME_PLACE_MM} mm are allowed; "
            f"{WAY_OUT}"
        )


def _size(grid: Grid) -> str:
    return " x ".join(map(str, grid.size))


def _apart(one: Grid, other: Grid) -> float:
    """Mm, the most that two grids of one size place a voxel apart: at a corner, since both are affine."""
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in one.size))))
    return float(np.linalg.norm(one.points(corners) - other.points(corners), axis=1).max())
