"""How large voxels, field of view and head are, and where the head is cut off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.gate.coarse import Cells, nearest_axes
from mr2ct.volume import Volume

TOP_MM = 130.0  # from the vertex down: the head without neck and shoulders
END_CM3 = 30.0  # 10 mm of a ball of 90 mm radius: deeper than the doubt of a cell, shallower than a nose is long
SIDES = (("right", "left"), ("front", "back"), ("bottom", "top"))  # low and high end of x, y and z


def extents(mr: Volume, upright: Cells) -> dict[str, float]:
    """The millimetres of SCALARS. The breadth and length of the head are those of its upper TOP_MM."""
    spacing, field = mr.grid.spacing, mr.grid.extent
    k, j, i = upright.mm
    levels = np.flatnonzero(upright.head.any(axis=(1, 2)))
    top = upright.head[max(0, levels[-1] + 1 - round(TOP_MM / k)) :]
    return {
        "finest_mm": min(spacing),
        "coarsest_mm": max(spacing),
        "field_right_left_mm": float(field[0]),
        "field_front_back_mm": float(field[1]),
        "field_height_mm": float(field[2]),
        "head_right_left_mm": i * np.count_nonzero(top.any(axis=(0, 1))),
        "head_front_back_mm": j * np.count_nonzero(top.any(axis=(0, 2))),
        "head_height_mm": k * len(levels),
    }


def ends(own: Cells) -> dict[str, float]:
    """cm² of the head across each of the volume's own axes, where END_CM3 of it lie beyond; the neck's end is left out.

    A head that is whole is round at its ends, 30 to 90 cm²; one that is cut is flat there, whether the volume ends or
    was filled up.
    """
    found = {}
    for (axis, reversed_), names in zip(nearest_axes(own.grid), SIDES, strict=True):
        along = 2 - axis  # of the array
        mm = own.grid.spacing
        face = mm[0] * mm[1] * mm[2] / mm[axis] / 100  # cm²
        areas = own.head.sum(axis=tuple(a for a in range(3) if a != along)) * face
        two = (_end(areas, mm[axis]), _end(areas[::-1], mm[axis]))
        for name, area in zip(names, two[::-1] if reversed_ else two, strict=True):
            found[f"cut_{name}_cm2"] = area
    del found["cut_bottom_cm2"]
    return found


def _end(areas: NDArray[np.float64], mm: float) -> float:
    """The area behind which END_CM3 lie, by areas (cm²) of cells from an end on, each so many mm deep."""
    volumes = areas * mm / 10
    return float(np.interp(END_CM3, volumes.cumsum() - volumes / 2, areas))
