"""The layers in eight bits are as many as the limits allow, the least sensitive first, and all figures are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from mr2ct.card import Certificate, LayerError
from mr2ct.certificate import BUDGETS_HU
from mr2ct_export.sensitivity import LIMITS_HU, choose_layers
from mr2ct_export.to_onnx import ExportError

NAMES = ("down", "first", "second", "third")


class Engine:
    """Errors of layers add up as independent errors do; p99.9 is six times the mean."""

    def __init__(self, rest: float = 0.1, tail: float = 6, **layers: float) -> None:
        self.rest, self.tail, self.layers = rest, tail, layers
        self.measured: list[tuple[str, ...]] = []

    def __call__(self, chosen: Sequence[str]) -> Certificate:
        """The error with some layers in int8."""
        self.measured.append(tuple(sorted(chosen)))
        mean = math.hypot(self.rest, *(self.layers[name] for name in chosen))
        errors = {"mean_hu": mean, "p99_9_hu": self.tail * mean, "max_hu": 20 * mean}
        return Certificate("f", "int8", "an engine", 8, 1000, budget_hu=BUDGETS_HU["int8"], **errors)


def test_all_layers_are_taken_where_all_fit() -> None:
    engine = Engine(down=0.2, first=0.2, second=0.2, third=0.2)
    assert choose_layers(NAMES, engine, calibrated_on=32).int8 == NAMES
    assert engine.measured[-1] == tuple(sorted(NAMES))
    assert len(engine.measured) == 6  # none, four alone, all


def test_the_most_sensitive_are_left_out_until_the_rest_fits() -> None:
    engine = Engine(down=0.9, first=0.5, second=0.3, third=0.4)
    assert choose_layers(NAMES, engine, calibrated_on=32).int8 == ("first", "second", "third")
    engine = Engine(down=0.9, first=0.8, second=0.3, third=0.4)
    assert choose_layers(NAMES, engine, calibrated_on=32).int8 == ("second", "third")


def test_rare_large_errors_count_as_the_mean_does() -> None:
    engine = Engine(tail=50, down=0.2, first=0.15, second=0.1, third=0.1)
    assert choose_layers(NAMES, engine, calibrated_on=32).int8 == ("first", "second", "third")


def test_a_narrower_limit_leaves_more_of_them_out_and_is_kept_with_them() -> None:
    narrow = {**LIMITS_HU, "p99_9_hu": 2.0}
    found = choose_layers(NAMES, Engine(down=0.2, first=0.2, second=0.2, third=0.2), calibrated_on=32, limits_hu=narrow)
    assert len(found.int8) == 2  # hypot(0.1, 0.2, 0.2) x 6 is 1.8
    assert found.limits_hu == narrow


def test_what_was_taken_was_itself_measured_within_the_limits() -> None:
    for worst in (0.1, 0.3, 0.5, 0.7):
        engine = Engine(down=worst, first=0.3, second=0.4, third=0.5)
        taken = choose_layers(NAMES, engine, calibrated_on=32).int8
        assert tuple(sorted(taken)) in engine.measured
        assert engine(taken).mean_hu <= LIMITS_HU["mean_hu"]


def test_every_layer_s_own_error_is_kept_with_that_of_the_rest() -> None:
    found = choose_layers(NAMES, Engine(rest=0.3, down=0.4, first=0, second=2, third=0), calibrated_on=32)
    assert found.none == LayerError(0.3, 0.3 * 6)
    assert found.alone["down"].mean_hu == pytest.approx(0.5)
    assert tuple(found.alone) == NAMES
    assert set(found.alone) - set(found.int8) == {"second"}
    assert (found.calibrated_on, found.measured_on, found.engine) == (32, 8, "an engine")
    assert found.limits_hu == LIMITS_HU


def test_where_no_layer_may_be_in_int8_the_best_is_told() -> None:
    with pytest.raises(ExportError, match=r"no convolution may be in int8: third, alone .* mean 0\.906, p99\.9 5\.43"):
        choose_layers(NAMES, Engine(down=2, first=1.5, second=1.2, third=0.9), calibrated_on=32)


def test_an_error_that_is_no_number_is_outside_every_limit() -> None:
    found = choose_layers(NAMES, Engine(down=math.inf, first=0.1, second=0.1, third=0.1), calibrated_on=32)
    assert found.int8 == ("first", "second", "third")


def test_the_limits_are_well_within_the_budget_of_int8() -> None:
    assert LIMITS_HU.keys() == BUDGETS_HU["int8"].keys()
    assert all(LIMITS_HU[name] < limit for name, limit in BUDGETS_HU["int8"].items())
