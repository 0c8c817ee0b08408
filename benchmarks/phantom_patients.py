"""Drawn patients: what differs from head to head, from which distribution, and why.

Lengths are relative to the average adult of tests/phantom.py or in mm; MR values are in scanner units, CT in HU. Where
a source is named it is followed; "chosen" is a plausible range that no source was fitted to. Clipped normals keep
within what the drawing and the paper's field of view can hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anatomy import TISSUES, Point, Tissue
from phantom import Head

DARK_IN_MR = ("bone", "tooth")  # their T2* of under 1 ms is over at the paper's echo time of 3.14 ms
MINERAL = ("bone", "diploe", "marrow", "spongy")  # what has more HU in denser bones
SEX_SIZE = {
    "female": 0.974,
    "male": 1.026,
}  # heads of women are 0.95 of men's; Gordon 1989, ANSUR: 144 and 152 mm broad


@dataclass(frozen=True)
class Patient:
    """A person, how the head lies in the scanner, and what the scanners make of it."""

    name: str
    sex: Literal["female", "male"]
    age: int  # years; ventricles, furrows, teeth and bone follow from it
    head: Head
    mr: dict[str, float]  # of each tissue, scanner units before the gain
    hu: dict[str, float]  # of each tissue
    mr_gain: float  # scanner units of this scan, relative to the tables
    turn_degrees: Point  # of the head about the patient's x (nodding), y and z axes
    shift_mm: Point  # of the middle of the head in the frame of the patient, LPS
    above_vertex_mm: float  # air in the MR's field of view
    ct_off_mm: Point  # the middle of the CT's field of view from the MR's, LPS
    mr_seed: int  # noise and coil bias
    ct_seed: int  # noise
    motion_seed: int  # how the CT differs from the MR, if it does

    def tissues(self) -> dict[str, Tissue]:
        """The materials of this head."""
        return {name: t._replace(mr=self.mr[name], hu=self.hu[name]) for name, t in TISSUES.items()}


def drawn_patient(seed: int, number: int, name: str) -> Patient:
    """Patient number 0, 1, ... of a seed, whoever else is in the cohort and whatever its other options are."""
    rng = np.random.default_rng([seed, number])
    sex: Literal["female", "male"] = "female" if rng.random() < 0.5 else "male"
    age = round(
        _normal(rng, 56, 13, 22, 82)
    )  # adults with a tumour of the brain; median age of glioma is in the fifties
    return Patient(
        name=name,
        sex=sex,
        age=age,
        head=_head(rng, sex, age),
        mr=_mr(rng),
        hu=_hu(rng, age),
        mr_gain=_normal(rng, 1, 0.08, 0.85, 1.18),  # prescan and load of the coil; chosen so that fat stays below 3500
        turn_degrees=(_normal(rng, 0, 3, -6, 6), _normal(rng, 0, 1, -2.5, 2.5), _normal(rng, 0, 1.5, -3, 3)),
        # within a mask people lie straight to a few degrees and mm; the nose needs the field's 250.6 mm, the ears 183
        shift_mm=(_normal(rng, 0, 1.5, -3, 3), _normal(rng, 0, 3, -5, 5), _normal(rng, 0, 5, -12, 12)),
        above_vertex_mm=_uniform(rng, 5, 14),
        ct_off_mm=(_uniform(rng, -5, 5), _uniform(rng, -3, 3), _uniform(rng, -3, 3)),
        mr_seed=int(rng.integers(2**31)),
        ct_seed=int(rng.integers(2**31)),
        motion_seed=int(rng.integers(2**31)),
    )


def _head(rng: np.random.Generator, sex: Literal["female", "male"], age: int) -> Head:
    old = (age - 55) / 30  # -1 at 25 years, 0 in the middle of the cohort, almost 1 at 82
    overall = _normal(rng, SEX_SIZE[sex], 0.025, 0.92, 1.06)
    # with the next line 3.5 % in breadth and in length, as in Gordon 1989; limits: the field of view
    size = [_clip(overall * _normal(rng, 1, 0.025, 0.95, 1.05), 0.90, 1.07) for _ in "xyz"]
    lost = rng.choice(8, p=_lost_teeth(old)) if age > 35 else 0
    return Head(
        size=(size[0], size[1], size[2]),
        skull_mm=_normal(rng, 7.0, 1.1, 4.8, 9.8),  # of an adult's vault: 5 to 10 mm; chosen
        scalp_mm=_normal(rng, 5.8, 1.2, 3.5, 9.0),  # lean to stout; chosen
        fat_mm=_normal(rng, 5.0, 1.4, 2.5, 9.0),  # lean to stout; chosen
        ventricles=_clip((1.05 + 0.3 * old) * np.exp(0.15 * rng.standard_normal()), 0.7, 1.8),  # they widen with age
        sulcus_mm=_clip((1.3 + 0.5 * old) * np.exp(0.15 * rng.standard_normal()), 0.6, 2.6),  # as the brain shrinks
        sinuses=_uniform(rng, 0.6, 1.1),  # the most variable hollows of the head; 1.1 is as much as the skull can hold
        jaw_mm=_uniform(rng, 0, 5),  # lips closed, or parted within the mask
        teeth=7 - int(lost),
        asymmetry_mm=_uniform(rng, 0.8, 1.8),  # faces are lopsided by 1 to 3 mm; chosen
        person=int(rng.integers(2**31)),
        marker_mm=0,
        mr_noise=_uniform(rng, 22, 50),  # signal to noise 40 to 90 in white matter; chosen for 3D at 1.5 T
        ct_noise=_uniform(rng, 5, 11),  # HU; chosen for 1 mm at 450 mAs
        bias=_uniform(rng, 0.04, 0.12),  # flex coils lie close to the head on both sides; chosen
    )


def _lost_teeth(old: float) -> list[float]:
    """Chances of 0 to 7 missing on each side of each jaw, from the molars on; more in the old. Chosen."""
    keep = 0.75 - 0.3 * old
    fewer = np.array([0.35, 0.25, 0.15, 0.08, 0.05, 0.02, 0.10])  # the last have no tooth left
    return [keep, *((1 - keep) * fewer / fewer.sum()).tolist()]


def _mr(rng: np.random.Generator) -> dict[str, float]:
    """Contrast: 5 % on every tissue, by T1, water and fat; bone and teeth below the noise, as dark as air."""
    values = {name: round(t.mr * float(np.exp(0.05 * rng.standard_normal())), 1) for name, t in TISSUES.items()}
    return {**values, **{name: _uniform(rng, 10, 60) for name in DARK_IN_MR}}


def _hu(rng: np.random.Generator, age: int) -> dict[str, float]:
    """Density: bones vary by 7 % and lose 2 % a decade; soft tissues by 2 HU, blood and kVp; air is -1000."""
    density = _normal(rng, 1 - 0.002 * (age - 55), 0.07, 0.82, 1.16)
    values: Mapping[str, float] = {
        name: t.hu * density if name in MINERAL else t.hu + 2 * rng.standard_normal() for name, t in TISSUES.items()
    }
    return {name: round(float(value), 1) for name, value in values.items()} | {"air": TISSUES["air"].hu}


def _normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return _clip(mean + sd * rng.standard_normal(), low, high)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _clip(value: float, low: float, high: float) -> float:
    """Rounded too: what cohort.json says is what was drawn."""
    return round(float(np.clip(value, low, high)), 4)
