"""How large voxels, field of view and head are, and where the head is cut off."""

from __future__ import annotations

import numpy as np

from mr2ct.gate.coarse import Cells, nearest_axes
from mr2ct.volume import Volume

TOP_MM = 130.0  # from the vertex down: the head without neck and shoulders
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
    """cm² that the head has one cell before each of its ends, along the volume's own axes; the neck's is left out.

    A head that is whole is round at its ends. One that is cut is flat there, whether the volume ends or was filled up.
    """
    found = {}
    for (axis, reversed_), names in zip(nearest_axes(own.grid), SIDES, strict=True):
        across = tuple(a for a in range(3) if a != 2 - axis)
        face = own.grid.spacing[2 - across[0]] * own.grid.spacing[2 - across[1]]
        areas = own.head.sum(axis=across) * face / 100
        filled = np.flatnonzero(areas)
        low, high = (float(areas[filled[min(1, len(filled) - 1)]]), float(areas[filled[max(-2, -len(filled))]]))
        for name, area in zip(names, (high, low) if reversed_ else (low, high), strict=True):
            found[f"cut_{name}_cm2"] = area
    del found["cut_bottom_cm2"]
    return found
