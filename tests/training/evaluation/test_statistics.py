"""The paper's own table, and small samples worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.statistics import compare, compare_all, in_words, summarize

MAE, PSNR = Metric("mae", "MAE", "in mask", "HU", "lower", 1), Metric("psnr", "PSNR", "in mask", "dB", "higher", 1)
# Table 1 of the paper: six patients, trained unpaired and paired
TABLE_1 = {
    ("unpaired", "mae"): (70.3, 76.2, 75.5, 75.2, 72.0, 73.0),
    ("paired", "mae"): (86.2, 98.8, 96.9, 86.0, 81.7, 87.0),
    ("unpaired", "psnr"): (31.1, 32.1, 32.9, 32.9, 32.3, 32.5),
    ("paired", "psnr"): (29.3, 30.1, 30.1, 31.7, 31.2, 30.9),
}
FIGURES = {
    (f"P{n}", method): {key: TABLE_1[method, key][n] for key in ("mae", "psnr")}
    for n in range(6)
    for method in ("unpaired", "paired")
}


def test_the_papers_rows_give_the_papers_means_and_spreads() -> None:
    found = {(s.method, s.metric): s for s in summarize(FIGURES, [MAE, PSNR])}
    printed = {
        ("unpaired", "mae"): (73.7, 2.3),
        ("paired", "mae"): (89.4, 6.8),
        ("unpaired", "psnr"): (32.3, 0.7),
        ("paired", "psnr"): (30.6, 0.9),
    }
    for key, (mean, sd) in printed.items():
        assert found[key].patients == 6
        assert found[key].mean == pytest.approx(mean, abs=0.0501)  # printed with one digit
        assert found[key].sd == pytest.approx(sd, abs=0.0501)


def test_the_papers_rows_differ_as_the_paper_says() -> None:
    of_mae, of_psnr = compare_all(FIGURES, [MAE, PSNR])
    for found, sign in ((of_mae, -1), (of_psnr, 1)):
        assert (found.first, found.second, len(found.patients)) == ("unpaired", "paired", 6)
        assert found.t_p is not None and found.t_p < 0.05
        assert found.wilcoxon_p == pytest.approx(2 / 64)  # all six the same way, exactly
        assert found.mean is not None and found.interval is not None and found.effect is not None
        assert np.sign([found.mean, *found.interval, found.effect]).tolist() == [sign] * 4
    differences = np.subtract(TABLE_1["unpaired", "mae"], TABLE_1["paired", "mae"])
    assert of_mae.mean == pytest.approx(73.7 - 89.4333, abs=1e-3)
    assert of_mae.effect == pytest.approx(differences.mean() / differences.std(ddof=1))
    # t = d_z sqrt(n)
    assert of_mae.t is not None and of_mae.effect is not None
    assert of_mae.t == pytest.approx(of_mae.effect * math.sqrt(6))


def test_the_signed_rank_test_is_exact_for_few_patients_ties_and_zeros_too() -> None:
    for differences in ([1.0, 2.0, -3.0, 4.0, 5.0], [1.0, 1.0, -1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0, -4.0]):
        found = compare("a", "b", "mae", {f"P{n}": (value, 0.0) for n, value in enumerate(differences)})
        kept = [d for d in differences if d]
        ranks = [
            sum(abs(other) < abs(d) for other in kept) + (sum(abs(other) == abs(d) for other in kept) + 1) / 2
            for d in kept
        ]
        middle = sum(ranks) / 2
        seen = abs(sum(r for r, d in zip(ranks, kept, strict=True) if d > 0) - middle)
        sums = [
            sum(r for r, up in zip(ranks, ups, strict=True) if up)
            for ups in itertools.product((0, 1), repeat=len(kept))
        ]
        expected = sum(abs(s - middle) >= seen - 1e-9 for s in sums) / len(sums)
        assert found.wilcoxon_p == pytest.approx(expected)


def test_the_bootstrap_interval_is_the_same_again_and_holds_the_mean() -> None:
    rng = np.random.default_rng(0)
    pairs = {f"P{n}": (float(value), 0.0) for n, value in enumerate(rng.normal(5, 2, 200))}
    found, again = compare("a", "b", "mae", pairs), compare("a", "b", "mae", pairs)
    assert found == again and found.interval is not None and found.mean is not None
    low, high = found.interval
    assert low < found.mean < high
    standard_error = float(np.std([one for one, _ in pairs.values()], ddof=1)) / math.sqrt(200)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.05)  # as of a normal distribution


def test_methods_that_differ_by_a_constant_have_no_t() -> None:
    pairs = {f"P{n}": (value + 0.1, value) for n, value in enumerate((70.3, 71.9, 75.5, 66.6, 70.1))}
    found = compare("a", "b", "mae", pairs)
    assert found.t is found.t_p is found.effect is None
    assert found.mean == pytest.approx(0.1) and found.wilcoxon_p is not None
    same = compare("a", "b", "mae", {"P1": (3.0, 3.0), "P2": (4.0, 4.0)})
    assert same.mean == 0 and same.t_p is same.wilcoxon_p is same.effect is None


def test_fewer_than_two_shared_patients_are_not_compared() -> None:
    found = compare("a", "b", "mae", {"P1": (3.0, 4.0)})
    assert found.patients == ("P1",) and found.mean is found.t_p is found.wilcoxon_p is found.interval is None


def test_every_two_methods_are_compared_on_the_patients_they_share() -> None:
    values = {"mae": 1.0}
    figures: dict[tuple[str, str], dict[str, float | None]] = {
        ("anna", "late"): {"mae": 2.0},
        ("anna", "early"): {**values},
        ("bob", "early"): {"mae": 4.0},
        ("bob", "late"): {"mae": 3.0},
        ("carl", "early"): {"mae": None},
        ("carl", "late"): {"mae": 3.0},
        ("anna", "other"): {**values},
    }
    found = {(c.first, c.second): c.patients for c in compare_all(figures, [MAE])}
    assert list(found) == [("late", "early"), ("late", "other"), ("early", "other")]
    assert found["late", "early"] == ("anna", "bob") and found["late", "other"] == ("anna",)
    early = next(s for s in summarize(figures, [MAE]) if s.method == "early")
    assert (early.patients, early.mean, early.sd) == (2, 2.5, pytest.approx(3 / math.sqrt(2)))
    other = next(s for s in summarize(figures, [MAE]) if s.method == "other")
    assert (other.patients, other.mean, other.sd) == (1, 1.0, None)


def test_p_values_in_words() -> None:
    printed = {
        0.03125: "0.031",
        0.125: "0.13",
        0.5: "0.50",
        0.00149: "0.0015",
        0.00004: "<0.001",
        1.0: "1.0",
        None: "-",
    }
    assert {p: in_words(p) for p in printed} == printed
