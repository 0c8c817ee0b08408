"""Eight bits hold every value that was seen, and weights are rounded so that little of it reaches the output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct_export.calibration import Inputs
from mr2ct_export.rounding import quantised
from mr2ct_export.to_int8 import STEPS, Quantised

Array = NDArray[np.float32]
RNG = np.random.default_rng(0)
OUTPUTS, CHANNELS, KERNEL = 8, 5, 3
WEIGHTS = RNG.normal(0, 0.1, (OUTPUTS, CHANNELS, KERNEL, KERNEL)).astype(np.float32)
LOW = np.array([-1, 0, -8, 2, -0.1], np.float32)
HIGH = np.array([1, 5, 20, 3, 0], np.float32)


def seen(covariance: NDArray[np.float64] | None = None) -> Inputs:
    of_each = np.repeat(((HIGH - LOW) / 6.0) ** 2, KERNEL**2)
    return Inputs(LOW, HIGH, np.diag(of_each.astype(np.float64)) if covariance is None else covariance)


def as_numbers(layer: Quantised) -> Array:
    """The weights that the eight bits stand for, of inputs in their own unit."""
    each = layer.weight_step.reshape(-1, 1, 1, 1) / layer.step.reshape(1, -1, 1, 1)
    numbers: Array = layer.weights * each
    return numbers


def test_every_value_that_was_seen_lies_within_the_steps_of_its_channel() -> None:
    for centred in (True, False):
        layer = quantised(WEIGHTS, seen(), centred=centred)
        for end in (LOW, HIGH):
            assert (np.abs((end - layer.centre) / layer.step) <= STEPS).all()


def test_a_centred_channel_has_steps_of_its_own_reach_and_half_as_wide_where_all_lies_to_one_side() -> None:
    centred, around_zero = (quantised(WEIGHTS, seen(), centred=flag) for flag in (True, False))
    np.testing.assert_allclose(centred.step * 2 * STEPS, (HIGH - LOW) * 1.05, rtol=1e-5)
    np.testing.assert_allclose(centred.centre, (HIGH + LOW) / 2)
    assert around_zero.step[1] == np.float32(2) * centred.step[1]
    assert not around_zero.centre.any()


def test_inputs_that_do_not_vary_together_leave_each_weight_to_the_nearest_step() -> None:
    layer = quantised(WEIGHTS, seen(), centred=True)
    difference = np.abs(as_numbers(layer) - WEIGHTS) * layer.step.reshape(1, -1, 1, 1)
    assert (difference <= layer.weight_step.reshape(-1, 1, 1, 1) * 0.501).all()
    assert np.abs(layer.weights).max() == STEPS


def test_inputs_that_vary_together_make_the_output_better_than_the_nearest_steps() -> None:
    mixing = RNG.normal(0, 1, (CHANNELS * KERNEL**2, 6))
    patches = RNG.normal(0, 1, (2000, 6)) @ mixing.T + RNG.normal(0, 0.1, (2000, CHANNELS * KERNEL**2))
    patches *= np.repeat((HIGH - LOW) / 6, KERNEL**2)
    layer, alone = (quantised(WEIGHTS, seen(c), centred=True) for c in (np.cov(patches.T), None))
    errors = [(patches @ (as_numbers(one) - WEIGHTS).reshape(OUTPUTS, -1).T).std() for one in (layer, alone)]
    assert errors[0] < 0.6 * errors[1]


def test_a_channel_that_never_changed_and_a_weight_of_zeros_stay_numbers() -> None:
    still = Inputs(np.ones(CHANNELS, np.float32), np.ones(CHANNELS, np.float32), np.zeros((45, 45)))
    weights = WEIGHTS.copy()
    weights[0] = 0
    layer = quantised(weights, still, centred=True)
    for part in (layer.centre, layer.step, layer.weight_step):
        assert np.isfinite(part).all()
        assert part.dtype == np.float32
    assert (layer.step > 0).all()
    assert (layer.weight_step > 0).all()
    assert not layer.weights[0].any()
    assert layer.weights.dtype == np.int8
