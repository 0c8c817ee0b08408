"""A volume in cells of another size: along each axis a matrix of Gaussian weights.

A cell looks at its neighbourhood only, so such a matrix is a band along the diagonal. It is cut into blocks of rows,
and each block is multiplied with the part of the volume that it looks at: an eighth of the operations of whole
matrices, and what lies between two axes stays in a core's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.slabs import in_slabs

ANTIALIAS = 0.5  # Gaussian sigma, in cells, of the mean a cell takes; it halves the noise of voxels as large as cells
LEAST_WEIGHT = 1e-7  # of the largest: the tail of a Gaussian is denormal numbers, with which an Intel Xeon took 2.1 s
BLOCK = (16, 16, 64)  # rows

Field = NDArray[np.float32]
Millimetres = Sequence[float]
Block = tuple[slice, slice, Field]  # new cells, the old ones they look at, and the weights (new, old)


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
    planes, rows, columns = (_blocks(matrix, size) for matrix, size in zip(matrices, BLOCK, strict=True))
    _, old_rows, old_columns = values.shape
    _, new_rows, new_columns = (len(matrix) for matrix in matrices)
    widens = new_columns > old_columns  # the last axis is slow to multiply, so it is when there is least of it
    deepest = max(matrix.shape[1] for _, _, matrix in planes)

    def work(numbers: slice) -> None:
        taken = np.empty((deepest, old_rows, old_columns), np.float32)
        mixed = np.empty((BLOCK[0], old_rows, old_columns), np.float32)
        between = np.empty((BLOCK[0], *((old_rows, new_columns) if widens else (new_rows, old_columns))), np.float32)
        result = np.empty((BLOCK[0], new_rows, new_columns), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # of each thread its own; what is not finite is found later
            for to, of, matrix in planes[numbers]:
                count, depth = matrix.shape
                np.copyto(taken[:depth], values[of])
                np.matmul(matrix, taken[:depth].reshape(depth, -1), out=mixed[:count].reshape(count, -1))
                if widens:
                    _along_columns(mixed[:count], columns, between[:count])
                    _along_rows(between[:count], rows, result[:count])
                else:
                    _along_rows(mixed[:count], rows, between[:count])
                    _along_columns(between[:count], columns, result[:count])
                use(to, result[:count])

    in_slabs(work, len(planes), operations=math.prod(values.shape[1:]) * matrices[0].size)


def _along_rows(values: Field, blocks: Sequence[Block], result: Field) -> None:
    for to, of, matrix in blocks:
        np.matmul(matrix, values[:, of], out=result[:, to])


def _along_columns(values: Field, blocks: Sequence[Block], result: Field) -> None:
    lines, new_lines = (field.reshape(-1, field.shape[2]) for field in (values, result))
    for to, of, matrix in blocks:
        np.matmul(lines[:, of], matrix.T, out=new_lines[:, to])


def _blocks(matrix: Field, size: int) -> list[Block]:
    """The matrix in blocks of rows: which rows, which columns they look at, and the weights there."""
    blocks = []
    for start in range(0, len(matrix), size):
        rows = slice(start, min(start + size, len(matrix)))
        seen = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(seen[0]), int(seen[-1]) + 1)
        blocks.append((rows, columns, matrix[rows, columns]))
    return blocks
