"""The paper's figure 2 as a knob: after rigid alignment a CT still differs from its MR in throat, mouth, neck and nose.

The jaw turns about its joints, the neck bends about its uppermost vertebra, and a smooth random field moves all of it.
It fades to exactly zero below the cranium. A gain per region brings each to the root mean square that was asked for.
Being smooth it takes the upper jaw along with nose and mouth; in a patient that belongs to the skull.

Positions are LPS mm of the drawn head; regions are those of the average head, scaled to the size of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anatomy import CAVITY, ROOFS, Part, Point
from mr2ct.grid import Grid
from phantom import Waves, grid_around, positions

Array = NDArray[np.float32]

REGIONS: dict[str, tuple[Point, Point]] = {  # middle and semi-axes of an ellipsoid, mm of the average head
    "nose": ((0, -57, -21), (16, 36, 17)),
    "mouth": ((0, -52, -74), (44, 38, 30)),  # lower jaw, tongue and lower teeth
    "throat": ((0, -3, -76), (18, 14, 46)),
    "neck": ((0, 28, -92), (26, 34, 34)),  # C2 to C6
}
JAW_JOINT: Point = (0, 3, -22)  # the axis through both joints runs from left to right
NECK_JOINT: Point = (0, 20, -36)  # C1
TYPICAL_DEGREES = 1.5  # of jaw and neck, before the gains: 2 mm at the chin
SOFT_MM, SOFT_LONG_MM = 1.5, (80.0, 160.0)  # amplitude of the random field before the gains, its wavelengths
SOFT_WAVES = 10  # along each axis
GAIN_FADE_MM = 20  # the gain of a region fades into the next one's over some of these beyond its border
GAIN_STEPS = 12  # each brings the regions' root mean squares closer to what was asked
MEASURED_MM = 5.0  # between the points at which displacement and Jacobian are measured: a sixteenth of a wave
LEAST_JACOBIAN = 0.2  # of any warp: 0 would be a fold; a field that smooth does not come near 0 between the points
LONGEST = 3.5  # times what was asked: no part of a head goes astray for the others' root mean square
TRIES = 16  # motions drawn until one is usable; at 4 mm two of three are, at 8 mm one of three


class FoldError(ValueError):
    """The displacement asked for cannot be had without folding the anatomy."""


@dataclass(frozen=True)
class Motion:
    """How a patient lies otherwise in the CT than in the MR. Angles before the gains."""

    jaw_degrees: float  # opened, about the axis through its joints
    neck_degrees: Point  # bent back, tilted to the left, turned; about C1
    waves: int  # seed of the random field
    size: Point  # of the head
    gains: dict[str, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 1.0))


@dataclass(frozen=True)
class Measured:
    """What a motion does, measured every MEASURED_MM."""

    rms_mm: dict[str, float]  # displacement in each region, and in the cranium
    cranium_max_mm: float
    longest_mm: float
    jacobian: tuple[float, float]  # least and largest relative volume; above 0 the warp is invertible


def misalignment(seed: int, size: Point, asked_mm: float) -> Misalignment:
    """A warp that moves every region by asked_mm (root mean square) and folds nothing. Raises FoldError.

    size: of the head, relative to the average adult. A motion that cannot be used is drawn anew.
    """
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        warp = _with_gains(_drawn(rng, size), asked_mm)
        measured = warp.measured
        even = all(abs(measured.rms_mm[name] / asked_mm - 1) < 0.1 for name in REGIONS)
        if even and measured.jacobian[0] >= LEAST_JACOBIAN and measured.longest_mm <= LONGEST * asked_mm:
            return warp
    raise FoldError(f"a misalignment of {asked_mm:g} mm folds the anatomy; about 8 mm are possible")


def _drawn(rng: np.random.Generator, size: Point) -> Motion:
    """A motion before the gains."""
    jaw = TYPICAL_DEGREES * rng.choice((-1, 1)) * rng.uniform(0.6, 1.4)  # closed or opened, never as it was
    bend, tilt, turn = TYPICAL_DEGREES * rng.normal(size=3) * (0.8, 0.5, 0.6)  # mostly nodding: a mask holds the rest
    neck = (round(float(bend), 4), round(float(tilt), 4), round(float(turn), 4))
    return Motion(round(float(jaw), 4), neck, int(rng.integers(2**31)), size)


def _with_gains(motion: Motion, asked_mm: float) -> Misalignment:
    """The motion with such gains that every region moves by asked_mm; rounded, as cohort.json says them."""
    grid, warp = _measuring_grid(motion.size), Misalignment(motion)
    lps = positions(grid)
    soft = [wave.on(grid)(slice(0, grid.size[2])) for wave in warp.soft]
    where = _regions(lps, motion.size)
    anywhere = np.any([where[name] for name in REGIONS], axis=0)
    pushes, blends = (np.stack(a) for a in warp.parts([c[anywhere] for c in lps], [s[anywhere] for s in soft]))
    members = [where[name][anywhere] for name in REGIONS]
    gains = np.ones(len(REGIONS))
    for _ in range(GAIN_STEPS):
        length2 = np.square(pushes * (gains @ blends)).sum(0)
        gains *= [(asked_mm / np.sqrt(length2[member].mean())) ** 0.8 for member in members]
    rounded = {name: round(float(gain), 4) for name, gain in zip(REGIONS, gains, strict=True)}
    return Misalignment(replace(motion, gains=rounded))


class Misalignment:
    """A phantom.Warp: the shift from a point of the CT to what is there in the MR."""

    def __init__(self, motion: Motion):
        self.motion = motion
        rng = np.random.default_rng(motion.waves)
        self.soft = [Waves(rng, SOFT_WAVES, *SOFT_LONG_MM) for _ in "xyz"]

    @cached_property
    def measured(self) -> Measured:
        """What the warp does."""
        return _measure(self)

    def on(self, grid: Grid) -> Callable[[slice], list[Array]]:
        """The shift along x, y, z (mm) on some slices of a grid, each (k, j, i); exactly 0 in the cranium."""
        soft = [wave.on(grid) for wave in self.soft]
        gains = np.array(list(self.motion.gains.values()), np.float32)

        def shift(ks: slice) -> list[Array]:
            lps = positions(grid, ks)
            shifts = [np.zeros_like(lps[0]) for _ in "xyz"]
            free = _freedom(self._average(lps)) > 0
            if free.any():
                pushes, blends = self.parts([c[free] for c in lps], [wave(ks)[free] for wave in soft])
                gain = gains @ np.stack(blends)
                for out, push in zip(shifts, pushes, strict=True):
                    out[free] = push * gain
            return shifts

        return shift

    def parts(self, lps: Sequence[Array], soft: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """The shift before the gains along x, y, z (mm), and the share that each region's gain has in it.

        lps: positions, mm; soft: the random fields there, of variance 1; any shape.
        """
        q = self._average(lps)
        free = _freedom(q)
        jaw = _ramp(q[1], 22, -18) * _ramp(q[2], -40, -74)
        neck = _ramp(q[1], -32, 6)
        turned = [
            jaw * a + neck * b
            for a, b in zip(
                _turned(q, JAW_JOINT, (self.motion.jaw_degrees, 0, 0)),
                _turned(q, NECK_JOINT, self.motion.neck_degrees),
                strict=True,
            )
        ]
        pushes = [free * (turn + np.float32(SOFT_MM) * wave) for turn, wave in zip(turned, soft, strict=True)]
        near: list[Array] = [
            np.exp(-_ellipsoid(q, middle, [axis + GAIN_FADE_MM for axis in axes])) for middle, axes in REGIONS.values()
        ]
        total = sum(near) + np.float32(1e-12)
        return pushes, [one / total for one in near]

    def _average(self, lps: Sequence[Array]) -> list[Array]:
        """Positions in the average head."""
        return [c / np.float32(s) for c, s in zip(lps, self.motion.size, strict=True)]


def _measure(warp: Misalignment) -> Measured:
    """Displacement and Jacobian of a warp over a whole head."""
    grid = _measuring_grid(warp.motion.size)
    shift = np.stack(warp.on(grid)(slice(0, grid.size[2])))  # (3, k, j, i) mm
    length = np.sqrt(np.square(shift).sum(0))
    where = _regions(positions(grid), warp.motion.size)
    rms = {name: round(float(np.sqrt(np.square(length[inside]).mean())), 3) for name, inside in where.items()}
    slopes = np.stack([np.stack(np.gradient(s, MEASURED_MM)[::-1], axis=-1) for s in shift], axis=-2)  # d shift / d xyz
    jacobian = np.linalg.det(np.eye(3) + slopes)
    return Measured(
        rms_mm=rms,
        cranium_max_mm=round(float(length[where["cranium"]].max()), 3),
        longest_mm=round(float(length.max()), 3),
        jacobian=(round(float(jacobian.min()), 3), round(float(jacobian.max()), 3)),
    )


def _measuring_grid(size: Point) -> Grid:
    """Points every MEASURED_MM around a head and its neck, down to 145 mm below the middle of an average head."""
    low, high = np.array((-88, -120, -145)) * size, np.array((88, 120, 115)) * size
    i, j, k = (int(n) for n in np.ceil((high - low) / MEASURED_MM))
    x, y, z = ((low + high) / 2).tolist()
    return grid_around((x, y, z), (i, j, k), (MEASURED_MM,) * 3)


def _regions(lps: Sequence[Array], size: Point) -> dict[str, NDArray[np.bool_]]:
    """Which points lie in each region, and in the cranium: the room of the brain, without nose and orbits."""
    q = [c / np.float32(s) for c, s in zip(lps, size, strict=True)]
    inside = {name: _ellipsoid(q, middle, axes) < 1 for name, (middle, axes) in REGIONS.items()}
    cranium = np.any([_in_part(q, part) for part in CAVITY], axis=0)
    return {**inside, "cranium": cranium & ~np.any([_in_part(q, part) for part in ROOFS], axis=0)}


def _in_part(q: Sequence[Array], part: Part) -> NDArray[np.bool_]:
    """Which points lie in one of the ellipsoids along a part's path."""
    inside: NDArray[np.bool_] = np.any([_ellipsoid(q, point, part.brush) < 1 for point in part.path], axis=0)
    return inside


