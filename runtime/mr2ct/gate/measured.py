"""What is measured of one volume: what a data set keeps of its MRs, and what a model's limits are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

QUANTILES = 32  # of the signal in the head: the middles of as many equal shares of its voxels
PATCH = (8, 14, 10)  # cells of a head as pose.py sees it: down from the vertex, to posterior, to the left
HALF_PATCH = PATCH[0] * PATCH[1] * PATCH[2] // 2  # left and right are averaged: of both sides it keeps one

# Every plain number, with its unit, in the order a verdict tells them.
SCALARS: dict[str, str] = {
    "signal": "",  # of the brightest tissue, in the scanner's own units
    "finest_mm": "mm",  # the shortest and the longest edge of a voxel
    "coarsest_mm": "mm",
    "field_right_left_mm": "mm",  # of the LPS box around the volume
    "field_front_back_mm": "mm",
    "field_height_mm": "mm",
    "head_right_left_mm": "mm",  # of the head
    "head_front_back_mm": "mm",
    "head_height_mm": "mm",
    "cut_right_cm2": "cm²",  # where the head ends on that side: the area it ends with
    "cut_left_cm2": "cm²",
    "cut_front_cm2": "cm²",
    "cut_back_cm2": "cm²",
    "cut_top_cm2": "cm²",
    "symmetry": "",  # correlation of right and left, -1 to 1
    "rim_to_core": "",  # signal 6 to 18 mm under the skin of the cranium, relative to that 27 to 51 mm under it
    "cortex_to_core": "",  # likewise, 18 to 27 mm under it
    "noise": "",  # standard deviation, relative to the brightest tissue
    "sharpness": "",  # of edges; see fineness.py
    "void_mm": "mm",  # radius of the largest ball without signal in the head, not in the neck
    "brain_void_mm": "mm",  # likewise, deep in the cranium
}


@dataclass(frozen=True)
class Measured:
    """One volume in numbers.

    scalars: all of SCALARS, by name, finite.  quantiles: (QUANTILES,) of the signal in the head, 0 its darkest and 1
    its brightest tissue, rising.  signal, share: HALF_PATCH bytes each, as hexadecimal text: the mean signal and the
    share of head in the cells of one half of the head, 0 to 1 as 0 to 255; see pose.py.

    Raises ValueError, which names the field, for anything else.
    """

    scalars: dict[str, float]
    quantiles: tuple[float, ...]
    signal: str
    share: str

    def __post_init__(self) -> None:
        if set(self.scalars) != set(SCALARS):
            odd = ", ".join(sorted(set(self.scalars) ^ set(SCALARS)))
            raise ValueError(f"measured.scalars: {odd}: missing or not known")
        for name, value in self.scalars.items():
            if not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise ValueError(f"measured.scalars.{name} must be a number, not {value!r}")
        refuse_no_quantiles(self.quantiles, "measured.quantiles")
        for name in ("signal", "share"):
            refuse_no_patch(getattr(self, name), f"measured.{name}")

    def to_json(self) -> dict[str, Any]:
        """As values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Measured:
        """Of what to_json gave. Raises ValueError, TypeError or KeyError for anything else."""
        if set(told) != {"scalars", "quantiles", "signal", "share"}:
            raise ValueError("measured: not the fields scalars, quantiles, signal, share")
        return cls(dict(told["scalars"]), tuple(told["quantiles"]), told["signal"], told["share"])


def refuse_no_quantiles(values: tuple[float, ...], place: str) -> None:
    """Raise ValueError for what is not QUANTILES rising numbers from 0 to 1."""
    numbers = all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values)
    if len(values) != QUANTILES or not numbers or list(values) != sorted(values):
        raise ValueError(f"{place} must be {QUANTILES} rising numbers from 0 to 1")


def refuse_no_patch(text: str, place: str) -> None:
    """Raise ValueError for what is not HALF_PATCH bytes in hexadecimal."""
    if not isinstance(text, str) or len(text) != 2 * HALF_PATCH or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{place} must be {HALF_PATCH} bytes in hexadecimal")
