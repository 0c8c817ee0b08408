"""The limits of a model's training set, as its card keeps them; limiting.py tells how they come about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mr2ct.gate.measured import SCALARS, refuse_no_patch, refuse_no_quantiles

COMPARED = ("contrast_distance", "likeness", "turned")  # measured against the training set
MEASURES = (*SCALARS, *COMPARED)


@dataclass(frozen=True)
class GateLimits:
    """A model's limits.

    volumes: how many MRs they are of.  seen: the least and greatest value of these, by measure (MEASURES; units are
    those of SCALARS).  low, high: the limits, by measure; a side without one is open.  quantiles: (volumes, QUANTILES)
    of the signal in each head.  signal, share: the mean head; see Measured.  rule: how the limits came about, in words.

    Raises ValueError, which names the field, for what cannot be.
    """

    volumes: int
    seen: dict[str, tuple[float, float]]
    low: dict[str, float]
    high: dict[str, float]
    quantiles: tuple[tuple[float, ...], ...]
    signal: str
    share: str
    rule: str

    def __post_init__(self) -> None:
        for place, names in (("seen", self.seen), ("low", self.low), ("high", self.high)):
            unknown = [name for name in names if name not in MEASURES]
            if unknown:
                raise ValueError(f"gate.{place}: no measure is called {unknown[0][:40]!r}")
        for name in self.low.keys() & self.high.keys():
            if not self.low[name] <= self.high[name]:
                raise ValueError(f"gate.low.{name} is {self.low[name]:g}, more than gate.high's {self.high[name]:g}")
        if self.volumes < 1 or len(self.quantiles) != self.volumes:
            raise ValueError(f"gate.quantiles are of {len(self.quantiles)} volumes, gate.volumes is {self.volumes}")
        for number, values in enumerate(self.quantiles):
            refuse_no_quantiles(values, f"gate.quantiles[{number}]")
        refuse_no_patch(self.signal, "gate.signal")
        refuse_no_patch(self.share, "gate.share")


def contrast_distance(one: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """The Wasserstein distance between histograms, by their quantiles, to the nearest of others; 0 to 1."""
    return min(float(np.abs(np.subtract(one, other)).mean()) for other in others)
