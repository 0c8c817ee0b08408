"""The histogram of HU as inline SVG. Colours are CSS classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mr2ct.page.histogram import AIR_BELOW_HU, BONE_ABOVE_HU, Band, Histogram

WIDTH, HEIGHT = 600, 330  # of the drawing, in CSS pixels
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 44, 42  # its margins
FLOOR = HEIGHT - BOTTOM
LOWEST_SHARE = 1e-6  # of the head's voxels in a bin: the bottom of the logarithmic axis
LEAST_END_HU = 1500  # the axis ends here, or where the last voxel is
TICK_HU = 250
CLASSES = {"air": "air", "soft tissue": "soft", "bone": "bone"}


class _Scales:
    """Where a HU lies across, and a share of the head's voxels down, in the drawing."""

    def __init__(self, found: Histogram):
        occupied = found.counts.nonzero()[0]
        last = int(found.edges[occupied[-1] + 1]) if len(occupied) else LEAST_END_HU
        self.start, self.end = int(found.edges[0]), max(last, LEAST_END_HU)
        highest = max(float(found.shares.max()), 10 * LOWEST_SHARE)
        self.top = math.ceil(math.log10(highest))
        self.bottom = round(math.log10(LOWEST_SHARE))

    def x(self, hu: float) -> float:
        share = (min(max(hu, self.start), self.end) - self.start) / (self.end - self.start)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, share: float) -> float:
        height = (math.log10(max(share, LOWEST_SHARE)) - self.bottom) / (self.top - self.bottom)
        return round(FLOOR - height * (FLOOR - TOP), 1)


def histogram_svg(found: Histogram, model_hu: tuple[float, float]) -> str:
    """A histogram, logarithmic. model_hu: the range that the model can answer in, drawn as dashed lines."""
    scales = _Scales(found)
    limits = (f'<path class="limit" d="M{scales.x(hu)} {TOP} V{FLOOR}"/>' for hu in model_hu)
    parts = [*_bands(found, scales), *_axes(scales), _curve(found, scales), *limits]
    for band in found.bands:
        if band.peak is not None:
            height = scales.y(float(found.shares[found.bin_of(band.peak)]))
            parts.append(f'<circle class="peak" cx="{scales.x(band.peak)}" cy="{height}" r="3.5"/>')
    said = "Histogram of HU inside the head. " + " ".join(f"{band.name}: {_told(band)}." for band in found.bands)
    return (
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
    )


def _told(band: Band) -> str:
    """A band in words: its share and its peak."""
    return f"{band.share:.1%}, {_peak(band)}"


def with_minus(text: str) -> str:
    """Numbers with a minus that is as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def _peak(band: Band) -> str:
    return "no peak of its own" if band.peak is None else with_minus(f"peak {band.peak:.0f} HU")


def _bands(found: Histogram, scales: _Scales) -> Iterator[str]:
    """The ground of each band and its words above."""
    limits = (scales.start, AIR_BELOW_HU, BONE_ABOVE_HU, scales.end)
    for band, low, high in zip(found.bands, limits[:-1], limits[1:], strict=True):
        left, right = scales.x(low), scales.x(high)
        kind, middle = CLASSES[band.name], round((left + right) / 2, 1)
        yield f'<rect class="{kind}" x="{left}" y="{TOP}" width="{right - left:.1f}" height="{FLOOR - TOP}"/>'
        yield f'<text class="name" x="{middle}" y="17" text-anchor="middle">{band.name} {band.share:.1%}</text>'
        yield f'<text x="{middle}" y="34" text-anchor="middle">{_peak(band)}</text>'


def _axes(scales: _Scales) -> Iterator[str]:
    for exponent in range(scales.bottom, scales.top + 1):
        height = scales.y(10.0**exponent)
        yield f'<path class="axis" d="M{LEFT} {height} H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{height + 4}" text-anchor="end">{100 * 10.0**exponent:g} %</text>'
    for hu in range(math.ceil(scales.start / TICK_HU) * TICK_HU, scales.end + 1, TICK_HU):
        yield f'<path class="axis" d="M{scales.x(hu)} {FLOOR} v5"/>'
        if hu % (2 * TICK_HU) == 0:
            yield f'<text x="{scales.x(hu)}" y="{FLOOR + 18}" text-anchor="middle">{with_minus(str(hu))}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">HU</text>'


def _curve(found: Histogram, scales: _Scales) -> str:
    """The counts as steps, filled to the floor."""
    steps = [f"M{scales.x(scales.start)} {FLOOR}"]
    for share, right in zip(found.shares.tolist(), found.edges[1:].tolist(), strict=True):
        if right > scales.end:
            break
        steps.append(f"V{scales.y(share)}H{scales.x(right)}")
    return f'<path class="curve" d="{"".join(steps)}V{FLOOR}Z"/>'
