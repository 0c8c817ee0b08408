"""Which cells of a mask hang together, by face: found among runs of cells along the last axis.

A mask of a head has a hundred times as many cells as runs, and ITK's labels, four bytes a cell, took longer to look at
than to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Numbers = NDArray[np.integer[Any]]


def largest(mask: Mask) -> Mask:
    """The largest piece of the mask (k, j, i); nothing of an empty one."""
    runs = _Runs.of(mask)
    if not len(runs.starts):
        return mask
    cells = runs.cells()
    return runs.painted(runs.pieces == cells.argmax())


def without_small(mask: Mask, least: float) -> Mask:
    """The mask (k, j, i) without pieces of fewer than `least` cells."""
    runs = _Runs.of(mask)
    return runs.painted(runs.cells()[runs.pieces] >= least)


def filled(mask: Mask, axis: int) -> Mask:
    """The mask (k, j, i) with the holes in each of its planes across `axis` filled."""
    planes = np.moveaxis(mask, axis, 0)
    count, rows, columns = planes.shape
    air = np.ones((count, rows + 2, columns + 2), np.bool_)  # around each plane, and so from plane to plane
    np.logical_not(planes, out=air[:, 1:-1, 1:-1])
    runs = _Runs.of(air.reshape(1, -1, columns + 2))
    outside = runs.painted(runs.pieces == 0).reshape(air.shape)
    return np.ascontiguousarray(np.moveaxis(~outside[:, 1:-1, 1:-1], 0, axis))


@dataclass(frozen=True)
class _Runs:
    """The runs of True cells along the last axis of a mask, in the order of the array, and their pieces.

    shape: of the mask.  starts, ends: (runs,) places in the mask with a False cell, row and plane behind each axis.
    pieces: (runs,) the first run of the piece that a run belongs to.
    """

    shape: Sequence[int]
    starts: Numbers
    ends: Numbers
    pieces: Numbers

    @classmethod
    def of(cls, mask: Mask) -> _Runs:
        planes, rows, columns = mask.shape
        room = np.zeros((planes, rows + 1, columns + 1), np.bool_)
        room[:, :-1, :-1] = mask
        flat = room.reshape(-1)
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        if flat[0]:
            edges = np.concatenate([[0], edges])
        starts, ends = edges[::2], edges[1::2]
        steps = [columns + 1, (rows + 1) * (columns + 1)][: 1 if planes == 1 else 2]
        touching = [_touching(starts, ends, step) for step in steps]
        ones, others = (np.concatenate(numbers) for numbers in zip(*touching, strict=True))
        return cls(mask.shape, starts, ends, _joined(len(starts), ones, others))

    def cells(self) -> NDArray[np.float64]:
        """(runs,) how many cells the piece has whose first run this is, 0 for other runs."""
        lengths = (self.ends - self.starts).astype(np.float64)
        return np.asarray(np.bincount(self.pieces, lengths, len(self.starts)), np.float64)

    def painted(self, kept: Mask) -> Mask:
        """The mask of some runs, (runs,) bool, alone."""
        planes, rows, columns = self.shape
        edges = np.column_stack([self.starts, self.ends]).ravel()
        lengths = np.diff(edges, prepend=0, append=planes * (rows + 1) * (columns + 1))
        flags = np.zeros(len(lengths), np.bool_)  # of the runs and of what lies before, between and behind them
        flags[1::2] = kept
        return np.repeat(flags, lengths).reshape(planes, rows + 1, columns + 1)[:, :-1, :-1]


def _touching(starts: Numbers, ends: Numbers, step: int) -> tuple[Numbers, Numbers]:
    """Pairs of runs, (pairs,) and (pairs,), of which the second has a cell `step` places behind one of the first."""
    first = np.searchsorted(ends, starts + step, side="right")
    counts = np.searchsorted(starts, ends + step, side="left") - first
    ones = np.repeat(np.arange(len(starts)), counts)
    return ones, np.arange(len(ones)) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def _joined(count: int, ones: Numbers, others: Numbers) -> Numbers:
    """For each of `count` runs the first run that it hangs together with, by pairs that touch."""
    root = np.arange(count)
    while len(ones):
        root[np.maximum(ones, others)] = np.minimum(ones, others)
        while not np.array_equal(further := root[root], root):
            root = further
        ones, others = root[ones], root[others]
        apart = ones != others
        ones, others = ones[apart], others[apart]
    return root
