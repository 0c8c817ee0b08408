"""Numbers and sentences as they are printed."""

from __future__ import annotations

import pytest

from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.statistics import Summary, compare
from mr2ct_training.evaluation.wording import average, difference_in_words, number, shortened

MAE = Metric("mae", "MAE", "in mask", "HU", "lower", 1)
PSNR = Metric("psnr", "PSNR", "in mask", "dB of 4095", "higher", 1)
UNPAIRED, PAIRED = (70.3, 76.2, 75.5, 75.2, 72.0, 73.0), (86.2, 98.8, 96.9, 86.0, 81.7, 87.0)  # the paper's MAE


@pytest.mark.parametrize(
    ("value", "digits", "sign", "printed"),
    [
        (70.34, 1, False, "70.3"),
        (-0.04, 1, False, "0.0"),
        (-3.25, 2, True, "\u22123.25"),
        (3.25, 2, True, "+3.25"),
        (0.0, 1, True, "0.0"),
        (None, 1, True, "-"),
    ],
)
def test_numbers(value: float | None, digits: int, sign: bool, printed: str) -> None:
    assert number(value, digits, sign=sign) == printed


def test_an_average_of_one_patient_has_no_spread() -> None:
    assert average(Summary("a", "mae", 6, 73.7, 2.31), 1) == "73.7 \u00b1 2.3"
    assert average(Summary("a", "mae", 1, 73.7, None), 1) == "73.7"
    assert average(Summary("a", "mae", 0, None, None), 1) == "-"


def test_the_papers_methods_differ_in_a_sentence_that_can_be_quoted() -> None:
    pairs = {f"P{n}": both for n, both in enumerate(zip(UNPAIRED, PAIRED, strict=True))}
    found = difference_in_words(compare("unpaired", "paired", "mae", pairs), MAE)
    assert found.startswith("MAE in mask: unpaired \u2212 paired = \u221215.7 HU (95 % bootstrap interval \u2212")
    assert "paired t-test p < 0.001, Wilcoxon p = 0.031, d_z = \u2212" in found
    assert found.endswith(", n = 6; lower is better: unpaired is, on average.")


def test_what_cannot_be_tested_is_said() -> None:
    constant = difference_in_words(compare("a", "b", "psnr", {"P1": (30.0, 29.0), "P2": (31.0, 30.0)}), PSNR)
    assert "no paired t-test, all differences are equal, Wilcoxon p = 0.50, n = 2" in constant
    assert "= +1.0 dB (" in constant and constant.endswith("higher is better: a is, on average.")
    same = difference_in_words(compare("a", "b", "psnr", {"P1": (30.0, 30.0), "P2": (31.0, 31.0)}), PSNR)
    assert "no Wilcoxon test, nothing differs" in same and "better" not in same
    few = difference_in_words(compare("a", "b", "psnr", {"P1": (30.0, 29.0)}), PSNR)
    assert few == "PSNR in mask: no test; a and b share 1 patient(s) with a value."


def test_names_are_cut_short_in_one_line() -> None:
    assert shortened("a\n b", 9) == "a b" and shortened("0123456789", 5) == "0123\u2026"
