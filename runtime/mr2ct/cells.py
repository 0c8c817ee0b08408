"""A volume in cells of another size: along each axis a matrix of Gaussian weights.

Blocks of planes go the whole way, along all three axes, one after the other: what lies between two axes is small, and
so is what a core writes to again and again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.bands import COLUMNS, ROWS, Field, along_columns, along_rows, in_blocks
from mr2ct.slabs import in_slabs

ANTIALIAS = 0.5  # Gaussian sigma, in cells, of the mean a cell takes; it halves the noise of voxels as large as cells
LEAST_WEIGHT = 1e-7  # of the largest: the tail of a Gaussian is denormal numbers, with which an Intel Xeon took 2.1 s
PLANES = 16  # a block; of 8 and 32 neither is faster

Millimetres = Sequence[float]


def coarsened(values: NDArray[Any], mm: Millimetres, cell_mm: float) -> tuple[Field, Millimetres]:
    """Mean values in cells of about `cell_mm`, never finer than the voxels, and the size of the cells."""
    into, size = cells(values.shape, mm, cell_mm)
    return resampled(values, weights(into, values.shape, mm, [ANTIALIAS * cell_mm] * 3)), size


def cells(shape: Sequence[int], mm: Millimetres, cell_mm: float) -> tuple[Sequence[int], Millimetres]:
    """Number and size, along each axis, of cells of about `cell_mm`, never finer than the voxels."""
    counts = [min(voxels, math.ceil(voxels * size / cell_mm)) for voxels, size in zip(shape, mm, strict=True)]
    return counts, [voxels * size / count for voxels, size, count in zip(shape, mm, counts, strict=True)]


def weights(into: Sequence[int], of: Sequence[int], mm: Millimetres, sigma_mm: Millimetres) -> list[Field]:
    """For each axis (into, of): how much each of the old cells, `mm` long, counts in a new one, by a Gaussian."""
    matrices = []
    for new, old, cell, sigma in zip(into, of, mm, sigma_mm, strict=True):
        centres = (np.arange(new) + 0.5) * (old / new) - 0.5  # in old cells
        matrix = np.exp(-0.5 * ((np.arange(old) - centres[:, None]) * (cell / sigma)) ** 2)
        matrix[matrix < LEAST_WEIGHT] = 0
        matrices.append((matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32))
    return matrices


def resampled(values: NDArray[Any], matrices: Sequence[Field]) -> Field:
    """Values (k, j, i) on another grid, by the weights of the three axes."""
    result = np.empty([len(matrix) for matrix in matrices], np.float32)
    for_each_block(values, matrices, result.__setitem__)
    return result


def resampled_at(places: NDArray[np.integer[Any]], values: NDArray[Any], matrices: Sequence[Field]) -> Field:
    """`resampled` at some places alone, (places,): ascending numbers of cells in the order of the array."""
    plane = len(matrices[1]) * len(matrices[2])
    found = np.empty(len(places), np.float32)

    def take(planes: slice, there: Field) -> None:
        some = slice(*np.searchsorted(places, (planes.start * plane, planes.stop * plane)).tolist())
        found[some] = there.ravel()[places[some] - planes.start * plane]

    for_each_block(values, matrices, take)
    return found


def for_each_block(values: NDArray[Any], matrices: Sequence[Field], use: Callable[[slice, Field], None]) -> None:
    """Call use(planes, values there) for blocks of neighbouring planes k of `resampled`, from several threads.

    The values lie in a room that the next block is written to: memory that is new costs more than the products.
    """
    planes, rows, columns = map(in_blocks, matrices, (PLANES, ROWS, COLUMNS))
    _, old_rows, old_columns = values.shape
    _, new_rows, new_columns = (len(matrix) for matrix in matrices)
    widens = new_columns > old_columns  # the last axis is slow to multiply, so it is when there is least of it
    deepest = max(matrix.shape[1] for _, _, matrix in planes)

    def work(numbers: slice) -> None:
        taken = np.empty((deepest, old_rows, old_columns), np.float32)
        mixed = np.empty((PLANES, old_rows, old_columns), np.float32)
        between = np.empty((PLANES, *((old_rows, new_columns) if widens else (new_rows, old_columns))), np.float32)
        result = np.empty((PLANES, new_rows, new_columns), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # of each thread its own; what is not finite is found later
            for to, of, matrix in planes[numbers]:
                count, depth = matrix.shape
                np.copyto(taken[:depth], values[of])
                np.matmul(matrix, taken[:depth].reshape(depth, -1), out=mixed[:count].reshape(count, -1))
                if widens:
                    along_columns(mixed[:count], columns, between[:count])
                    along_rows(between[:count], rows, result[:count])
                else:
                    along_rows(mixed[:count], rows, between[:count])
                    along_columns(between[:count], columns, result[:count])
                use(to, result[:count])

    in_slabs(work, len(planes), operations=math.prod(values.shape[1:]) * matrices[0].size)
