"""What the field means by PSNR and SSIM: three conventions, each with its source.

The same pair of volumes has a different PSNR in each, so a number never goes without the range it was clipped to, the
range it is measured by and the voxels it was taken over; those are part of a metric's key and of its column's heading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ConventionName = Literal["paper", "synthrad2023", "synthrad2025"]

SYNTHRAD2023_HU = (-1024.0, 3000.0)  # github.com/SynthRAD2023/metrics, functions/image_metrics.py
SYNTHRAD2025_HU = (-1024.0, 3071.0)  # github.com/SynthRAD2025/evaluation, image_metrics.py


@dataclass(frozen=True)
class Convention:
    """How one community measures.

    psnr_clip_hu: both volumes are clipped to it before PSNR, None where nothing is clipped.  psnr_range_hu: the peak
    in PSNR = 20 log10(peak / RMSE).  structure: the structural measure that goes with it.  structure_hu: the range both
    volumes are clipped to for that; its lower end fills what lies outside the mask, its width is the measure's data
    range.  remark: what a reader of the figures has to know, one line.
    """

    name: ConventionName
    psnr_clip_hu: tuple[float, float] | None
    psnr_range_hu: float
    structure: Literal["ssim", "ms_ssim"]
    structure_hu: tuple[float, float]
    remark: str


PAPER = Convention(
    name="paper",
    psnr_clip_hu=None,
    psnr_range_hu=4095.0,  # section 3.2, equation 5
    structure="ssim",
    structure_hu=SYNTHRAD2023_HU,
    remark=(
        "paper: PSNR is 20 log10(4095 / RMSE), nothing clipped; the paper prints MSE for RMSE and does not name its "
        "voxels; it has no SSIM, so that of synthrad2023 is given"
    ),
)
SYNTHRAD2023 = Convention(
    name="synthrad2023",
    psnr_clip_hu=SYNTHRAD2023_HU,
    psnr_range_hu=SYNTHRAD2023_HU[1] - SYNTHRAD2023_HU[0],  # 4024
    structure="ssim",
    structure_hu=SYNTHRAD2023_HU,
    remark=(
        "synthrad2023: MAE unclipped; PSNR and SSIM of volumes clipped to -1024..3000 HU; its PSNR is the one in mask, "
        "the one over the volume is ours"
    ),
)
SYNTHRAD2025 = Convention(
    name="synthrad2025",
    psnr_clip_hu=SYNTHRAD2025_HU,
    psnr_range_hu=SYNTHRAD2025_HU[1] - SYNTHRAD2025_HU[0],  # 4095
    structure="ms_ssim",
    structure_hu=SYNTHRAD2025_HU,
    remark=(
        "synthrad2025: MAE unclipped; PSNR and MS-SSIM of volumes clipped to -1024..3071 HU; luminance counts at every "
        "scale, as in its code and unlike in Wang 2003; its PSNR is the one in mask, the one over the volume is ours"
    ),
)

CONVENTIONS: dict[ConventionName, Convention] = {each.name: each for each in (PAPER, SYNTHRAD2023, SYNTHRAD2025)}
