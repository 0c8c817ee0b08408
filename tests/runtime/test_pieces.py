"""Pieces of a mask are what ITK's connected components say."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mr2ct.pieces import filled, largest, without_small

Mask = NDArray[np.bool_]
SIZES = st.tuples(*[st.integers(1, 12)] * 3)


def random_mask(size: tuple[int, int, int], seed: int, part: float) -> Mask:
    return np.random.default_rng(seed).random(size) < part


def labels_by_itk(mask: Mask) -> NDArray[np.int64]:
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8))))
    return np.asarray(labels, np.int64)


@settings(max_examples=200, deadline=None)
@given(size=SIZES, seed=st.integers(0, 1000), part=st.floats(0, 1), least=st.integers(0, 30))
def test_small_pieces_go_and_the_largest_stays(
    size: tuple[int, int, int], seed: int, part: float, least: int
) -> None:  # fmt: skip
    mask = random_mask(size, seed, part)
    labels = labels_by_itk(mask)
    cells = np.bincount(labels.ravel())
    cells[0] = 0
    assert np.array_equal(without_small(mask, least), mask & (cells[labels] >= least))
    assert np.array_equal(largest(mask), (labels == cells.argmax()) & mask)


@settings(max_examples=100, deadline=None)
@given(size=SIZES, seed=st.integers(0, 1000), part=st.floats(0, 1), axis=st.integers(0, 2))
def test_holes_are_filled_plane_by_plane(size: tuple[int, int, int], seed: int, part: float, axis: int) -> None:
    mask = random_mask(size, seed, part)
    expected = np.moveaxis(mask.copy(), axis, 0)
    for plane in expected:
        labels = labels_by_itk(np.pad(~plane, 1, constant_values=True))
        plane |= labels[1:-1, 1:-1] != labels[0, 0]
    result = filled(mask, axis)
    assert np.array_equal(result, np.moveaxis(expected, 0, axis))
    assert result.flags.c_contiguous


def test_runs_that_meet_at_their_far_ends_are_one_piece() -> None:
    snake = np.zeros((1, 201, 5), np.bool_)
    snake[0, ::2] = True
    snake[0, 1::4, -1] = snake[0, 3::4, 0] = True
    assert np.array_equal(largest(snake), snake)
    snake[0, 101] = False
    assert np.count_nonzero(largest(snake)) < 0.6 * np.count_nonzero(snake)


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_one_value_is_left_as_it_is(value: bool) -> None:
    mask = np.full((3, 4, 5), value)
    assert np.array_equal(largest(mask), mask)
    assert np.array_equal(without_small(mask, 10), mask)
    assert np.array_equal(filled(mask, 1), mask)
