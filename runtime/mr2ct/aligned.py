"""Linear interpolation between grids whose axes are parallel: a matrix along each axis, instead of a walk by points.

A voxel of the target is a product of three weights of two, so the volume is three products with matrices that are thin
bands (`bands.py`). That is faster than ITK's resampling, which it equals to float32's rounding (benchmarks/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.bands import COLUMNS, ROWS, along_columns, along_rows, in_blocks
from mr2ct.grid import Grid
from mr2ct.slabs import in_slabs

PARALLEL = 1e-6  # of a direction cosine: a quarter of a micrometre over a head
# voxels; a product costs as many operations as the axis is long, and beyond this ITK is the faster
LONGEST_AXIS = 512
PLANES = 8  # of the target, made at a time: what lies between two products stays in a core's cache


@dataclass(frozen=True)
class _Axis:
    """Weights (targets, sources) float32 along an axis; inside: (targets,) bool, where the source reaches."""

    weights: NDArray[np.float32]
    inside: NDArray[np.bool_]


def are_aligned(source: Grid, target: Grid) -> bool:
    """Whether each axis of one grid runs along an axis of the other, either way, and is short enough."""
    cosines = np.abs(source.axes.T @ target.axes)
    return bool((np.minimum(cosines, np.abs(1 - cosines)) < PARALLEL).all()) and max(source.size) <= LONGEST_AXIS


def resample_aligned(voxels: NDArray[Any], source: Grid, target: Grid, outside: float) -> NDArray[np.float32]:
    """Voxels (k, j, i) of one grid on another that is aligned with it, (k, j, i) float32.

    The source reaches half a voxel beyond its outer voxel centres, with the values it has there; farther out the value
    is outside. The voxels are finite.
    """
    along = np.abs(source.axes.T @ target.axes).argmax(axis=0)  # the source's axis along each of the target's
    i, j, k = (_axis(source, target, int(along[axis]), axis) for axis in range(3))
    given = np.transpose(voxels, [2 - int(along[axis]) for axis in (2, 1, 0)])
    rows = None if _is_same(j) else in_blocks(j.weights, ROWS)
    columns = None if _is_same(i) else in_blocks(i.weights, COLUMNS)
    result = np.empty(target.shape, np.float32)

    def fill(slab: slice) -> None:
        for start in range(slab.start, slab.stop, PLANES):
            planes = slice(start, min(start + PLANES, slab.stop))
            values = _mixed(given, k.weights[planes])
            if rows is not None:
                of, values = values, np.empty((len(values), target.shape[1], values.shape[2]), np.float32)
                along_rows(of, rows, values)
            there = result[planes]
            if columns is None:
                there[...] = values
            else:
                along_columns(values, columns, there)
            there[~k.inside[planes]] = outside
            there[:, ~j.inside] = outside
            there[:, :, ~i.inside] = outside

    in_slabs(fill, len(result))
    return result


def _mixed(given: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The planes of some rows of weights, (planes, ...) float32, a new array. given: (sources, ...)."""
    used = np.flatnonzero(weights.any(axis=0))
    sources = slice(int(used[0]), int(used[-1]) + 1)
    if (weights.max(axis=1) >= 1 - PARALLEL).all():  # each lies on a source
        return np.ascontiguousarray(given[weights.argmax(axis=1)], np.float32)
    return np.tensordot(weights[:, sources], np.ascontiguousarray(given[sources], np.float32), axes=1)


def _axis(source: Grid, target: Grid, along: int, axis: int) -> _Axis:
    """The weights along one axis of the target and the source's axis it runs along."""
    count, length = target.size[axis], source.size[along]
    index = np.zeros((count, 3))
    index[:, axis] = np.arange(count)
    offsets = (target.points(index) - np.array(source.origin)) @ source.axes[:, along]
    position = offsets / source.spacing[along]
    inside = (position >= -0.5) & (position < length - 0.5)
    position = np.clip(position, 0, length - 1)
    low = np.minimum(position.astype(int), max(length - 2, 0))
    weights = np.zeros((count, length), np.float32)
    rows = np.arange(count)
    weights[rows, np.minimum(low + 1, length - 1)] = position - low
    weights[rows, low] = 1 - (position - low)
    return _Axis(weights, inside)


def _is_same(axis: _Axis) -> bool:
    """Whether each target lies on the source of its own number, to PARALLEL of a voxel."""
    return axis.weights.shape[0] == axis.weights.shape[1] and bool((axis.weights.diagonal() >= 1 - PARALLEL).all())
