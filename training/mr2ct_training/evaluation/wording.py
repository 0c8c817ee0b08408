"""Numbers as they are printed in a report, and the difference of two methods in words that can be quoted."""

from __future__ import annotations

from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.statistics import FEWEST, Comparison, Summary, in_words

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def shortened(words: str, most: int) -> str:
    """Words in one line of at most so many characters."""
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """With so many digits after the point; "-" where there is none. 0 has no sign."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS) if value < 0 or not sign else f"+{text}"


def average(summary: Summary, digits: int) -> str:
    """Mean and sample SD, as the paper prints them; without the SD where there is one patient."""
    if summary.sd is None:
        return number(summary.mean, digits)
    return f"{number(summary.mean, digits)} {PLUS_MINUS} {number(summary.sd, digits)}"


def difference_in_words(found: Comparison, metric: Metric) -> str:
    """One sentence on one metric of two methods."""
    name, unit = f"{metric.name} {metric.voxels}", metric.unit.partition(" ")[0]
    unit = f" {unit}" if unit in ("HU", "dB") else ""
    if len(found.patients) < FEWEST or found.mean is None or found.interval is None:
        return f"{name}: no test; {found.first} and {found.second} share {len(found.patients)} patient(s) with a value."
    low, high = (number(end, metric.digits, sign=True) for end in found.interval)
    mean = number(found.mean, metric.digits, sign=True)
    test = "no paired t-test, all differences are equal" if found.t_p is None else f"paired t-test {_p(found.t_p)}"
    ranks = "no Wilcoxon test, nothing differs" if found.wilcoxon_p is None else f"Wilcoxon {_p(found.wilcoxon_p)}"
    effect = "" if found.effect is None else f", d_z = {number(found.effect, 2)}"
    return (
        f"{name}: {found.first} {MINUS} {found.second} = {mean}{unit} (95 % bootstrap interval {low} to {high}{unit}), "
        f"{test}, {ranks}{effect}, n = {len(found.patients)}{_better(found, metric)}."
    )


def _p(p: float) -> str:
    words = in_words(p)
    return f"p {words[0]} {words[1:]}" if words[0] == "<" else f"p = {words}"


def _better(found: Comparison, metric: Metric) -> str:
    """Whose mean is better, where one way is."""
    if not found.mean or metric.better not in ("lower", "higher"):
        return ""
    first = (found.mean < 0) == (metric.better == "lower")
    return f"; {metric.better} is better: {found.first if first else found.second} is, on average"
