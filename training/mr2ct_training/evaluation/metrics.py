"""Errors in HU, voxel by voxel: MAE, ME, RMSE, PSNR, MAE per tissue, bone Dice.

Everywhere error = synthetic - reference, so a negative ME is a synthetic CT that is too dark. Arrays are HU, (k, j, i)
or any other shape, any real dtype; the sums are float64. A measure of no voxels is None, never 0 and never NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct_training.evaluation.conventions import Convention

# Tissue of the reference, HU: air below the first, soft tissue from the first to the second, bone above the second.
TISSUE_LIMITS_HU = (-200.0, 250.0)

Better = Literal["lower", "higher", "near 0", "near 1"]
Shown = Literal["first", "report", "results"]
Values = dict[str, float | None]
Mask = NDArray[np.bool_]
Hu = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """What a number is.

    key: its name in results.json; it holds the voxel set and, of a PSNR, the range.  name, voxels, unit: the three
    lines over its column.  better: which way is better.  digits: after the point, where it is printed.  shown: in the
    terminal's table, the report and results.json; in the last two; or in results.json only.
    """

    key: str
    name: str
    voxels: str
    unit: str
    better: Better
    digits: int
    shown: Shown = "report"

    @property
    def label(self) -> str:
        """In one line, as "MAE in mask [HU]"."""
        return f"{self.name} {self.voxels}" + (f" [{self.unit}]" if self.unit else "")


def error_metrics(convention: Convention) -> tuple[Metric, ...]:
    """What error_values measures under a convention, in the order in which it is shown."""
    clip, peak = convention.psnr_clip_hu, f"{convention.psnr_range_hu:g}"
    clipped = "" if clip is None else f"_clipped_{clip[0]:g}_{clip[1]:g}"
    psnr_unit = f"dB of {peak}" + ("" if clip is None else " clip")
    return (
        Metric("mae_hu_in_mask", "MAE", "in mask", "HU", "lower", 1, "first"),
        Metric("me_hu_in_mask", "ME", "in mask", "HU", "near 0", 1),
        Metric("rmse_hu_in_mask", "RMSE", "in mask", "HU", "lower", 1),
        Metric(f"psnr_db_in_mask_range_{peak}{clipped}", "PSNR", "in mask", psnr_unit, "higher", 1, "first"),
        Metric("mae_hu_in_volume", "MAE", "in volume", "HU", "lower", 1, "results"),
        Metric("me_hu_in_volume", "ME", "in volume", "HU", "near 0", 1, "results"),
        Metric("rmse_hu_in_volume", "RMSE", "in volume", "HU", "lower", 1, "results"),
        Metric(f"psnr_db_in_volume_range_{peak}{clipped}", "PSNR", "in volume", psnr_unit, "higher", 1, "first"),
        Metric("mae_hu_in_mask_air", "MAE", "air", "HU", "lower", 1),
        Metric("mae_hu_in_mask_soft", "MAE", "soft", "HU", "lower", 1),
        Metric("mae_hu_in_mask_bone", "MAE", "bone", "HU", "lower", 1),
        Metric("dice_in_mask_bone", "Dice", "bone", "", "higher", 3, "first"),
    )


def error_values(synthetic: Hu, reference: Hu, mask: Mask, convention: Convention) -> Values:
    """Every metric of error_metrics, by key. synthetic, reference: HU; mask: bool; all of one shape."""
    inside, expected = synthetic[mask], reference[mask]
    tissues = [mae(inside[tissue], expected[tissue]) for tissue in tissues_of(expected)]
    numbers = (
        mae(inside, expected),
        mean_error(inside, expected),
        rmse(inside, expected),
        psnr(inside, expected, convention.psnr_range_hu, convention.psnr_clip_hu),
        mae(synthetic, reference),
        mean_error(synthetic, reference),
        rmse(synthetic, reference),
        psnr(synthetic, reference, convention.psnr_range_hu, convention.psnr_clip_hu),
        *tissues,
        dice(inside > TISSUE_LIMITS_HU[1], expected > TISSUE_LIMITS_HU[1]),
    )
    return {metric.key: value for metric, value in zip(error_metrics(convention), numbers, strict=True)}


def tissues_of(reference: Hu) -> tuple[Mask, Mask, Mask]:
    """Where a CT, HU, is air, soft tissue and bone; each voxel is one of the three."""
    air, bone = reference < TISSUE_LIMITS_HU[0], reference > TISSUE_LIMITS_HU[1]
    return air, ~(air | bone), bone


def mae(synthetic: Hu, reference: Hu) -> float | None:
    """Mean |error|, HU."""
    return float(np.abs(_error(synthetic, reference)).mean()) if synthetic.size else None


def mean_error(synthetic: Hu, reference: Hu) -> float | None:
    """Mean error with its sign, HU."""
    return float(_error(synthetic, reference).mean()) if synthetic.size else None


def rmse(synthetic: Hu, reference: Hu) -> float | None:
    """Root of the mean squared error, HU."""
    if not synthetic.size:
        return None
    error = _error(synthetic, reference).ravel()
    return math.sqrt(float(error @ error) / error.size)


def psnr(synthetic: Hu, reference: Hu, peak: float, clip: tuple[float, float] | None) -> float | None:
    """20 log10(peak / RMSE), dB, of values clipped to clip (HU) where it is given; None, too, where nothing differs."""
    if clip is not None:
        synthetic, reference = np.clip(synthetic, *clip), np.clip(reference, *clip)
    root = rmse(synthetic, reference)
    return 20 * math.log10(peak / root) if root else None


def dice(one: Mask, other: Mask) -> float | None:
    """2 |A and B| / (|A| + |B|), 0 to 1 (Dice 1945, doi:10.2307/1932409); None where both are empty."""
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / total if total else None


def _error(synthetic: Hu, reference: Hu) -> NDArray[np.float64]:
    """Unsigned integers must not wrap around, nor int16 overflow: the difference is made in float64."""
    return np.subtract(synthetic, reference, dtype=np.float64)
