"""Noise and blur."""

from __future__ import annotations

import itertools

import numpy as np

from mr2ct.cells import Millimetres, coarsened, resampled, weights
from mr2ct.gate.coarse import Cells, Field
from mr2ct.growth import grown
from mr2ct.head import Mask
from mr2ct.volume import Volume

EVERY = 7  # voxels along each axis: one of 343 is looked at, and 20,000 of a head are plenty for a median
STENCIL = (1.0, -2.0, 1.0)  # along each axis: a Laplacian of Laplacians, blind to slopes and to edges along an axis
STENCIL_NORM = 6.0**1.5  # root of the sum of squares of all 27 weights; J. Immerkaer, CVIU 1996, in three dimensions
MEDIAN_OF_SIGMA = 0.6745  # the median of |x| where x is normal with standard deviation 1
WIDE_CELL_MM = 6.0
RIM_MM = 6.0  # under the skin, left out: the step from skin to air is no detail


def noise(mr: Volume, head: Mask, contrast: float) -> float:
    """Standard deviation of the noise in the head, relative to its contrast, in scanner units.

    Where a volume is less than three voxels thick along an axis, or no voxel looked at is in the head, 0.
    """
    places = [_every(count) for count in mr.voxels.shape]
    if any(len(place) == 0 for place in places):
        return 0.0
    inside = np.nonzero(head[np.ix_(*places)])
    k, j, i = (place[number] for place, number in zip(places, inside, strict=True))
    if len(k) == 0:
        return 0.0
    total = np.zeros(len(k), np.float32)
    for dk, dj, di in itertools.product((-1, 0, 1), repeat=3):
        weight = STENCIL[dk + 1] * STENCIL[dj + 1] * STENCIL[di + 1]
        total += np.float32(weight) * mr.voxels[k + dk, j + dj, i + di].astype(np.float32)
    sigma = float(np.median(np.abs(total))) / MEDIAN_OF_SIGMA / STENCIL_NORM
    return sigma / contrast if contrast > 0 else 0.0


def _every(count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Some places along an axis, the same from either end, each with a neighbour on both sides."""
    place = np.arange(1, count - 1)
    return place[np.minimum(place, count - 1 - place) % EVERY == min(EVERY // 2, (count - 1) // 2)]


def detail(own: Cells) -> float:
    """Standard deviation of what a mean over 6 mm takes away, relative to that of the signal; both inside the head."""
    wide, wide_mm = coarsened(own.signal, own.mm, WIDE_CELL_MM)
    back: list[Field] = weights(own.signal.shape, wide.shape, wide_mm, [WIDE_CELL_MM / 2] * 3)
    fine = own.signal - resampled(wide, back)
    inner = _inner(own.head, own.mm)
    if not inner.any():
        return 0.0
    whole = float(own.signal[inner].std())
    return float(fine[inner].std()) / whole if whole > 0 else 0.0


def _inner(head: Mask, mm: Millimetres) -> Mask:
    return ~grown(~head, mm, RIM_MM)
