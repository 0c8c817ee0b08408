"""An evaluation as a report: what it says, in which order; how it looks is up to markdown.py and page.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mr2ct_training.evaluation.blocks import Beside, Block, Bullets, Section, Sheet
from mr2ct_training.evaluation.continuity import CONTINUITY_METRICS
from mr2ct_training.evaluation.curves import continuity_picture
from mr2ct_training.evaluation.explained import definitions
from mr2ct_training.evaluation.figures import Picture, pictures
from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.statistics import FEWEST, Comparison, in_words
from mr2ct_training.evaluation.table_one import heading, in_table_one, our_table, paper_table
from mr2ct_training.evaluation.wording import PLUS_MINUS, average, difference_in_words, number

RESEARCH_ONLY = "Research only. mr2ct is not a medical device: no clinical decision may rest on these figures."


def sections(evaluation: Evaluation) -> list[Section]:
    """The whole report, pictures drawn."""
    curves = continuity_picture(evaluation)
    return [
        Section("", (RESEARCH_ONLY, *_headline(evaluation), *_warnings(evaluation))),
        Section("Table 1", (Beside((our_table(evaluation), paper_table())),)),
        Section("Differences between methods", tuple(_differences(evaluation))),
        Section("Pictures", tuple(pictures(evaluation))),
        Section("Further metrics", (_further(evaluation),)),
        Section("From slice to slice", (*([curves] if curves else []), _continuity(evaluation))),
        Section("How it was measured", (Bullets(tuple(definitions(evaluation))), _sources(evaluation))),
        Section("Notes", (Bullets(evaluation.notes),)),
        Section("Versions", (", ".join(f"{name} {number}" for name, number in evaluation.versions.items()),)),
    ]


def pictures_of(report: Sequence[Section]) -> list[Picture]:
    """Every picture of a report."""
    return [block for section in report for block in section.blocks if isinstance(block, Picture)]


def _headline(evaluation: Evaluation) -> Iterator[Block]:
    """What most readers came for, a line for each method."""
    first = [metric for metric in evaluation.metrics if in_table_one(metric)]
    of = {(summary.method, summary.metric): summary for summary in evaluation.summaries}
    results = [
        f"{method}: "
        + "; ".join(
            f"{heading(m, evaluation.convention).partition(' [')[0]}: {average(of[method, m.key], m.digits)} "
            f"{m.unit.partition(' ')[0]}"
            for m in first
        )
        + f"; n = {of[method, first[0].key].patients}"
        for method in evaluation.methods
    ]
    yield f"Of {evaluation.table}, convention {evaluation.convention.name}. Mean {PLUS_MINUS} SD over n patients:"
    yield Bullets(tuple(results))


def _warnings(evaluation: Evaluation) -> Iterator[Bullets]:
    """What is particular about single rows, the same words once."""
    whose: dict[str, list[str]] = {}
    for row in evaluation.rows:
        for note in row.notes:
            whose.setdefault(note, []).append(f"{row.patient} {row.method}")
    if whose:
        yield Bullets(tuple(f"{', '.join(names)}: {note}" for note, names in whose.items()), loud=True)


def _differences(evaluation: Evaluation) -> Iterator[Block]:
    """Sentences and a table for each two methods."""
    metrics = {metric.key: metric for metric in evaluation.metrics if metric.shown != "results"}
    couples = dict.fromkeys((found.first, found.second) for found in evaluation.comparisons)
    if not couples:
        yield "One method only: no test."
    for first, second in couples:
        own = [c for c in evaluation.comparisons if (c.first, c.second) == (first, second) and c.metric in metrics]
        yield Bullets(
            tuple(difference_in_words(c, metrics[c.metric]) for c in own if metrics[c.metric].shown == "first")
        )
        if any(len(found.patients) >= FEWEST for found in own):
            yield Sheet(
                caption=f"{first} \N{MINUS SIGN} {second}, paired by patient: mean difference",
                columns=("", "n", "mean", "95 % from", "to", "t-test p", "Wilcoxon p", "d_z"),
                rows=tuple(
                    _difference(found, heading(metrics[found.metric], evaluation.convention), metrics[found.metric])
                    for found in own
                    if len(found.patients) >= FEWEST
                ),
            )


def _difference(found: Comparison, name: str, metric: Metric) -> tuple[str, ...]:
    numbers = (number(value, metric.digits, sign=True) for value in (found.mean, *(found.interval or (None, None))))
    tests = in_words(found.t_p), in_words(found.wilcoxon_p), number(found.effect, 2)
    return (name, str(len(found.patients)), *numbers, *tests)


def _further(evaluation: Evaluation) -> Sheet:
    """Everything but Table 1 and what is about slices: a row for each patient and method."""
    slices = {metric.key for metric in CONTINUITY_METRICS}
    metrics = [m for m in evaluation.metrics if m.shown != "results" and not in_table_one(m) and m.key not in slices]
    return _by_row(evaluation, metrics, "Further metrics of each synthetic CT")


def _by_row(evaluation: Evaluation, metrics: Sequence[Metric], caption: str) -> Sheet:
    of = {(summary.method, summary.metric): summary for summary in evaluation.summaries}
    return Sheet(
        caption=caption,
        columns=("Patient", "Method", *(heading(metric, evaluation.convention) for metric in metrics)),
        rows=tuple(
            (row.patient, row.method, *(number(row.values[m.key], m.digits) for m in metrics))
            for row in evaluation.rows
        ),
        foot=tuple(
            cells
            for method in evaluation.methods
            for cells in (
                ("Average", method, *(number(of[method, m.key].mean, m.digits) for m in metrics)),
                ("SD", method, *(number(of[method, m.key].sd, m.digits) for m in metrics)),
            )
        ),
        words=2,
    )


def _continuity(evaluation: Evaluation) -> Sheet:
    """Jumps between slices, and where the largest are."""
    plain = _by_row(evaluation, CONTINUITY_METRICS, "Changes between neighbouring sagittal slices, in the mask")
    rows = []
    for cells, row in zip(plain.rows, evaluation.rows, strict=True):
        found = row.continuity.largest_excess, row.continuity.largest_step
        excess, step = (number(each[1], 1) if each else "-" for each in found)
        rows.append((*cells[:4], excess, cells[4], step))
    labels = ("jumps [sCT / CT]", "largest excess [HU]", "at x [mm]", "largest step [HU]", "at x [mm]")
    foot = tuple((*cells[:4], "", cells[4], "") for cells in plain.foot)
    note = "x grows to the patient's left (LPS mm)."
    return Sheet(plain.caption, ("Patient", "Method", *labels), tuple(rows), foot, words=2, note=note)


def _sources(evaluation: Evaluation) -> Sheet:
    """Which voxels of which files."""
    rows = []
    for row in evaluation.rows:
        others = [f"{role} {file}" for role, file in
                  (("mask", row.mask), ("mr", row.mr), ("cycled_mr", row.cycled_mr)) if file]  # fmt: skip
        files = "; ".join([f"synthetic {row.synthetic}", f"reference {row.reference}", *others])
        resampled = "RESAMPLED" if row.resampled else "no"
        mask = row.mask_source, files, resampled, f"{row.mask_voxels}", number(row.mask_litres, 2)
        rows.append((row.patient, row.method, *mask))
    columns = ("Patient", "Method", "Mask", "Files", "Resampled", "Voxels in mask", "Litres")
    return Sheet("Masks and files", columns, tuple(rows), words=5)
