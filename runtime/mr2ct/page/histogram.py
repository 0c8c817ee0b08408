"""The histogram of HU inside the head: what share is air, soft tissue and bone, and where each has its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.intensity import HU_RANGE

AIR_BELOW_HU, BONE_ABOVE_HU = -200, 250  # as synthetic CTs are evaluated by tissue
BIN_HU = 10
PEAK_REACH = 8  # bins to each side that a peak is the highest of: 80 HU, wider than from white to grey matter
LEAST_PEAK = 1e-4  # of the head's voxels, in a bin; less is a wiggle of a tail


@dataclass(frozen=True)
class Band:
    """Voxels of one tissue.

    low, high: HU, within which its bins lie.  share: of the head's voxels, 0 to 1.  peak: the middle of the fullest
    bin, HU; None where the band has the tail of another one or next to nothing.
    """

    name: str
    low: int
    high: int
    share: float
    peak: float | None


@dataclass(frozen=True)
class Histogram:
    """counts: (bins,) voxels of the head.  edges: (bins + 1,) HU.  bands: air, soft tissue, bone."""

    counts: NDArray[np.int64]
    edges: NDArray[np.int64]
    bands: tuple[Band, ...]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(bins,) of the head's voxels, 0 to 1."""
        shares: NDArray[np.float64] = self.counts / max(int(self.counts.sum()), 1)
        return shares

    def bin_of(self, hu: float) -> int:
        """Which bin a HU lies in."""
        return int((hu - int(self.edges[0])) // BIN_HU)


def histogram(hu: NDArray[np.int16], head: NDArray[np.bool_]) -> Histogram:
    """The HU of a CT inside the head, both (k, j, i), in bins of BIN_HU; HU lie within [-1024, 3071].

    Air is below -200 HU, bone above 250 HU, soft tissue between. Bins begin at multiples of BIN_HU.
    """
    first = math.floor(HU_RANGE[0] / BIN_HU) * BIN_HU
    bins = math.ceil((HU_RANGE[1] + 1 - first) / BIN_HU)
    edges = first + BIN_HU * np.arange(bins + 1, dtype=np.int64)
    each = np.bincount(hu[head].astype(np.int64) - first, minlength=bins * BIN_HU)  # voxels of each HU
    counts: NDArray[np.int64] = each.reshape(bins, BIN_HU).sum(axis=1)
    total = max(int(counts.sum()), 1)
    bands = []
    for name, low, high in (
        ("air", first, AIR_BELOW_HU - 1),
        ("soft tissue", AIR_BELOW_HU, BONE_ABOVE_HU),
        ("bone", BONE_ABOVE_HU + 1, HU_RANGE[1]),
    ):
        share = float(each[low - first : high + 1 - first].sum() / total)
        peak = _peak(counts, (low - first) // BIN_HU, (high - first) // BIN_HU)
        bands.append(Band(name, low, high, share, None if peak is None else float(edges[peak]) + BIN_HU / 2))
    return Histogram(counts, edges, tuple(bands))


def _peak(counts: NDArray[np.int64], first: int, last: int) -> int | None:
    """The fullest of these bins that is also the fullest within PEAK_REACH, whatever the band beside it has."""
    least = LEAST_PEAK * int(counts.sum())
    for place in (np.argsort(counts[first : last + 1], kind="stable")[::-1] + first).tolist():
        if counts[place] < max(least, 1):
            return None
        if counts[place] == counts[max(0, place - PEAK_REACH) : place + PEAK_REACH + 1].max():
            return int(place)
    return None
