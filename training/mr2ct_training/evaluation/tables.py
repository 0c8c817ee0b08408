"""An evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.statistics import FEWEST, Comparison, in_words


def figures_table(evaluation: Evaluation) -> str:
    """A line for each patient and method, then mean and SD of each method. x: LPS mm, to the Left."""
    metrics = [metric for metric in evaluation.metrics if metric.in_table]
    lines = [
        ["", "", *(metric.name for metric in metrics), "excess", "step"],
        ["", "", *(metric.voxels for metric in metrics), "at x", "at x"],
        ["patient", "method", *(metric.unit for metric in metrics), "mm", "mm"],
    ]
    for row in evaluation.rows:
        places = [
            f"{found[1]:.1f}" if found else "-"
            for found in (row.continuity.largest_excess, row.continuity.largest_step)
        ]
        lines.append([row.patient, row.method, *(_number(row.values[m.key], m) for m in metrics), *places])
    for method in evaluation.methods:
        of = {summary.metric: summary for summary in evaluation.summaries if summary.method == method}
        lines.append(["mean", method, *(_number(of[m.key].mean, m) for m in metrics), "", ""])
        lines.append(["SD", method, *(_number(of[m.key].sd, m) for m in metrics), "", ""])
    return _aligned(lines, left=2)


def comparison_tables(evaluation: Evaluation) -> Iterator[str]:
    """For each two methods a heading and a line for each metric; nothing where they share too few patients."""
    metrics = {metric.key: metric for metric in evaluation.metrics if metric.in_table}
    couples = dict.fromkeys((comparison.first, comparison.second) for comparison in evaluation.comparisons)
    for first, second in couples:
        own = [c for c in evaluation.comparisons if (c.first, c.second) == (first, second) and c.metric in metrics]
        enough = [c for c in own if len(c.patients) >= FEWEST]
        if enough:
            head = ["", "patients", "mean", "95 % from", "to", "t-test p", "Wilcoxon p", "d_z"]
            body = [_comparison(comparison, metrics[comparison.metric]) for comparison in enough]
            yield f"{first} - {second}, paired by patient\n{_aligned([head, *body], left=1)}"


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
