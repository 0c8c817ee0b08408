"""What a model's training set spans, widened a little: the limits a volume has to be within.

The rule, for each measure of a volume (`measured.py`):

- From the least to the greatest value of the training set, widened on each open side by `SPREADS` of the distance
  between them or by the measure's own least margin (`RULES`), whichever is more. Margins in per cent are of the value.
- Where the order of tissues is measured (rim and cortex relative to white matter) the limit lies half-way from the
  greatest value to 1, where they would be equally bright.
- The contrast distance is the Wasserstein distance between histograms of the head's signal, to the nearest head of the
  training set; likeness is to the mean of the training set (`pose.py`). What counts as usual is how far each head of the
  training set is from the others: leave one out.
- No head may look more like a head when it is turned.

A training set of a handful of heads does not show the spread of people and scanners. With so few the least margins
decide, and those are choices of engineers, made so that heads of other scanners are let in and deformed ones are not
(benchmarks/gate_confusion.py). The card tells of how many volumes the limits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mr2ct.gate.measured import SCALARS, Measured, refuse_no_patch, refuse_no_quantiles

SPREADS = 0.25  # of the training set's own spread; the tail of a handful of heads is longer than they show

COMPARED = ("contrast_distance", "likeness", "turned")  # measured against the training set
MEASURES = (*SCALARS, *COMPARED)
CONTRAST_MARGIN = 0.05  # Wasserstein distance; four T1s of four scanners are 0.05 to 0.09 from each other
CONTRAST_OF_ONE = 0.10  # of a training set of one volume, which has no distance: as far as those four are apart
LIKENESS_MARGIN = 0.10  # four T1s are 0.75 to 0.91 like each other's mean, CTs and inverted heads at most 0.45
LIKENESS_OF_ONE = 0.70
ORDER = 1.0  # of rim_to_core and cortex_to_core, where tissues are equally bright


class Rule(NamedTuple):
    """Which sides of a measure are limited, and the least margin: of the value where relative, else in its own unit."""

    low: bool
    high: bool
    margin: float
    relative: bool = False
    spreads: float = SPREADS


SIDE_CUT = Rule(False, True, 15.0)  # cm²: a nose or ears that touch the edge of the field; half a head is 250
RULES: dict[str, Rule] = {
    "signal": Rule(True, True, 0.3, relative=True),  # a fixed window only; prescan changes the gain by some 10 %
    "finest_mm": Rule(True, False, 0.3, relative=True),
    "coarsest_mm": Rule(False, True, 0.3, relative=True),  # voxels of 5 mm have no skull in them
    "field_right_left_mm": Rule(True, True, 0.3, relative=True),
    "field_front_back_mm": Rule(True, True, 0.3, relative=True),
    "field_height_mm": Rule(True, True, 0.3, relative=True),
    "head_right_left_mm": Rule(True, True, 0.15, relative=True),  # heads of adults vary by 4 % (SD), children's too
    "head_front_back_mm": Rule(True, True, 0.15, relative=True),
    "head_height_mm": Rule(True, False, 0.07, relative=True, spreads=0.0),  # necks may be long; a skull's base must be
    "cut_right_cm2": SIDE_CUT,
    "cut_left_cm2": SIDE_CUT,
    "cut_front_cm2": SIDE_CUT,
    "cut_back_cm2": SIDE_CUT,
    "cut_top_cm2": SIDE_CUT,
    "symmetry": Rule(True, False, 0.2),
    "noise": Rule(False, True, 0.03),
    "detail": Rule(True, False, 0.05),
    "void_mm": Rule(False, True, 2.0),
    "brain_void_mm": Rule(False, True, 4.0),
}
HALF_WAY = ("rim_to_core", "cortex_to_core")


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


def limits_of(heads: Sequence[Measured], *, fixed_units: bool) -> GateLimits:
    """The limits of a training set, at least one MR. The order of the MRs changes nothing but that of the quantiles.

    fixed_units: whether the model takes MR values as they are (a FixedWindow): only then does their size matter.
    """
    from mr2ct.gate.pose import leave_one_out, mean_patch  # pose needs SimpleITK's grids; a card alone does not

    values = {name: [head.scalars[name] for head in heads] for name in SCALARS}
    if not fixed_units:
        del values["signal"]
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for name, rule in RULES.items():
        if name in values:
            least, most = min(values[name]), max(values[name])
            wider = rule.spreads * (most - least)
            if rule.low:
                low[name] = least - max(wider, rule.margin * least if rule.relative else rule.margin)
            if rule.high:
                high[name] = most + max(wider, rule.margin * most if rule.relative else rule.margin)
    for name in HALF_WAY:
        most = max(values[name])
        high[name] = (most + ORDER) / 2 if most < ORDER else most
    if len(heads) > 1:
        values["contrast_distance"] = [
            contrast_distance(one.quantiles, [other.quantiles for other in heads if other is not one]) for one in heads
        ]
        values["likeness"] = leave_one_out(heads)
    high["contrast_distance"] = max(values.get("contrast_distance", [CONTRAST_OF_ONE])) + CONTRAST_MARGIN
    low["likeness"] = min(values.get("likeness", [LIKENESS_OF_ONE])) - LIKENESS_MARGIN
    low["turned"] = 0.0
    signal, share = mean_patch(heads)
    return GateLimits(
        volumes=len(heads),
        seen={name: (_short(min(those)), _short(max(those))) for name, those in values.items()},
        low={name: _short(value) for name, value in low.items()},
        high={name: _short(value) for name, value in high.items()},
        quantiles=tuple(head.quantiles for head in heads),
        signal=signal,
        share=share,
        rule=_rule(len(heads)),
    )


def contrast_distance(one: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """The Wasserstein distance between histograms, by their quantiles, to the nearest of others; 0 to 1."""
    return min(float(np.abs(np.subtract(one, other)).mean()) for other in others)


def _short(value: float) -> float:
    return round(float(value), 4)


def _rule(volumes: int) -> str:
    few = "; of so few, the least margins of mr2ct.gate.limits decide" if volumes < 20 else ""
    return (
        f"the span of {volumes} volume{'s' * (volumes > 1)}, widened by {SPREADS:g} of itself or by the measure's least "
        f"margin{few}"
    )
