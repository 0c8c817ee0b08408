"""Growing a mask cell by cell, 64 cells at a time.

A row of cells is a row of bits, so a step is an OR with the neighbours' rows and with the row itself, shifted by a bit.
The mask of a head at 1.5 mm is half a megabyte then, which a core's cache holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Bits = NDArray[np.uint64]  # (words, k, j): 64 cells of a row a word, the first in its lowest bit
WORD, ONE, LAST = 64, np.uint64(1), np.uint64(63)


def closed(mask: Mask, mm: Sequence[float], radius_mm: float) -> Mask:
    """The mask and all that a ball rolling outside it cannot touch; beyond the volume the ball is free."""
    margins = [math.ceil(radius_mm / cell) for cell in mm]
    room = np.pad(mask, [(margin, margin) for margin in margins])
    shut = ~grown(~grown(room, mm, radius_mm), mm, radius_mm)
    return shut[tuple(slice(margin, margin + size) for margin, size in zip(margins, mask.shape, strict=True))]


def grown(mask: Mask, mm: Sequence[float], radius_mm: float, through: Mask | None = None) -> Mask:
    """The mask (k, j, i) and all within the radius of it; with `through`, what it reaches by steps inside that mask.

    mm: size of a cell along each axis.  Each step is one of the finest cells: an octahedron and a cube by turns,
    together nearly a ball.
    """
    finest = min(mm)
    bits, passable = _packed(mask), None if through is None else _packed(through)
    for turn in range(1, max(1, round(radius_mm / finest)) + 1):
        moving = [axis for axis in range(3) if turn % max(1, round(mm[axis] / finest)) == 0]
        for axes in [moving] if turn % 2 else [[axis] for axis in moving]:
            larger = bits.copy()
            for axis in axes:
                _add_neighbours(larger, bits, axis)
            if passable is not None:
                larger &= passable
                larger |= bits
            bits = larger
    return _unpacked(bits, mask.shape[2])


def _add_neighbours(to: Bits, of: Bits, axis: int) -> None:
    """Bits beyond the end of a row grow too; that adds nothing to the row, which is convex."""
    if axis == 2:
        to |= of << ONE
        to |= of >> ONE
        to[1:] |= of[:-1] >> LAST
        to[:-1] |= of[1:] << LAST
    else:
        into, came = np.moveaxis(to, axis + 1, 0), np.moveaxis(of, axis + 1, 0)
        into[1:] |= came[:-1]
        into[:-1] |= came[1:]


def _packed(mask: Mask) -> Bits:
    k, j, i = mask.shape
    octets = np.zeros((k, j, math.ceil(i / WORD) * WORD // 8), np.uint8)
    octets[..., : math.ceil(i / 8)] = np.packbits(mask, axis=2, bitorder="little")
    return np.ascontiguousarray(np.moveaxis(octets.view("<u8"), 2, 0))


def _unpacked(bits: Bits, columns: int) -> Mask:
    octets = np.ascontiguousarray(np.moveaxis(bits, 0, 2)).view(np.uint8)
    return np.unpackbits(octets, axis=2, count=columns, bitorder="little").view(np.bool_)
