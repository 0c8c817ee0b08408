"""Every row measured, every method summed up, every two methods compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.pairs import Pair
from mr2ct_training.evaluation.results import Evaluation, Row
from mr2ct_training.evaluation.scoring import metrics_of, read_reference, score
from mr2ct_training.evaluation.statistics import FEWEST, compare_all, methods_of, summarize

PACKAGES = ("mr2ct", "numpy", "scipy", "scikit-image", "SimpleITK", "matplotlib")


def evaluate(
    table: Path, pairs: Sequence[Pair], convention: Convention, *, resample: bool, show: Callable[[int, Pair], None]
) -> Evaluation:
    """Measure the rows of a table under a convention. show: told how many are done, and the row that comes now.

    Raises EvaluationError, which names the row that cannot be measured; then nothing is.
    """
    metrics = metrics_of(convention, cycle=any(pair.cycled_mr is not None for pair in pairs))
    rows = [
        replace(row, values={metric.key: row.values.get(metric.key) for metric in metrics})
        for row in _scored(pairs, convention, resample, show)
    ]
    figures = {(row.patient, row.method): row.values for row in rows}
    comparisons = compare_all(figures, metrics)
    return Evaluation(
        table=str(table),
        convention=convention,
        resample=resample,
        metrics=metrics,
        rows=tuple(rows),
        summaries=summarize(figures, metrics),
        comparisons=comparisons,
        notes=(convention.remark, *_about_comparisons(rows), *_about_masks(rows)),
        versions={package: version(package) for package in PACKAGES},
    )


def _scored(
    pairs: Sequence[Pair], convention: Convention, resample: bool, show: Callable[[int, Pair], None]
) -> list[Row]:
    """The rows in the table's order. Those of one reference are measured in a row, so that its head is found once."""
    turn = {path: number for number, path in reversed(list(enumerate(pair.reference.resolve() for pair in pairs)))}
    order = sorted(range(len(pairs)), key=lambda number: turn[pairs[number].reference.resolve()])
    scored: dict[int, Row] = {}
    reference = planes = None
    for done, number in enumerate(order):
        pair = pairs[number]
        show(done, pair)
        if reference is None or reference.path.resolve() != pair.reference.resolve():
            reference = planes = None  # let go of the last one before the next is read
            reference = read_reference(pair)
        scored[number] = score(pair, convention, reference, planes, resample=resample)
        planes = scored[number].planes
    show(len(order), pairs[order[-1]])
    return [scored[number] for number in range(len(pairs))]


def _about_comparisons(rows: Sequence[Row]) -> list[str]:
    """What limits the comparisons, a line each."""
    methods = methods_of({(row.patient, row.method): row.values for row in rows})
    if len(methods) == 1:
        return [f"one method only ({methods[0]}): no test; a second method on the same patients is needed"]
    of = {method: {row.patient for row in rows if row.method == method} for method in methods}
    notes = []
    for number, first in enumerate(methods):
        for second in methods[number + 1 :]:
            shared, apart = of[first] & of[second], of[first] ^ of[second]
            if len(shared) < FEWEST:
                notes.append(
                    f"{first} and {second} share {len(shared)} patient(s): no test; at least {FEWEST} are needed"
                )
            elif apart:
                notes.append(
                    f"{first} and {second} are compared on the {len(shared)} patients they share; left out: "
                    f"{', '.join(sorted(apart))}"
                )
    return [*notes, "p-values are not corrected for the number of metrics and methods that are looked at"]


def _about_masks(rows: Sequence[Row]) -> list[str]:
    """The patients whose methods were not measured in the same voxels, a line each."""
    notes = []
    for patient in dict.fromkeys(row.patient for row in rows):
        own = [row for row in rows if row.patient == patient]
        if len({row.mask_sha256 for row in own}) > 1:
            sizes = ", ".join(f"{row.method} {row.mask_voxels}" for row in own)
            notes.append(
                f"patient {patient}: methods are measured in different masks ({sizes} voxels); a mask or mr column "
                "gives them one"
            )
    return notes
