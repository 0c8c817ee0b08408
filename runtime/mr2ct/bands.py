"""Products with matrices that are bands along their diagonal: from one sampling of an axis to another.

A new cell looks at few of the old ones. So the matrix is cut into blocks of new cells, and each is multiplied with the
old cells that it looks at: an eighth of the operations of the whole matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# New cells a block: few, so that a block looks at few old ones; but products along the last axis of an array are slow
# when they are thin (10 GMAC/s at 16, 30 at 64, measured on an Intel Xeon with AVX-512).
ROWS, COLUMNS = 16, 64

Field = NDArray[np.float32]
Block = tuple[slice, slice, Field]  # new cells, the old ones they look at, and the weights (new, old)


def in_blocks(matrix: Field, size: int) -> list[Block]:
    """A matrix (new, old) in blocks of so many new cells."""
    blocks = []
    for start in range(0, len(matrix), size):
        new = slice(start, min(start + size, len(matrix)))
        seen = np.flatnonzero(matrix[new].any(axis=0))
        old = slice(int(seen[0]), int(seen[-1]) + 1)
        blocks.append((new, old, matrix[new, old]))
    return blocks


def along_rows(values: Field, blocks: Sequence[Block], result: Field) -> None:
    """Write values (k, j, i) with another sampling of j into the result."""
    for new, old, matrix in blocks:
        np.matmul(matrix, values[:, old], out=result[:, new])


def along_columns(values: Field, blocks: Sequence[Block], result: Field) -> None:
    """Write values (k, j, i) with another sampling of i into the result. Both are contiguous."""
    lines, new_lines = (field.reshape(-1, field.shape[2]) for field in (values, result))
    for new, old, matrix in blocks:
        np.matmul(lines[:, old], matrix.T, out=new_lines[:, new])
