"""An evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.statistics import FEWEST, Comparison, in_words
from mr2ct_training.evaluation.wording import shortened

WIDEST = 18  # characters of a name: the table stays within 100 columns


def figures_table(evaluation: Evaluation) -> str:
    """A line for each patient and method, then mean and SD of each method: the first figures; a report has the rest."""
    metrics = [metric for metric in evaluation.metrics if metric.shown == "first"]
    lines = [
        ["", "", *(metric.name for metric in metrics)],
        ["", "", *(metric.voxels for metric in metrics)],
        ["patient", "method", *(metric.unit for metric in metrics)],
    ]
    for row in evaluation.rows:
        names = shortened(row.patient, WIDEST), shortened(row.method, WIDEST)
        lines += [[*names, *(_number(row.values[m.key], m) for m in metrics)]]
    for method in evaluation.methods:
        name = shortened(method, WIDEST)
        of = {summary.metric: summary for summary in evaluation.summaries if summary.method == method}
        lines.append(["mean", name, *(_number(of[m.key].mean, m) for m in metrics)])
        lines.append(["SD", name, *(_number(of[m.key].sd, m) for m in metrics)])
    return _aligned(lines, left=2)


def comparison_tables(evaluation: Evaluation) -> Iterator[str]:
    """For each two methods a heading and a line for each metric; nothing where they share too few patients."""
    metrics = {metric.key: metric for metric in evaluation.metrics if metric.shown == "first"}
    couples = dict.fromkeys((comparison.first, comparison.second) for comparison in evaluation.comparisons)
    for first, second in couples:
        own = [c for c in evaluation.comparisons if (c.first, c.second) == (first, second) and c.metric in metrics]
        enough = [c for c in own if len(c.patients) >= FEWEST]
        if enough:
            head = ["", "patients", "mean", "95 % from", "to", "t-test p", "Wilcoxon p", "d_z"]
            body = [_comparison(comparison, metrics[comparison.metric]) for comparison in enough]
            names = " - ".join(shortened(method, WIDEST) for method in (first, second))
            yield f"{names}, paired by patient\n{_aligned([head, *body], left=1)}"


def _comparison(found: Comparison, metric: Metric) -> list[str]:
    low, high = found.interval or (None, None)
    effect = "-" if found.effect is None else f"{found.effect:.2f}"
    numbers = [_number(value, metric, sign=True) for value in (found.mean, low, high)]
    return [metric.label, str(len(found.patients)), *numbers, in_words(found.t_p), in_words(found.wilcoxon_p), effect]


def _number(value: float | None, metric: Metric, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:{'+' if sign else ''}.{metric.digits}f}"


def _aligned(lines: Sequence[Sequence[str]], left: int) -> str:
    """Columns as wide as their widest cell; the first `left` begin at the left, the others end at the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = []
    for line in lines:
        cells = [
            cell.ljust(w) if n < left else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        rows.append("  ".join(cells).rstrip())
    return "\n".join(rows)
