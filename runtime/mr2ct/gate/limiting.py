"""What a model's training set spans, widened a little: the limits a volume has to be within.

The rule, for each measure of a volume (`measured.py`):

- From the least to the greatest value of the training set, widened on each open side by `SPREADS` of the distance
  between them or by the measure's own least margin (`RULES`), whichever is more. Margins in per cent are of the value.
- Where the order of tissues is measured (rim and cortex relative to white matter) the limit lies half-way from the
  greatest value to 1, where they would be equally bright.
- The contrast distance is the Wasserstein distance between histograms of the head's signal, to the nearest head of the
  training set; likeness is to the mean of the training set (`pose.py`). What counts as usual is how far each head of
  the training set is from the others: leave one out.
- No head may look more like a head when it is turned.

A training set of a handful of heads does not show the spread of people and scanners. With so few the least margins
decide, and those are choices of engineers, made so that heads of other scanners are let in and deformed ones are not
(benchmarks/gate_confusion.py). The card tells of how many volumes the limits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mr2ct.gate.limits import GateLimits, contrast_distance
from mr2ct.gate.measured import SCALARS, Measured
from mr2ct.gate.pose import leave_one_out, mean_patch

SPREADS = 0.25  # of the training set's own spread; the tail of a handful of heads is longer than they show

FEW = 20  # a span of so many leaves out a tenth of people on average
CONTRAST_MARGIN = 0.05  # Wasserstein distance; four T1s of four scanners are 0.05 to 0.09 from each other
CONTRAST_OF_ONE = 0.10  # of a training set of one volume, which has no distance: as far as those four are apart
LIKENESS_MARGIN = 0.10  # T1s of four scanners and a drawn one are 0.73 to 0.91; CTs, inverted heads at most 0.52
LIKENESS_OF_ONE = 0.70
ORDER = 1.0  # of rim_to_core and cortex_to_core, where tissues are equally bright


class Rule(NamedTuple):
    """Which sides of a measure are limited, and the least margin: of the value where relative, else in its own unit."""

    low: bool
    high: bool
    margin: float
    relative: bool = False
    spreads: float = SPREADS


SIDE_CUT = Rule(False, True, 40.0)  # cm²: whole heads end with 30 to 90, heads that are cut through with 140 and more
RULES: dict[str, Rule] = {
    "signal": Rule(True, True, 0.3, relative=True),  # a fixed window only; prescan changes the gain by some 10 %
    "finest_mm": Rule(True, False, 0.5, relative=True),
    "coarsest_mm": Rule(False, True, 0.5, relative=True),  # voxels of 5 mm have no skull in them
    "field_right_left_mm": Rule(True, True, 0.3, relative=True),
    "field_front_back_mm": Rule(True, True, 0.3, relative=True),
    "field_height_mm": Rule(True, True, 0.3, relative=True),
    "head_right_left_mm": Rule(True, True, 0.15, relative=True),  # heads of adults vary by 4 % (SD), children's too
    "head_front_back_mm": Rule(True, True, 0.15, relative=True),
    "head_height_mm": Rule(True, False, 0.05, relative=True, spreads=0.0),  # necks may be long; a skull's base must be
    "cut_right_cm2": SIDE_CUT,
    "cut_left_cm2": SIDE_CUT,
    "cut_front_cm2": SIDE_CUT,
    "cut_back_cm2": SIDE_CUT,
    "cut_top_cm2": SIDE_CUT,
    "symmetry": Rule(True, False, 0.4),  # heads that lie askew by 10 degrees lose as much
    "noise": Rule(False, True, 0.03),
    "sharpness": Rule(True, False, 0.4, relative=True),  # four scanners 0.48 to 0.61; blurred by 1 mm 0.32, 2 mm 0.20
    "void_mm": Rule(False, True, 2.0),
    "brain_void_mm": Rule(False, True, 4.0),
}
HALF_WAY = ("rim_to_core", "cortex_to_core")


def limits_of(heads: Sequence[Measured], *, fixed_units: bool) -> GateLimits:
    """The limits of a training set, at least one MR. The order of the MRs changes nothing but that of the quantiles.

    fixed_units: whether the model takes MR values as they are (a FixedWindow): only then does their size matter.
    """
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


def _short(value: float) -> float:
    return round(float(value), 4)


def _rule(volumes: int) -> str:
    few = "; of so few volumes the least margins decide, which are chosen" if volumes < FEW else ""
    them = "1 MR" if volumes == 1 else f"{volumes} MRs"
    return f"the span of {them}, widened by {SPREADS:g} of itself or by each measure's least margin{few}"
