"""Scanner units become the network's [-1, 1], and its answer becomes HU, without anything lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_MR_WINDOW, FixedWindow, PercentileWindow
from mr2ct.errors import VolumeError
from mr2ct.intensity import AIR_HU, HU_RANGE, mr_limits, to_ct, to_hu, to_network

Array = NDArray[np.float32]

SHAPE = (4, 5, 6)
HEAD = np.zeros(SHAPE, dtype=bool)
HEAD[1:3, 1:4, 2:5] = True

floats32 = st.floats(-1e4, 1e4, width=32)
images = arrays.arrays(np.float32, SHAPE, elements=floats32)
windows = st.tuples(st.floats(-5000, 5000), st.floats(1, 10_000)).map(lambda w: (w[0], w[0] + w[1]))


@pytest.fixture
def mr() -> Array:
    return np.random.default_rng(0).uniform(0, 3500, SHAPE).astype(np.float32)


def test_a_fixed_window_is_the_same_for_every_patient(mr: Array) -> None:
    assert mr_limits(PAPER_MR_WINDOW, mr, HEAD) == (0.0, 3500.0)
    assert mr_limits(FixedWindow(-10.0, 20.0), mr * 100, HEAD) == (-10.0, 20.0)


def test_a_percentile_window_is_measured_in_the_head_alone(mr: Array) -> None:
    limits = mr_limits(PercentileWindow(0.0, 100.0), mr, HEAD)
    assert limits == (mr[HEAD].min(), mr[HEAD].max())
    background = np.where(HEAD, mr, np.float32(1e6))
    assert mr_limits(PercentileWindow(0.0, 100.0), background, HEAD) == limits


@given(low=st.floats(0, 49), high=st.floats(51, 100))
@settings(max_examples=40, deadline=None)
def test_a_percentile_window_holds_the_share_of_the_head_it_names(low: float, high: float) -> None:
    mr, head = np.arange(1001, dtype=np.float32).reshape(7, 11, 13), np.ones((7, 11, 13), dtype=bool)
    assert mr_limits(PercentileWindow(low, high), mr, head) == pytest.approx((10 * low, 10 * high), abs=1e-3)


@given(low=st.floats(0, 49), high=st.floats(51, 100), dtype=st.sampled_from([np.int16, np.uint8, np.float32]))
@settings(max_examples=40, deadline=None)
def test_a_percentile_window_is_numpys_percentiles(low: float, high: float, dtype: type) -> None:
    mr: NDArray[Any] = np.random.default_rng(2).uniform(0, 255, SHAPE).astype(dtype)
    expected = np.percentile(mr[HEAD].astype(np.float64), (low, high))
    assert mr_limits(PercentileWindow(low, high), mr, HEAD) == pytest.approx(expected)


def test_a_large_volume_is_taken_in_parts_and_comes_out_whole() -> None:
    rng = np.random.default_rng(3)
    volume = rng.uniform(-2000, 4000, (50, 150, 200)).astype(np.float32)
    head = rng.random(volume.shape) < 0.5
    expected = np.where(head, np.rint(np.clip(volume, *HU_RANGE)), AIR_HU)
    assert np.array_equal(to_ct(volume.copy(), head), expected)
    seen = to_network(volume.copy(), (-1000.0, 3000.0))
    assert np.allclose(seen, np.clip((volume + 1000) / 2000 - 1, -1, 1), atol=1e-6)
    inside = np.clip(volume, -600, 1400)
    assert np.allclose(to_hu(to_network(inside.copy(), (-600.0, 1400.0)), (-600.0, 1400.0)), inside, atol=1e-3)


@given(gain=st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_a_percentile_window_makes_one_picture_of_scanners_whose_units_differ(gain: float) -> None:
    mr = np.random.default_rng(1).uniform(1, 1000, SHAPE).astype(np.float32)
    window = PercentileWindow(1.0, 99.0)
    other = mr * np.float32(gain)
    seen = to_network(mr.copy(), mr_limits(window, mr, HEAD))
    np.testing.assert_allclose(to_network(other.copy(), mr_limits(window, other, HEAD)), seen, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1234.5])
def test_a_head_without_contrast_has_no_percentile_window(value: float, mr: Array) -> None:
    mr[HEAD] = value
    with pytest.raises(VolumeError, match=rf"no contrast: the 1 and 99 percentiles of its head are both {value:g}"):
        mr_limits(PercentileWindow(1.0, 99.0), mr, HEAD)


def test_the_ends_and_the_middle_of_a_window_are_minus_one_one_and_zero() -> None:
    mr = np.array([-600, 400, 1400], dtype=np.float32)
    np.testing.assert_array_equal(to_network(mr, (-600.0, 1400.0)), [-1, 0, 1])
    np.testing.assert_array_equal(to_hu(np.array([-1, 0, 1], np.float32), PAPER_CT_WINDOW_HU), [-600, 400, 1400])


@given(images, windows)
@settings(max_examples=80, deadline=None)
def test_what_a_network_sees_lies_in_its_range_and_keeps_the_order_of_the_mr(
    mr: Array, window: tuple[float, float]
) -> None:
    order = np.argsort(mr, axis=None)
    seen = to_network(mr, window)
    assert seen.min() >= -1
    assert seen.max() <= 1
    assert (np.diff(seen.ravel()[order]) >= 0).all()


@given(images, windows)
@settings(max_examples=80, deadline=None)
def test_a_window_and_back_gives_the_value_or_the_nearest_end(image: Array, window: tuple[float, float]) -> None:
    wanted = np.clip(image.astype(np.float64), *window)
    back = to_hu(to_network(image.copy(), window), window)
    # each of six steps rounds to float32, at the size of the largest number that it sees
    rounding = 6 * np.spacing(np.float32(max(np.abs(image).max(), *map(abs, window))))
    np.testing.assert_allclose(back, wanted, rtol=0, atol=rounding)


@given(arrays.arrays(np.float32, SHAPE, elements=st.floats(-1, 1, width=32)))
@settings(max_examples=60, deadline=None)
def test_hu_and_back_gives_what_the_network_said(said: Array) -> None:
    back = to_network(to_hu(said.copy(), PAPER_CT_WINDOW_HU), PAPER_CT_WINDOW_HU)
    np.testing.assert_allclose(back, said, rtol=0, atol=1e-6)


def test_no_second_copy_of_the_volume_is_made(mr: Array) -> None:
    assert to_network(mr, (0.0, 3500.0)) is mr
    assert to_hu(mr, PAPER_CT_WINDOW_HU) is mr
    assert mr.dtype == np.float32


@given(images)
@settings(max_examples=80, deadline=None)
def test_a_ct_holds_the_nearest_whole_hu_in_the_head_and_air_outside(hu: Array) -> None:
    head = np.indices(SHAPE).sum(axis=0) % 3 > 0
    ct = to_ct(hu.copy(), head)
    assert ct.dtype == np.int16
    assert ct.shape == SHAPE
    assert (ct[~head] == -1000).all()
    inside = np.clip(hu[head].astype(np.float64), -1024, 3071)
    assert np.abs(ct[head] - inside).max() <= 0.5


@pytest.mark.parametrize(
    ("hu", "ct"),
    [(0.4, 0), (0.6, 1), (-0.6, -1), (-99.7, -100), (3071.4, 3071), (99999, 3071), (-1024.6, -1024), (-99999, -1024)],
)
def test_hu_are_rounded_not_cut_and_end_where_a_scanners_do(hu: float, ct: int) -> None:
    assert to_ct(np.full(SHAPE, hu, np.float32), np.ones(SHAPE, bool))[0, 0, 0] == ct


@pytest.mark.parametrize("hu", [1e30, -1e30, np.inf, -np.inf])
def test_no_hu_however_wild_wraps_around_into_another_tissue(hu: float) -> None:
    ct = to_ct(np.full(SHAPE, hu, np.float32), np.ones(SHAPE, bool))
    assert (ct == (3071 if hu > 0 else -1024)).all()


def test_air_and_the_range_of_a_ct_are_dicoms() -> None:
    assert AIR_HU == -1000
    assert HU_RANGE == (-1024, 3071)
