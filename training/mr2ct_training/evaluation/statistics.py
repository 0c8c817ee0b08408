"""Mean and spread of a method over patients, and whether two methods differ on the same patients.

Six patients are few, so beside the paper's paired t-test stand a test that assumes no distribution, the
size of the effect, and an interval for it. No p-value is corrected for how many are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from mr2ct_training.evaluation.metrics import Metric

FEWEST = 2  # patients; with fewer there is no spread and no test
RESAMPLES = 10_000
SEED = 1  # of the bootstrap: the same values give the same interval
INTERVAL = 0.95

Figures = Mapping[tuple[str, str], Mapping[str, float | None]]  # by (patient, method), then by a metric's key


@dataclass(frozen=True)
class Summary:
    """A metric of a method over its patients, in the metric's unit.

    patients: how many have a value.  mean: None where none has.  sd: of the sample (n - 1), None of fewer than two.
    """

    method: str
    metric: str
    patients: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Comparison:
    """A metric of two methods on the same patients; differences are first - second, in the metric's unit.

    patients: the shared ones that have both values, in order of appearance; with fewer than two, only they are given.
    interval: 95 %, percentile bootstrap of the mean difference (Efron 1979).  t, t_p: paired t-test, two-sided, None
    where all differences are equal.  wilcoxon, wilcoxon_p: signed-rank test, two-sided, exact up to 50 patients, with
    ties or zeros up to 13; None where all differences are 0.  effect: d_z = mean / SD of the differences (Lakens
    2013, doi:10.3389/fpsyg.2013.00863), None where t is.
    """

    first: str
    second: str
    metric: str
    patients: tuple[str, ...]
    mean: float | None = None
    interval: tuple[float, float] | None = None
    t: float | None = None
    t_p: float | None = None
    wilcoxon: float | None = None
    wilcoxon_p: float | None = None
    effect: float | None = None


def summarize(figures: Figures, metrics: Sequence[Metric]) -> tuple[Summary, ...]:
    """Every metric of every method, methods in order of appearance."""
    return tuple(
        _summary(method, metric.key, [v[metric.key] for (_, of), v in figures.items() if of == method])
        for method in methods_of(figures)
        for metric in metrics
    )


def _summary(method: str, metric: str, figures: Sequence[float | None]) -> Summary:
    values = [value for value in figures if value is not None]
    mean = float(np.mean(values)) if values else None
    return Summary(method, metric, len(values), mean, float(np.std(values, ddof=1)) if len(values) > 1 else None)


def compare_all(figures: Figures, metrics: Sequence[Metric]) -> tuple[Comparison, ...]:
    """Every metric of every two methods, in order of appearance."""
    return tuple(
        _of_two(figures, first, second, metric.key)
        for first, second in combinations(methods_of(figures), 2)
        for metric in metrics
    )


def _of_two(figures: Figures, first: str, second: str, metric: str) -> Comparison:
    pairs = {}
    for patient, method in figures:
        if method == first and (patient, second) in figures:
            one, other = figures[patient, first][metric], figures[patient, second][metric]
            if one is not None and other is not None:
                pairs[patient] = (one, other)
    return compare(first, second, metric, pairs)


def methods_of(figures: Figures) -> list[str]:
    """The methods in order of appearance."""
    return list(dict.fromkeys(method for _, method in figures))


def compare(first: str, second: str, metric: str, pairs: Mapping[str, tuple[float, float]]) -> Comparison:
    """Two methods on the same patients. pairs: by patient, the first method's value and the second's."""
    patients = tuple(pairs)
    if len(patients) < FEWEST:
        return Comparison(first, second, metric, patients)
    differences = np.array([one - other for one, other in pairs.values()])
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    # equal differences, 0.1 in binary, have a spread of rounding
    level = max(abs(number) for both in pairs.values() for number in both)
    constant = spread <= 1e-12 * level
    t_test = None if constant else stats.ttest_1samp(differences, 0.0)
    ranks = stats.wilcoxon(differences) if differences.any() else None
    return Comparison(
        first, second, metric, patients, mean, bootstrap_interval(differences),
        t=None if t_test is None else float(t_test.statistic),
        t_p=None if t_test is None else float(t_test.pvalue),
        wilcoxon=None if ranks is None else float(ranks.statistic),
        wilcoxon_p=None if ranks is None else float(ranks.pvalue),
        effect=None if constant else mean / spread,
    )  # fmt: skip


def bootstrap_interval(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    """The middle INTERVAL of the means of RESAMPLES samples, drawn with replacement from values, (n,)."""
    draws = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), (tail, 1 - tail))
    return float(low), float(high)


def in_words(p: float | None) -> str:
    """A p-value as papers print it: two significant digits."""
    if p is None or math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p * (1 + 1e-12):#.2g}"  # a half up: 0.125, of four patients, is 0.13
