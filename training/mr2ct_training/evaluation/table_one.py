"""Table 1 as the paper lays it out, of these patients, and the paper's own beside it."""

from __future__ import annotations

from mr2ct_training.evaluation.blocks import Sheet
from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.metrics import Metric
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.wording import PLUS_MINUS, average, number

PAPER_ROWS = (  # Table 1: MAE unpaired, paired, HU; PSNR unpaired, paired, dB
    ("Patient 1", "70.3", "86.2", "31.1", "29.3"),
    ("Patient 2", "76.2", "98.8", "32.1", "30.1"),
    ("Patient 3", "75.5", "96.9", "32.9", "30.1"),
    ("Patient 4", "75.2", "86.0", "32.9", "31.7"),
    ("Patient 5", "72.0", "81.7", "32.3", "31.2"),
    ("Patient 6", "73.0", "87.0", "32.5", "30.9"),
)
PAPER_FOOT = tuple(f"{mean} {PLUS_MINUS} {sd}" for mean, sd in
                   (("73.7", "2.3"), ("89.4", "6.8"), ("32.3", "0.7"), ("30.6", "0.9")))  # fmt: skip


def our_table(evaluation: Evaluation) -> Sheet:
    """A row for each patient, then the averages; MAE in mask by method, PSNR in mask by method."""
    metrics = [metric for metric in evaluation.metrics if in_table_one(metric)]
    values = {(row.patient, row.method): row.values for row in evaluation.rows}
    summaries = {(summary.method, summary.metric): summary for summary in evaluation.summaries}
    rows = tuple(
        (
            patient,
            *(
                number(values[patient, method][metric.key], metric.digits) if (patient, method) in values else "-"
                for metric in metrics
                for method in evaluation.methods
            ),
        )
        for patient in evaluation.patients
    )
    averages = [average(summaries[method, m.key], m.digits) for m in metrics for method in evaluation.methods]
    return Sheet(
        caption="These data: MAE in HU and PSNR in dB between synthetic and reference CT",
        columns=("Patient", *evaluation.methods * len(metrics)),
        rows=rows,
        foot=((f"Average {PLUS_MINUS} SD", *averages),),
        groups=tuple((heading(metric, evaluation.convention), len(evaluation.methods)) for metric in metrics),
    )


def in_table_one(metric: Metric) -> bool:
    """MAE and PSNR, both in mask."""
    return metric.name in ("MAE", "PSNR") and metric.voxels == "in mask"


def heading(metric: Metric, convention: Convention) -> str:
    """A metric in full: of a PSNR its voxel set, its range, and what was clipped; of an SSIM whose it is."""
    if metric.name.endswith("SSIM"):
        return f"{metric.name} {metric.voxels} (SynthRAD {metric.unit})"
    if metric.voxels == "largest":
        return f"largest {metric.name} [{metric.unit}]"
    if metric.name != "PSNR":
        return metric.label
    clip = convention.psnr_clip_hu
    clipped = "" if clip is None else f", clipped to {number(clip[0], 0)}..{number(clip[1], 0)} HU"
    return f"PSNR {metric.voxels}, range {convention.psnr_range_hu:g} HU{clipped} [dB]"


def paper_table() -> Sheet:
    """The paper's Table 1, labelled as the paper's."""
    return Sheet(
        caption="The paper's own Table 1: OTHER DATA, its six patients and its scanners",
        columns=("Patient", "Unpaired", "Paired", "Unpaired", "Paired"),
        rows=PAPER_ROWS,
        foot=((f"Average {PLUS_MINUS} SD", *PAPER_FOOT),),
        groups=(("MAE [HU]", 2), ("PSNR, range 4095, voxels not known [dB]", 2)),
        note=(
            "Wolterink et al. 2017, arXiv:1708.01155; p < 0.05 between the two (paired t-test). Its MAE compares with "
            "MAE in mask. Its PSNR was probably taken over more voxels than the head: by later studies, an MAE of "
            "74 HU goes with about 28 to 29 dB in mask."
        ),
    )
