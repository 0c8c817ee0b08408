"""Products in blocks are the products of whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct.bands import along_columns, along_rows, in_blocks


def band(new: int, old: int, wide: float) -> NDArray[np.float32]:
    """Weights (new, old) that fall to zero `wide` old cells away from the diagonal."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    return np.maximum(wide - np.abs(np.arange(old) - centres[:, None]), 0).astype(np.float32)


@pytest.mark.parametrize(("new", "old"), [(100, 60), (60, 100), (1, 5), (16, 16), (70, 1)])
@pytest.mark.parametrize("size", [16, 64])
def test_blocks_are_the_matrix(new: int, old: int, size: int) -> None:
    matrix, rebuilt = band(new, old, 3.0), np.zeros((new, old), np.float32)
    for rows, seen, weights in in_blocks(matrix, size):
        rebuilt[rows, seen] = weights
    assert np.array_equal(rebuilt, matrix)


def test_a_block_looks_at_its_neighbourhood_alone() -> None:
    blocks = in_blocks(band(160, 80, 2.0), 16)
    assert len(blocks) == 10
    assert max(weights.shape[1] for _, _, weights in blocks) <= 8 + 2 * 2


@pytest.mark.parametrize("backwards", [False, True])
def test_along_rows_and_columns(backwards: bool) -> None:
    values = np.random.default_rng(0).random((5, 60, 90), dtype=np.float32)
    for axis, along, size in ((1, along_rows, 16), (2, along_columns, 64)):
        matrix = band(100, values.shape[axis], 2.5)[:: -1 if backwards else 1]
        expected = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
        result = np.empty(expected.shape, np.float32)
        along(values, in_blocks(matrix, size), result)
        np.testing.assert_allclose(result, expected, rtol=1e-5)
