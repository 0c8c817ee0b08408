"""Limits hold what they were made of, are told in the card, and widen as the rule says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mr2ct.gate.limiting import HALF_WAY, RULES, limits_of
from mr2ct.gate.limits import GateLimits, contrast_distance
from mr2ct.gate.measured import QUANTILES, Measured


def with_scalar(measured: Measured, name: str, value: float) -> Measured:
    return replace(measured, scalars={**measured.scalars, name: value})


def test_every_mr_of_the_training_is_within(trained_on: list[Measured], limits: GateLimits) -> None:
    assert limits.volumes == 3
    assert "3 MRs" in limits.rule and "chosen" in limits.rule
    for measured in trained_on:
        for name, value in measured.scalars.items():
            assert limits.low.get(name, value) <= value <= limits.high.get(name, value), name
    for name, (least, most) in limits.seen.items():
        assert limits.low.get(name, least) <= least <= most <= limits.high.get(name, most), name


def test_the_order_of_the_training_set_changes_nothing(trained_on: list[Measured], limits: GateLimits) -> None:
    other = limits_of(trained_on[::-1], fixed_units=False)
    assert replace(other, quantiles=limits.quantiles) == limits
    assert other.quantiles == limits.quantiles[::-1]


def test_brightness_is_limited_for_a_fixed_window_alone(trained_on: list[Measured], limits: GateLimits) -> None:
    assert "signal" not in {*limits.low, *limits.high, *limits.seen}
    fixed = limits_of(trained_on, fixed_units=True)
    least, most = fixed.seen["signal"]
    assert fixed.low["signal"] == pytest.approx(0.7 * least, rel=1e-3)
    assert fixed.high["signal"] == pytest.approx(1.3 * most, rel=1e-3)


def test_a_wide_training_set_is_widened_by_a_quarter_of_its_span(trained_on: list[Measured]) -> None:
    wide = [with_scalar(one, "noise", noise) for one, noise in zip(trained_on, (0.1, 0.2, 0.5), strict=True)]
    assert limits_of(wide, fixed_units=False).high["noise"] == pytest.approx(0.5 + 0.25 * 0.4)
    narrow = [with_scalar(one, "noise", 0.1) for one in trained_on]
    assert limits_of(narrow, fixed_units=False).high["noise"] == pytest.approx(0.1 + RULES["noise"].margin)


@pytest.mark.parametrize("name", HALF_WAY)
def test_the_order_of_tissues_is_limited_half_way_to_their_being_equal(name: str, trained_on: list[Measured]) -> None:
    some = [with_scalar(one, name, value) for one, value in zip(trained_on, (0.5, 0.8, 0.6), strict=True)]
    assert limits_of(some, fixed_units=False).high[name] == pytest.approx(0.9)


def test_one_mr_is_enough(trained_on: list[Measured]) -> None:
    limits = limits_of(trained_on[:1], fixed_units=False)
    assert limits.volumes == 1 and "1 MR," in limits.rule
    assert {"likeness", "contrast_distance"} <= {*limits.low, *limits.high} - set(limits.seen)


def test_the_contrast_distance_is_to_the_nearest() -> None:
    dark, bright = [0.2] * QUANTILES, [0.7] * QUANTILES
    assert contrast_distance([0.3] * QUANTILES, [bright, dark]) == pytest.approx(0.1)
