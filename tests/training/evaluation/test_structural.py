"""SSIM and MS-SSIM against their definitions, window by window, and against scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mr2ct_training.evaluation import structural
from mr2ct_training.evaluation.conventions import PAPER, SYNTHRAD2023, SYNTHRAD2025
from mr2ct_training.evaluation.structural import MS_SSIM_WEIGHTS, structural_metric, structural_value

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def pair(shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """Two volumes alike, HU, some of them out of every convention's range."""
    rng = np.random.default_rng(3)
    reference = rng.uniform(-1500, 3500, shape)
    drift = 900 * np.sin(np.arange(shape[2]) / 6)
    return reference + drift + rng.normal(0, 1500, shape), reference


def ball(shape: tuple[int, int, int], radius: float, at: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Mask:
    k, j, i = (np.arange(n) - share * (n - 1) for n, share in zip(shape, at, strict=True))
    inside: Mask = k[:, None, None] ** 2 + j[:, None] ** 2 + i**2 <= radius**2
    return inside


def prepared(volume: Array, mask: Mask, low: float, high: float) -> Array:
    """Clipped, filled outside the mask, shifted."""
    return np.where(mask, np.minimum(np.maximum(volume, low), high), low) - low


def terms(one: Array, other: Array, mask: Mask, span: float) -> list[Array]:
    """Luminance, contrast and structure of each 7 x 7 x 7 window whose middle is in the mask, by Wang's definition."""
    middle = mask[3:-3, 3:-3, 3:-3]
    a, b = (sliding_window_view(volume, (7, 7, 7))[middle].reshape(-1, 343) for volume in (one, other))
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    sd_a, sd_b = a.std(axis=1, ddof=1), b.std(axis=1, ddof=1)
    covariance = ((a - mean_a[:, None]) * (b - mean_b[:, None])).sum(axis=1) / 342
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return [
        (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1),
        (2 * sd_a * sd_b + c2) / (sd_a**2 + sd_b**2 + c2),
        (covariance + c2 / 2) / (sd_a * sd_b + c2 / 2),
    ]


def halved(volume: Array) -> Array:
    """The mean of eight, as a convolution with ones(2, 2, 2) / 8 that keeps the size: 0 before the first voxel."""
    padded = np.pad(volume, (1, 0))
    k, j, i = volume.shape
    corners = [padded[a : a + k, b : b + j, c : c + i] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    return (sum(corners[1:], corners[0]) / 8)[::2, ::2, ::2]


def ms_ssim_by_definition(one: Array, other: Array, mask: Mask, span: float) -> float:
    product = 1.0
    for weight in MS_SSIM_WEIGHTS:
        maps = [np.maximum(term, 0) ** weight for term in terms(one, other, mask, span)]
        product *= float((maps[0] * maps[1] * maps[2]).mean())
        one, other, mask = halved(one), halved(other), mask[::2, ::2, ::2]
    return product


def value(synthetic: NDArray[Any], reference: NDArray[Any], mask: Mask, convention: Any = SYNTHRAD2023) -> float:
    return structural_value(synthetic, reference, mask, convention)


def test_ssim_is_its_definition() -> None:
    synthetic, reference = pair((20, 17, 23))
    mask = ball((20, 17, 23), 9, (0.4, 0.5, 0.6))
    one, other = prepared(synthetic, mask, -1024, 3000), prepared(reference, mask, -1024, 3000)
    luminance, contrast, structure = terms(one, other, mask, 4024)
    expected = float((luminance * contrast * structure).mean())
    assert value(synthetic, reference, mask) == pytest.approx(expected, abs=1e-9)
    assert value(synthetic, reference, mask, PAPER) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("slab", [1, 5, 1000])
@pytest.mark.parametrize("radius", [2.5, 9, 40])
def test_ssim_of_a_part_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, slab: int, radius: float) -> None:
    """Cropped and cut into slabs it is what scikit-image finds on the whole volume, border left out."""
    shape = (30, 26, 22)
    synthetic, reference = pair(shape)
    mask = ball(shape, radius, (0.3, 0.5, 0.6))
    one, other = prepared(synthetic, mask, -1024, 3000), prepared(reference, mask, -1024, 3000)
    whole = structural_similarity(one, other, data_range=4024.0, full=True)[1]
    counted = np.zeros_like(mask)
    counted[3:-3, 3:-3, 3:-3] = mask[3:-3, 3:-3, 3:-3]
    monkeypatch.setattr(structural, "SLAB", slab)
    assert value(synthetic, reference, mask) == pytest.approx(float(whole[counted].mean()), abs=1e-9)


def test_ssim_by_hand() -> None:
    # One window, constant: SSIM is the luminance. HU 0 and 100 become 1024 and 1124; C1 = (0.01 x 4024)^2 = 1619.2576;
    # (2 x 1024 x 1124 + C1) / (1024^2 + 1124^2 + C1) = 2303571.2576 / 2313571.2576
    everywhere = np.ones((7, 7, 7), bool)
    zero = np.zeros((7, 7, 7))
    assert value(zero + 100, zero, everywhere) == pytest.approx(2303571.2576 / 2313571.2576, abs=1e-9)
    # clipped to 3000, nothing differs
    assert value(zero + 3000, zero + 5000, everywhere) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("shape", "at"), [((112, 99, 104), (0.5, 0.5, 0.5)), ((60, 120, 98), (0.3, 0.5, 0.5))])