def _freedom(q: Sequence[Array]) -> Array:
    """0 in the cranium, 1 where throat, jaw and neck move freely; points of the average head.

    The base of the skull falls from the roof of the nose (z = 2) to the foramen magnum (z = -30).
    """
    base = 2 - 32 * _ramp(q[1], -50, 20)
    deep = 28 + 12 * _ramp(q[1], -50, 20)  # mm until all is free
    above_mouth = _ramp(q[2], -72, -42)
    outer_nose = above_mouth * _ramp(q[1], -64, -104)
    cheeks = above_mouth * _ramp(np.abs(q[0]), 16, 48) * _ramp(q[1], 10, -25)
    held = (1 - np.float32(0.6) * outer_nose) * (1 - np.float32(0.75) * cheeks)  # both sit on the skull
    return _ramp((base - q[2]) / deep, 0, 1) * held


def _ramp(value: Array, start: float, end: float) -> Array:
    """0 at start to 1 at end, level at both."""
    t = np.clip((value - np.float32(start)) / np.float32(end - start), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def _turned(q: Sequence[Array], pivot: Point, degrees: Point) -> list[Array]:
    """The shift (mm) by small turns about the patient's x, y and z axes through a pivot."""
    x, y, z = (c - np.float32(p) for c, p in zip(q, pivot, strict=True))
    a, b, c = np.radians(degrees).astype(np.float32)
    return [b * z - c * y, c * x - a * z, a * y - b * x]


def _ellipsoid(q: Sequence[Array], middle: Sequence[float], axes: Sequence[float]) -> Array:
    """Below 1 inside of an ellipsoid: the squared distance from its middle, in semi-axes."""
    squares = np.zeros_like(q[0])
    for c, m, r in zip(q, middle, axes, strict=True):
        squares += ((c - np.float32(m)) / np.float32(r)) ** 2
    return squares
