"""A CT that is given by mistake is refused before anything is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.modality import refuse_ct
from mr2ct.volume import Volume

SHAPE = (40, 48, 36)  # k, j, i


def _volume(voxels: NDArray[Any]) -> Volume:
    k, j, i = voxels.shape
    return Volume(voxels, Grid((i, j, k), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))


def _ball() -> NDArray[np.bool_]:
    """A head: a ball in the middle that fills about a third."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    ball: NDArray[np.bool_] = k**2 + j**2 + i**2 < 0.8
    return ball


def _ct(air: float, dtype: DTypeLike = np.int16) -> NDArray[Any]:
    return np.where(_ball(), 40, air).astype(dtype)


def _mr(seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).rayleigh(20, SHAPE)
    return np.where(_ball(), 900 + noise, noise).astype(np.float32)


@pytest.mark.parametrize("air", [-1000, -1024, -2048, -3024])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_a_ct_is_refused_whatever_its_padding_and_type(air: float, dtype: DTypeLike) -> None:
    with pytest.raises(VolumeError, match=r"this is a CT.*an MR is needed"):
        refuse_ct(_volume(_ct(air, dtype)))


def test_a_noisy_ct_is_refused() -> None:
    noisy = _ct(-1000, np.float32) + np.random.default_rng(0).normal(0, 30, SHAPE)
    with pytest.raises(VolumeError):
        refuse_ct(_volume(noisy))


def test_a_ct_of_a_scanners_round_field_is_refused_though_its_corners_are_padding() -> None:
    ct = _ct(-1000)
    ct[:, :8, :8] = -2048
    with pytest.raises(VolumeError):
        refuse_ct(_volume(ct))


def test_a_ct_cropped_to_little_air_is_refused() -> None:
    ct = np.full(SHAPE, 40, dtype=np.int16)
    ct[:, : SHAPE[1] // 6] = -1000
    with pytest.raises(VolumeError):
        refuse_ct(_volume(ct))


def test_the_message_tells_how_much_of_the_volume_is_air() -> None:
    ct = np.full(SHAPE, 40, dtype=np.int16)
    ct[: SHAPE[0] // 2] = -1000
    with pytest.raises(VolumeError, match="50% of it lies below -900"):
        refuse_ct(_volume(ct))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_an_mr_is_taken_in_any_type(dtype: DTypeLike) -> None:
    refuse_ct(_volume((_mr() / 5).astype(dtype)))


def test_an_mr_in_the_units_of_a_loud_scanner_is_taken() -> None:
    refuse_ct(_volume(_mr() * 1e6))


def test_the_ringing_of_a_resampled_mr_is_taken() -> None:
    mr = _mr()
    ringing = np.random.default_rng(1).random(SHAPE) < 0.04
    mr[ringing] = -1200  # far more than any interpolation does
    refuse_ct(_volume(mr))


@given(offset=st.floats(-899, 1e6), scale=st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_no_mr_without_values_as_low_as_air_is_ever_refused(offset: float, scale: float) -> None:
    refuse_ct(_volume((_mr() * np.float32(scale)).clip(min=0) + np.float32(offset)))


def test_the_voxels_are_left_as_they_were() -> None:
    mr, untouched = _mr(), _mr()
    refuse_ct(_volume(mr))
    np.testing.assert_array_equal(mr, untouched)


def test_a_volume_of_one_slice_is_judged_too() -> None:
    refuse_ct(_volume(_mr()[:1]))
    with pytest.raises(VolumeError):
        refuse_ct(_volume(_ct(-1000)[:1]))
