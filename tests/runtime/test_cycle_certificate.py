"""An engine of ct_to_mr is measured against PyTorch in percent of the MR window, in the head alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct.cycle_card import CycleFacts
from mr2ct.cycle_certificate import BUDGETS_PERCENT, certify_way_back
from mr2ct.errors import ModelError
from mr2ct.model import Reference
from small_models import BACK, cycle_facts, identity_reference

(CERTIFICATE,) = cycle_facts().certificates


class Shifted:
    """Answers with twice what it is given, and some more."""

    description, batch = "a test", 1

    def __init__(self, by: float | NDArray[np.float32]) -> None:
        self.by = by

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return (batch * 2 + self.by).astype(np.float32)

    def close(self) -> None:
        pass


def reference() -> Reference:
    mr, head = (identity_reference()[name] for name in ("mr", "head"))
    return Reference(mr, mr / 2, head, mr)


def test_the_error_is_a_part_of_the_window_which_is_two_wide() -> None:
    found = certify_way_back(Shifted(0.004), reference(), file=BACK, precision="fp16")
    assert (found.file, found.precision, found.engine, found.slices) == (BACK, "fp16", "a test", 2)
    assert found.voxels == reference().head.sum()
    for error in (found.mean_percent, found.p99_9_percent, found.max_percent):
        assert error == pytest.approx(0.2, rel=1e-3)
    assert not found.passed  # fp16 may be 0.1 % off on average
    assert certify_way_back(Shifted(0.001), reference(), file=BACK, precision="fp16").passed


def test_only_the_head_counts() -> None:
    outside = np.where(reference().head[0], 0, 1).astype(np.float32)
    found = certify_way_back(Shifted(outside), reference(), file=BACK, precision="fp32")
    assert found.max_percent == 0
    assert found.passed


def test_nan_is_an_error_without_end() -> None:
    found = certify_way_back(Shifted(math.nan), reference(), file=BACK, precision="bf16")
    assert found.mean_percent == found.max_percent == math.inf
    assert not found.passed


@pytest.mark.parametrize(
    ("changed", "told"), [({"cycled_mr": None}, "--cycle-check"), ({"head": np.zeros((2, 256, 256), bool)}, "no head")]
)
def test_without_pytorchs_answer_or_a_head_nothing_is_proved(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        certify_way_back(Shifted(0), replace(reference(), **changed), file=BACK, precision="fp32")


@pytest.mark.parametrize("precision", BUDGETS_PERCENT)
def test_no_engine_within_its_budget_moves_the_mean_by_more_than_the_digit_that_is_told(precision: str) -> None:
    budget = BUDGETS_PERCENT[precision]
    assert budget.get("mean_percent", budget.get("max_percent", 1)) <= 0.1


def test_a_certificate_passes_up_to_its_budget_and_not_beyond() -> None:
    limit = CERTIFICATE.budget_percent["max_percent"]
    assert replace(CERTIFICATE, max_percent=limit).passed
    assert not replace(CERTIFICATE, max_percent=math.nextafter(limit, 1)).passed
    assert not replace(CERTIFICATE, max_percent=math.nan).passed
    assert not replace(CERTIFICATE, budget_percent={}).passed
    assert not replace(CERTIFICATE, budget_percent={"worst_percent": 1.0}).passed


def test_only_a_passing_certificate_of_that_very_file_counts() -> None:
    facts, failed = cycle_facts(), replace(CERTIFICATE, max_percent=1.0)
    assert facts.certificate(BACK) == CERTIFICATE
    assert facts.certificate("ct_to_mr.fp16.onnx") is None
    assert replace(facts, certificates=(failed,)).certificate(BACK) is None


@pytest.mark.parametrize("field", ["mean_percent", "sd_percent", "p95_percent", "limit_percent"])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_facts_that_cannot_be_are_refused_by_the_name_of_the_field(field: str, value: float) -> None:
    given: dict[str, Any] = {**vars(cycle_facts()), field: value}
    with pytest.raises(ValueError, match=rf"cycle\.{field}"):
        CycleFacts(**given)
