"""Is a volume what a model was trained on? Every measure beside its limits, in words."""

from __future__ import annotations

from typing import NamedTuple

from mr2ct.gate.limits import GateLimits, contrast_distance
from mr2ct.gate.measured import SCALARS
from mr2ct.gate.measuring import Look, look
from mr2ct.gate.pose import UPRIGHT, Turn, described, likeness, patch, turns, unpacked
from mr2ct.gate.verdict import Finding, Verdict
from mr2ct.head import Mask
from mr2ct.volume import Volume


class Words(NamedTuple):
    """A measure for people: its name, and what a value below or above the limits means and what would work."""

    name: str
    below: str = ""
    above: str = ""


def _field(name: str) -> Words:
    return Words(
        f"field of view, {name}",
        "too little of the head is in it; give a volume of the whole head",
        "more than a head is in it; crop the volume to the head",
    )


def _head(name: str) -> Words:
    return Words(
        f"head, {name}",
        "too small; part of it is missing, or the header's voxel size is wrong",
        "too large; the header's voxel size is wrong, or it is no head",
    )


def _cut(name: str) -> Words:
    return Words(f"cut off, {name}", above="the head is cut off there; give a volume of the whole head")


WORDS = {
    "signal": Words(
        "brightest tissue",
        "too dark for a model that takes scanner units as they are; give the volume in the scanner's own units",
        "too bright for a model that takes scanner units as they are; give the volume in the scanner's own units",
    ),
    "finest_mm": Words("shortest voxel edge", "finer than trained on; resample the volume to about 1 mm"),
    "coarsest_mm": Words("longest voxel edge", above="coarser than trained on; give the 3D series, of about 1 mm"),
    "field_right_left_mm": _field("right to left"),
    "field_front_back_mm": _field("front to back"),
    "field_height_mm": _field("height"),
    "head_right_left_mm": _head("right to left"),
    "head_front_back_mm": _head("front to back"),
    "head_height_mm": Words(
        "head, height", "the head ends above the skull base; give a volume from the vertex to below the skull base"
    ),
    "cut_right_cm2": _cut("right"),
    "cut_left_cm2": _cut("left"),
    "cut_front_cm2": _cut("front"),
    "cut_back_cm2": _cut("back"),
    "cut_top_cm2": _cut("top"),
    "symmetry": Words(
        "symmetry of right and left",
        "half of the head is missing, it is turned against its header, or one side is dark; look at the volume",
    ),
    "rim_to_core": Words(
        "skull and CSF to white matter",
        above="not the contrast of a T1-weighted MR, in which they are darker; give the T1 series",
    ),
    "cortex_to_core": Words(
        "cortex to white matter",
        above="not the contrast of a T1-weighted MR, in which cortex is darker; give the T1 series",
    ),
    "noise": Words("noise", above="noisier than trained on; give a series with more signal, or denoise it"),
    "sharpness": Words("sharpness of edges", "more blurred than trained on; give the series as scanned, at about 1 mm"),
    "void_mm": Words(
        "largest hole without signal in the head, radius",
        above="larger than any trained on: metal, or a defaced or masked head; the CT would be wrong there",
    ),
    "brain_void_mm": Words(
        "largest hole in the brain, radius",
        above="larger than any trained on: metal, or a stripped brain; the CT would be wrong there",
    ),
    "contrast_distance": Words(
        "contrast, distance to the nearest training MR",
        above="not the grey values of a T1-weighted MR as in training; give the T1 series",
    ),
    "likeness": Words(
        "likeness to the training heads",
        "does not look like the T1-weighted heads of the training; give a T1 series of a whole head",
    ),
    "turned": Words("upright, lead over the best turn", "the head lies otherwise than the header says"),
}


def examine(mr: Volume, head: Mask, limits: GateLimits) -> Verdict:
    """Measure an MR and hold it against a model's limits.

    mr: (k, j, i), any real dtype, finite, in scanner units.  head: (k, j, i) bool, as head_mask finds it.  Findings
    come with what is compared with the training set first, then by measured.SCALARS; each is told, within or not.
    """
    seen = look(mr, head)
    alike, turned, best = _compared(seen, limits)
    contrast = contrast_distance(seen.measured.quantiles, limits.quantiles)
    # a head that is upside down is cut off and of another contrast too: what explains the others comes first
    compared = {"turned": turned, "likeness": alike, "contrast_distance": contrast}
    values = {**compared, **seen.measured.scalars}
    findings = []
    for name, value in values.items():
        low, high = limits.low.get(name), limits.high.get(name)
        if low is not None or high is not None:
            unit = SCALARS.get(name, "")
            way = f": {described(best)}; correct the header" if name == "turned" else ""
            said = _said(WORDS[name], value, unit, low, high, way)
            findings.append(Finding(WORDS[name].name, value, unit, low, high, said))
    return Verdict(tuple(findings))


def _compared(seen: Look, limits: GateLimits) -> tuple[float, float, Turn]:
    """Likeness; by how much it is more than that of the best turn; and that turn.

    Where no turn looks like a head either, the lead is 0: what that is has no right way up.
    """
    trained = unpacked(limits.signal, limits.share)
    upright = likeness(seen.patch, trained)
    others = {turn: likeness(patch(seen.upright, turn), trained) for turn in turns() if turn != UPRIGHT}
    best = max(others, key=lambda turn: others[turn])
    lead = upright - others[best]
    if others[best] < limits.low.get("likeness", -1.0):
        lead = max(lead, 0.0)
    return round(upright, 5), round(lead, 5), best


def _said(words: Words, value: float, unit: str, low: float | None, high: float | None, more: str) -> str:
    """One line: value, limit, and where it is not within, what is wrong and what would work."""
    space = f" {unit}" if unit else ""
    told = f"{words.name}: {value:.3g}{space}"
    if low is not None and value < low:
        return f"{told}, at least {low:.3g}{space}: {words.below}{more}"
    if high is not None and value > high:
        return f"{told}, at most {high:.3g}{space}: {words.above}{more}"
    ends = [f"{word} {end:.3g}" for word, end in (("from", low), ("to", high)) if end is not None]
    one = {"from": "at least", "to": "at most"}
    spoken = " ".join(ends) if len(ends) == 2 else " ".join([one[ends[0].split()[0]], ends[0].split()[1]])
    return f"{told} ({spoken}{space})"
