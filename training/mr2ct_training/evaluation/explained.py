"""What the figures of a report mean, a line each, for somebody who has not read the source."""

from __future__ import annotations

from collections.abc import Iterator

from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.metrics import TISSUE_LIMITS_HU
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.statistics import INTERVAL, RESAMPLES
from mr2ct_training.evaluation.wording import PLUS_MINUS, number


def definitions(evaluation: Evaluation) -> Iterator[str]:
    """Error, mask, PSNR, tissues, structure, averages and, where there are two methods, tests."""
    air, bone = (number(limit, 0) for limit in TISSUE_LIMITS_HU)
    yield "Error is synthetic \N{MINUS SIGN} reference; MAE, ME, RMSE: its mean magnitude, mean, root mean square."
    sources = dict.fromkeys(row.mask_source for row in evaluation.rows)
    yield f"In mask: {' or '.join(sources)}. In volume: all voxels of the reference's file, air around the head too."
    yield _psnr(evaluation.convention)
    yield f"Tissues are the reference's: air below {air} HU, bone above {bone} HU, soft between; Dice is of bone."
    yield _structure(evaluation.convention)
    yield (
        "From slice to slice: jumps is the mean |change| between neighbouring sagittal slices of the synthetic CT over "
        "that of the CT; excess and step are the largest surplus of change and the largest jump of brightness."
    )
    yield f"Averages are over patients: mean {PLUS_MINUS} sample standard deviation (n \N{MINUS SIGN} 1)."
    if evaluation.comparisons:
        yield (
            f"Differences are paired by patient. Intervals are {INTERVAL:.0%} percentile bootstrap of the mean "
            f"({RESAMPLES} samples), p-values two-sided, d_z the mean difference over the SD of the differences."
        )


def _psnr(convention: Convention) -> str:
    clip = convention.psnr_clip_hu
    clipped = "nothing clipped" if clip is None else f"both clipped to {number(clip[0], 0)}..{number(clip[1], 0)} HU"
    return (
        f"PSNR is 20 log10({convention.psnr_range_hu:g} / RMSE), {clipped}. PSNRs of other voxels or another range do "
        "not compare."
    )


def _structure(convention: Convention) -> str:
    name = "MS-SSIM (SynthRAD2025)" if convention.structure == "ms_ssim" else "SSIM (SynthRAD2023)"
    low, high = (number(end, 0) for end in convention.structure_hu)
    return f"{name} is three-dimensional, window 7, of volumes clipped to {low}..{high} HU, {low} HU outside the mask."
