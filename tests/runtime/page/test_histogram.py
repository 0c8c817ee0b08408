"""The histogram counts every voxel of the head once, by tissue, and says where each tissue has its peak."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct.page.histogram import BIN_HU, Histogram, histogram
from mr2ct.page.histogram_svg import histogram_svg
from runtime.page.runs import drawn_head


def of(hu: NDArray[np.float64]) -> Histogram:
    values = np.rint(np.clip(hu, -1024, 3071)).astype(np.int16).reshape(1, 1, -1)
    return histogram(values, np.ones(values.shape, np.bool_))


def test_shares_and_peaks_of_three_tissues() -> None:
    rng = np.random.default_rng(0)
    found = of(np.concatenate([rng.normal(*peak) for peak in ((-955, 20, 1000), (45, 15, 7000), (905, 60, 2000))]))
    assert [band.name for band in found.bands] == ["air", "soft tissue", "bone"]
    assert [band.share for band in found.bands] == pytest.approx([0.1, 0.7, 0.2], abs=1e-3)
    for band, peak in zip(found.bands, (-955, 45, 905), strict=True):
        assert band.peak == pytest.approx(peak, abs=4 * BIN_HU if peak > 100 else BIN_HU)


def test_the_borders_are_those_of_the_tissues() -> None:
    """Air is below -200 HU and bone above 250 HU, the borders themselves are soft tissue."""
    found = of(np.array([-201, -200, 250, 251, 251]))
    assert [band.share for band in found.bands] == pytest.approx([0.2, 0.4, 0.4])


def test_every_voxel_of_the_head_counts_once_and_no_other() -> None:
    hu = np.arange(-1024, 3072, dtype=np.int16).reshape(1, 64, 64)
    head = hu % 3 == 0
    found = histogram(hu, head)
    assert found.counts.sum() == head.sum()
    assert sum(band.share for band in found.bands) == pytest.approx(1)
    for count, low in zip(found.counts.tolist(), found.edges.tolist(), strict=False):
        assert count == (head & (hu >= low) & (hu < low + BIN_HU)).sum()


def test_the_tail_of_another_tissue_is_no_peak() -> None:
    counts = np.repeat(np.arange(-300, 600), np.maximum(0, 600 - 2 * np.abs(np.arange(-300, 600) - 40)))
    air, soft, bone = of(counts.astype(np.float64)).bands
    assert soft.peak == 45 and air.peak is None and bone.peak is None
    assert bone.share > 0


def test_a_head_of_one_value_is_drawn() -> None:
    found = of(np.full(10, -1000.0))
    assert [band.peak for band in found.bands] == [-995.0, None, None]
    ET.fromstring(histogram_svg(found, (-600, 1400)))


def test_the_drawing_says_what_was_counted() -> None:
    _, ct, head = drawn_head()
    found = histogram(ct.voxels, head)
    drawn = ET.fromstring(histogram_svg(found, (-600, 1400)))
    words = [text.text or "" for text in drawn.iter("text")]
    for band in found.bands:
        assert f"{band.name} {band.share:.1%}" in words
        assert band.peak is not None
        peak = f"peak {band.peak:.0f} HU".replace("-", "\N{MINUS SIGN}")
        assert peak in words
        assert f"{band.name}: {band.share:.1%}, {peak}" in drawn.attrib["aria-label"]
    assert -1005 <= (found.bands[0].peak or 0) <= -985
    assert 0 <= (found.bands[1].peak or 0) <= 60
    assert (found.bands[2].peak or 0) > 400
