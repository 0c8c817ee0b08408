"""Growing by bits is growing by cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mr2ct.growth import closed, grown

Mask = NDArray[np.bool_]
# rows of one word of 64 cells, of its very end, and of more words
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 7, 63, 64, 65, 130]))
MM = st.tuples(*[st.sampled_from([1.0, 1.2, 2.0, 3.1])] * 3)


def by_cells(mask: Mask, mm: tuple[float, float, float], radius_mm: float, through: Mask | None) -> Mask:
    """The same, a cell at a time: an octahedron and a cube by turns."""
    finest = min(mm)
    for turn in range(1, max(1, round(radius_mm / finest)) + 1):
        moving = [axis for axis in range(3) if turn % max(1, round(mm[axis] / finest)) == 0]
        for axes in [moving] if turn % 2 else [[axis] for axis in moving]:
            larger = mask.copy()
            for k, j, i in np.argwhere(mask):
                for axis in axes:
                    for step in (-1, 1):
                        cell = [int(k), int(j), int(i)]
                        cell[axis] += step
                        if 0 <= cell[axis] < mask.shape[axis]:
                            larger[tuple(cell)] = True
            mask = larger if through is None else mask | (larger & through)
    return mask


@settings(max_examples=60, deadline=None)
@given(size=SIZES, mm=MM, radius=st.floats(0.5, 5), seed=st.integers(0, 1000), inside=st.booleans())
def test_as_by_cells(
    size: tuple[int, int, int], mm: tuple[float, float, float], radius: float, seed: int, inside: bool
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    mask, through = rng.random(size) < 0.05, rng.random(size) < 0.6
    before = mask.copy()
    barrier = through if inside else None
    assert np.array_equal(grown(mask, mm, radius, barrier), by_cells(mask, mm, radius, barrier))
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_closing_spans_a_gap_and_no_wider_one(axis: int) -> None:
    mask = np.zeros((40, 40, 70), np.bool_)
    planes = np.moveaxis(mask, axis, 0)
    planes[10:12] = planes[16:18] = planes[30:32] = True  # gaps of 4 and 12 mm
    shut = np.moveaxis(closed(mask, (1.0, 1.0, 1.0), 3.0), axis, 0)[:, 10:30, 10:30]
    assert shut[10:18].all()
    assert not shut[18:30].any()
    assert not shut[:10].any()
