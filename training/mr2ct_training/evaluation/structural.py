"""SSIM and MS-SSIM in a mask, as the SynthRAD challenges define them.

Both clip to the convention's range, fill everything outside the mask with the range's lower end, shift by it so that
nothing is negative, and take the mean of the SSIM map over the mask, leaving out voxels within half a window of the
volume's border (Wang 2004, doi:10.1109/TIP.2003.819861, with a uniform window of 7 x 7 x 7, K1 0.01, K2 0.03 and
sample covariances, which are scikit-image's defaults). Voxels that do not count are not computed: the map is made slab
by slab, half a window around what counts, which changes it by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.metrics import Metric

WINDOW = 7  # voxels along each axis, in SSIM and at every scale of MS-SSIM
HALF = WINDOW // 2
K1, K2 = 0.01, 0.03
SLAB = 24  # slices at a time: 183 x 288 x 288 stays below 0.5 GiB

# Wang 2003, doi:10.1109/ACSSC.2003.1292216, section 3.2, by scale from fine to coarse. There luminance counts at the
# coarsest scale only; SynthRAD2025's code lets it count at every scale, with the same weights, and so does this.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_SIZE = 97  # voxels; SynthRAD2025 pads shorter axes to it, both sides, by the outermost voxels: 97 49 25 13 7

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Box = tuple[slice, ...]


def structural_metric(convention: Convention) -> Metric:
    """What structural_value measures under a convention."""
    if convention.structure == "ms_ssim":
        return Metric("ms_ssim_synthrad2025_in_mask", "MS-SSIM", "in mask", "2025", "higher", 4, "first")
    return Metric("ssim_synthrad2023_in_mask", "SSIM", "in mask", "2023", "higher", 4, "first")


def structural_value(synthetic: NDArray[Any], reference: NDArray[Any], mask: Mask, convention: Convention) -> float:
    """SSIM or MS-SSIM, up to 1. synthetic, reference: HU, (k, j, i); mask: (k, j, i) bool.

    Raises ValueError, one line, where the mask leaves no voxel to measure.
    """
    low, high = convention.structure_hu
    one, other = (np.where(mask, np.clip(volume, low, high), low) - low for volume in (synthetic, reference))
    return (
        ms_ssim(one, other, mask, high - low)
        if convention.structure == "ms_ssim"
        else ssim(one, other, mask, high - low)
    )


def ssim(one: Array, other: Array, mask: Mask, span: float) -> float:
    """Mean over the mask of the SSIM map, as SynthRAD2023 has it. one, other: (k, j, i), 0 outside the mask, to span.

    Raises ValueError where the mask has no voxel farther than 3 from the volume's border.
    """

    def similarity(a: Array, b: Array) -> Array:
        whole = structural_similarity(a, b, win_size=WINDOW, data_range=span, K1=K1, K2=K2, full=True)
        every: Array = whole[1]
        return every

    return _mean_over(mask, one, other, similarity)


def ms_ssim(one: Array, other: Array, mask: Mask, span: float) -> float:
    """Product over five scales of masked means, as SynthRAD2025 has it. one, other: as for ssim.

    Each scale averages pairs of the finer one along each axis, a voxel with the one before it, and what lies before the
    first is 0; the mask keeps every other voxel. Raises ValueError where a scale has no voxel of the mask that is
    farther than 3 from the border.
    """
    pads = [((missing // 2), missing - missing // 2) for missing in (max(0, LEAST_SIZE - n) for n in mask.shape)]
    one, other, mask = np.pad(one, pads, "edge"), np.pad(other, pads, "edge"), np.pad(mask, pads, "edge")
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            one, other, mask = _halved(one), _halved(other), mask[::2, ::2, ::2]

        def similarity(a: Array, b: Array, weight: float = weight) -> Array:
            return _weighted_similarity(a, b, span, weight)

        try:
            mean = _mean_over(mask, one, other, similarity)
        except ValueError as error:
            raise ValueError(
                f"MS-SSIM is not defined at scale {scale + 1} of {len(MS_SSIM_WEIGHTS)}: {error}"
            ) from None
        product *= min(max(mean, 0.0), 1.0)
    return product


def _weighted_similarity(a: Array, b: Array, span: float, weight: float) -> Array:
    """(luminance x contrast x structure) ** weight, each from 0 on: Wang 2003, equations 1 to 3, with C3 = C2 / 2."""
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    sample = WINDOW**a.ndim / (WINDOW**a.ndim - 1)
    mean_a, mean_b = uniform_filter(a, WINDOW), uniform_filter(b, WINDOW)
    var_a = sample * (uniform_filter(a * a, WINDOW) - mean_a * mean_a)
    var_b = sample * (uniform_filter(b * b, WINDOW) - mean_b * mean_b)
    covariance = sample * (uniform_filter(a * b, WINDOW) - mean_a * mean_b)
    spread = np.sqrt(np.maximum(var_a, 0)) * np.sqrt(np.maximum(var_b, 0))
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    contrast = (2 * spread + c2) / (var_a + var_b + c2)
    structure = (covariance + c2 / 2) / (spread + c2 / 2)
    parts: Array = np.maximum(luminance, 0) * np.maximum(contrast, 0) * np.maximum(structure, 0)
    return parts**weight


def _halved(volume: Array) -> Array:
    """Every other voxel along each axis, averaged with the one before it; before the first there is 0."""
    for axis in range(volume.ndim):
        along = np.moveaxis(volume, axis, 0)
        half = along[::2] / 2
        half[1:] += along[1:-1:2] / 2
        volume = np.moveaxis(half, 0, axis)
    return volume


def _mean_over(mask: Mask, one: Array, other: Array, similarity: Callable[[Array, Array], Array]) -> float:
    """The mean of similarity(one, other) over the voxels of the mask that are farther than HALF from the border."""
    total, count = 0.0, 0
    for outer, inner in _slabs(mask):
        counted = mask[outer][inner]
        total += float(similarity(one[outer], other[outer])[inner][counted].sum())
        count += int(np.count_nonzero(counted))
    if not count:
        raise ValueError(f"no voxel of the mask is farther than {HALF} from the volume's border")
    return total / count


def _slabs(mask: Mask) -> Iterator[tuple[Box, Box]]:
    """Boxes that hold all voxels to count, and within each the part that counts: all but HALF on every side."""
    core = mask[(slice(HALF, -HALF),) * mask.ndim]
    if not core.any():
        return
    ranges = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(core.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        ranges.append((int(there[0]), int(there[-1]) + 1))
    (first, last), rest = ranges[0], [slice(low, high + 2 * HALF) for low, high in ranges[1:]]
    inner = (slice(HALF, -HALF),) * mask.ndim
    for start in range(first, last, SLAB):
        yield (slice(start, min(start + SLAB, last) + 2 * HALF), *rest), inner