def test_ms_ssim_is_its_definition(shape: tuple[int, int, int], at: tuple[float, float, float]) -> None:
    synthetic, reference = pair(shape)
    mask = ball(shape, 21, at)  # of the second shape it reaches the border, and is padded with it
    one, other = prepared(synthetic, mask, -1024, 3071), prepared(reference, mask, -1024, 3071)
    if shape[0] < 97:  # 37 voxels are missing: 18 before, 19 behind
        one, other, wide = (np.pad(array, ((18, 19), (0, 0), (0, 0)), mode="edge") for array in (one, other, mask))
    else:
        wide = mask
    expected = ms_ssim_by_definition(one, other, wide, 4095)
    assert 0.2 < expected < 0.95
    assert value(synthetic, reference, mask, SYNTHRAD2025) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("convention", [SYNTHRAD2023, SYNTHRAD2025])
def test_equal_volumes_are_alike_whatever_lies_outside_the_mask(convention: Any) -> None:
    shape = (100, 98, 97)
    synthetic, reference = pair(shape)
    mask = ball(shape, 20)
    synthetic[mask] = reference[mask]
    assert value(synthetic, reference, mask, convention) == pytest.approx(1, abs=1e-12)


def test_integers_are_taken_as_they_are() -> None:
    synthetic, reference = (np.rint(volume).astype(np.int16) for volume in pair((12, 12, 12)))
    mask = ball((12, 12, 12), 5)
    assert value(synthetic, reference, mask) == value(synthetic.astype(float), reference.astype(float), mask)


def test_a_mask_that_leaves_nothing_to_measure_is_told() -> None:
    shape = (20, 20, 20)
    synthetic, reference = pair(shape)
    edge = np.zeros(shape, bool)
    edge[:2] = True
    with pytest.raises(ValueError, match="farther than 3 from the volume's border"):
        value(synthetic, reference, edge)
    with pytest.raises(ValueError, match="farther than 3"):
        value(synthetic[:5], reference[:5], np.ones((5, 20, 20), bool))
    speck = np.zeros((100, 100, 100), bool)
    speck[51, 51, 51] = True
    synthetic, reference = pair((100, 100, 100))
    with pytest.raises(ValueError, match="not defined at scale 2 of 5"):
        value(synthetic, reference, speck, SYNTHRAD2025)


def test_the_metric_says_whose_definition_it_is() -> None:
    assert structural_metric(PAPER).key == structural_metric(SYNTHRAD2023).key == "ssim_synthrad2023_in_mask"
    assert structural_metric(SYNTHRAD2025).key == "ms_ssim_synthrad2025_in_mask"
