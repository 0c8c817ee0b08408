"""Errors in HU against plain loops and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mr2ct_training.evaluation.conventions import CONVENTIONS, PAPER, SYNTHRAD2023, SYNTHRAD2025, Convention
from mr2ct_training.evaluation.metrics import dice, error_metrics, error_values, mae, psnr, rmse, tissues_of

rng = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_errors_are_those_of_a_plain_loop(dtype: type) -> None:
    synthetic, reference = (rng.uniform(-1100, 3200, (4, 5, 6)).astype(dtype) for _ in range(2))
    mask = rng.random((4, 5, 6)) < 0.6
    values = error_values(synthetic, reference, mask, PAPER)
    for voxels, counted in (("in_mask", mask), ("in_volume", np.ones_like(mask))):
        errors = [
            float(synthetic[place]) - float(reference[place]) for place in np.ndindex(mask.shape) if counted[place]
        ]
        square = sum(e * e for e in errors) / len(errors)
        assert values[f"mae_hu_{voxels}"] == pytest.approx(sum(map(abs, errors)) / len(errors), rel=1e-6)
        assert values[f"me_hu_{voxels}"] == pytest.approx(sum(errors) / len(errors), rel=1e-6)
        assert values[f"rmse_hu_{voxels}"] == pytest.approx(math.sqrt(square), rel=1e-6)
        assert values[f"psnr_db_{voxels}_range_4095"] == pytest.approx(10 * math.log10(4095**2 / square), rel=1e-6)


def test_a_synthetic_ct_that_is_too_dark_has_a_negative_me() -> None:
    reference = np.array([0.0, 100.0])
    assert error_values(reference - 7, reference, np.ones(2, bool), PAPER)["me_hu_in_mask"] == -7


def test_psnr_by_hand_in_each_convention() -> None:
    # clipped: -2000 to -1024 and 4000 to 3000 or 3071, so the errors are 0 and 100, RMSE = 100 / sqrt(2)
    reference, of_2023, of_2025 = np.array([-2000, 2900]), np.array([-1024, 4000]), np.array([-1024, 3071])
    half = 10 * math.log10(2)
    assert psnr(of_2023, reference, 4024, (-1024, 3000)) == pytest.approx(20 * math.log10(40.24) + half)
    # 3071 - 2900 = 171
    assert psnr(of_2025, reference, 4095, (-1024, 3071)) == pytest.approx(20 * math.log10(4095 / 171) + half)
    # nothing clipped in the paper's: an error of 40.95 HU everywhere is 20 log10(100)
    assert psnr(reference + 40.95, reference, 4095, None) == pytest.approx(40)
    assert psnr(of_2023, of_2023, 4024, (-1024, 3000)) is None


@pytest.mark.parametrize(("convention", "width"), [(PAPER, 4095), (SYNTHRAD2023, 4024), (SYNTHRAD2025, 4095)])
def test_each_psnr_names_its_range_and_its_voxels(convention: Convention, width: int) -> None:
    named = {metric.key: metric.label for metric in error_metrics(convention) if metric.name == "PSNR"}
    assert len(named) == 2
    for (key, label), voxels in zip(named.items(), ("mask", "volume"), strict=True):
        assert f"in_{voxels}_range_{width}" in key and f"in {voxels} [dB of {width}" in label
        assert ("clip" in key) == ("clip" in label) == (convention is not PAPER)


def test_no_two_metrics_share_a_key() -> None:
    for convention in CONVENTIONS.values():
        keys = [metric.key for metric in error_metrics(convention)]
        assert len(set(keys)) == len(keys)


def test_tissues_are_those_of_the_reference_and_their_borders_are_soft() -> None:
    reference = np.array([-1000, -201, -200, 0, 250, 251, 1500])
    air, soft, bone = tissues_of(reference)
    assert air.tolist() == [True, True, False, False, False, False, False]
    assert soft.tolist() == [False, False, True, True, True, False, False]
    assert bone.tolist() == [False, False, False, False, False, True, True]
    synthetic = reference + np.array([10, 30, 1, 2, 3, -100, 300])
    values = error_values(synthetic, reference, np.ones(7, bool), PAPER)
    assert values["mae_hu_in_mask_air"] == 20
    assert values["mae_hu_in_mask_soft"] == 2
    assert values["mae_hu_in_mask_bone"] == 200
    # bone in the synthetic CT: 253 and 1800; in the reference: 251 and 1500; one in common
    assert values["dice_in_mask_bone"] == 0.5


def test_what_is_not_in_the_mask_does_not_count_in_it() -> None:
    reference, mask = np.zeros(4), np.array([True, True, False, False])
    values = error_values(np.array([10, 20, 5000, 5000]), reference, mask, PAPER)
    assert values["mae_hu_in_mask"] == 15 and values["mae_hu_in_volume"] == 2507.5


def test_what_there_is_none_of_has_no_value() -> None:
    values = error_values(np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.ones(2, bool), PAPER)
    assert values["mae_hu_in_mask_bone"] is None and values["dice_in_mask_bone"] is None
    assert values["mae_hu_in_mask"] == 0 and values["psnr_db_in_mask_range_4095"] is None
    nothing = np.array([])
    assert mae(nothing, nothing) is None and rmse(nothing, nothing) is None


def test_small_integers_do_not_wrap_around() -> None:
    assert mae(np.array([0], np.uint8), np.array([200], np.uint8)) == 200
    assert mae(np.array([30_000], np.int16), np.array([-30_000], np.int16)) == 60_000


def test_dice_of_what_is_the_same_is_one_and_of_what_is_apart_is_zero() -> None:
    one = np.array([True, True, False])
    assert dice(one, one) == 1 and dice(one, ~one) == 0
