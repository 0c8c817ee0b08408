"""Cells of another size: as by whole matrices, whatever is cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct.bands import Field
from mr2ct.cells import cells, coarsened, for_each_block, resampled, resampled_at, weights

MM = (1.0, 0.9, 1.2)
SHAPE = (70, 90, 150)


def by_whole_matrices(values: NDArray[np.float64], matrices: Sequence[Field]) -> NDArray[np.float64]:
    k, j, i = (matrix.astype(np.float64) for matrix in matrices)
    return np.asarray(np.einsum("ak,bj,ci,kji->abc", k, j, i, values, optimize=True))


@pytest.fixture(scope="module")
def values() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(0, 2000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("into", [(35, 41, 60), (140, 100, 300), (70, 90, 150), (17, 1, 2), (1, 200, 40)])
@pytest.mark.parametrize("dtype", [np.int16, np.float64, np.bool_])
def test_as_by_whole_matrices(values: NDArray[np.int16], into: tuple[int, int, int], dtype: type) -> None:
    given: NDArray[Any] = (values > 1000 if dtype is np.bool_ else values).astype(dtype)
    matrices = weights(into, SHAPE, MM, [1.5] * 3)
    expected = by_whole_matrices(given.astype(np.float64), matrices)
    result = resampled(given, matrices)
    assert result.dtype == np.float32
    assert np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max()
    places = np.flatnonzero(np.random.default_rng(1).random(into) < 0.1)
    assert np.array_equal(resampled_at(places, given, matrices), result.ravel()[places])


def test_blocks_are_all_planes_once_and_the_same_on_any_number_of_cores(
    values: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    matrices = weights((140, 100, 300), SHAPE, MM, [1.5] * 3)
    several = resampled(values, matrices)
    monkeypatch.setattr("mr2ct.slabs.available_cores", lambda: 1)
    seen = np.zeros(140, int)

    def count(planes: slice, there: Field) -> None:
        seen[planes] += 1
        assert np.array_equal(there, several[planes])

    for_each_block(values, matrices, count)
    assert (seen == 1).all()


def test_a_constant_stays_one() -> None:
    coarse, mm = coarsened(np.full(SHAPE, 7, np.uint8), MM, 3.0)
    assert np.abs(coarse - 7).max() < 1e-5
    assert coarse.shape == (24, 27, 60)
    assert np.allclose(np.multiply(coarse.shape, mm), np.multiply(SHAPE, MM))


def test_cells_are_never_finer_than_voxels() -> None:
    assert cells((10, 20, 30), (5.0, 1.0, 2.0), 2.5) == ([10, 8, 24], [5.0, 2.5, 2.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(bad: float) -> None:
    voxels = np.ones(SHAPE, np.float32)
    voxels[3, 50, 149] = bad
    assert not np.isfinite(coarsened(voxels, MM, 3.0)[0]).all()
