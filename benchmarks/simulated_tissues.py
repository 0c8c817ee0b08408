"""What a CT is made of, so that an MR of the same person can be simulated: air, fat, muscle, bone and a drawn brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

COARSE = 2  # the skull's inside is found on cells of so many voxels a side
BONE_HU = 180  # of the skull as a wall; thin bone of 3 mm slices is no more
GAPS_MM = 8  # sutures, canals of nerves and thin bone of the orbits, closed to find the inside
MARROW_HU = 150  # the least of it, where bone surrounds it
DEEP_MM = 12  # nothing but the brain lies so deep inside the skull's wall

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tissues:
    """Shares of each voxel (k, j, i), float32 in [0, 1], that add up to 1."""

    air: Array
    fat: Array
    muscle: Array
    bone: Array  # compact: no signal
    marrow: Array  # what HU between muscle and compact bone are
    csf: Array
    grey: Array
    white: Array


def ramp(values: Array, low: float, high: float) -> Array:
    """0 at low, 1 at high, linear between; low may be the greater."""
    share: Array = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return share


def field(random: np.random.Generator, shape: tuple[int, ...], mm: float, cell: int = 1) -> Array:
    """Gaussian noise of standard deviation 1, smooth over mm (sigma), on voxels of 1 mm; made on cells where coarse."""
    small = tuple(-(-size // cell) + 1 for size in shape)
    noise = ndimage.gaussian_filter(random.standard_normal(small, dtype=np.float32), mm / cell, mode="wrap")
    noise /= noise.std()
    if cell == 1:
        return noise[tuple(slice(size) for size in shape)]
    grown = ndimage.zoom(noise, cell, order=1, grid_mode=True, mode="nearest")
    return grown[tuple(slice(size) for size in shape)]


def inside_skull(hu: Array) -> Mask:
    """(k, j, i) bool: the brain and what surrounds it. hu: (k, j, i) on voxels of 1 mm, -1000 outside the head."""
    small = hu[::COARSE, ::COARSE, ::COARSE]
    ball = ndimage.distance_transform_edt(small <= BONE_HU) * COARSE
    wall = ball <= GAPS_MM / 2
    wall = ndimage.distance_transform_edt(wall) * COARSE > GAPS_MM / 2  # a closing by a ball
    wall |= small > BONE_HU
    open_ = ~wall & (small > -150)
    depth = ndimage.distance_transform_edt(open_) * COARSE
    cores, count = ndimage.label(depth > DEEP_MM)
    if not count:
        return np.zeros(hu.shape, bool)
    # the neck is deep too where a volume holds it: the brain is the core that most wall surrounds
    best = max(range(1, count + 1), key=lambda n: _walled(cores == n, wall))
    reach = ndimage.distance_transform_edt(cores != best) * COARSE
    brain = open_ & (reach <= DEEP_MM + 2)
    grown = ndimage.zoom(brain.astype(np.float32), COARSE, order=1, grid_mode=True, mode="nearest") > 0.5
    return grown[tuple(slice(size) for size in hu.shape)]


def _walled(core: Mask, wall: Mask) -> float:
    shell = ndimage.distance_transform_edt(~core) * COARSE
    return float(core.sum()) * float(wall[(shell > 0) & (shell < DEEP_MM + 4)].mean())


def tissues(hu: Array, random: np.random.Generator) -> Tissues:
    """Tissues of a sagittal CT (k, j, i) in HU on voxels of 1 mm, -1000 outside the head. random: draws the brain."""
    calm = ndimage.gaussian_filter(hu, 0.6)
    air = ramp(calm, -250, -550)
    # half-filled voxels on a surface have the HU of fat or marrow, and are neither
    at_air = ndimage.binary_dilation(air > 0.05, iterations=2)
    dense = ndimage.binary_closing(calm > MARROW_HU, iterations=2)
    in_bone = ndimage.gaussian_filter(ndimage.binary_erosion(dense, iterations=2).astype(np.float32), 0.6)
    bone = ramp(calm, float(random.uniform(60, 150)), float(random.uniform(350, 500)))
    compact = ramp(calm, 350, float(random.uniform(600, 800)))
    marrow = np.clip(in_bone - compact, 0, 1) * (1 - air)
    bone = np.clip(bone * (1 - air) - marrow, 0, 1)
    fat = np.where(at_air, 0, np.clip(ramp(calm, -25, -90) - air, 0, 1)).astype(np.float32)
    soft = np.clip(1 - air - bone - marrow - fat, 0, 1)
    brain = inside_skull(hu)
    csf, white = _brain(brain, random)
    inner = ndimage.gaussian_filter(brain.astype(np.float32), 0.8)
    # what is not bone inside the skull is brain, whatever its HU are: noise and beam hardening make fat of it
    within = (soft + np.where(brain, fat, 0)) * inner
    fat = np.where(brain, fat * (1 - inner), fat)
    muscle = np.clip(1 - air - bone - marrow - fat - within, 0, 1)
    parenchyma = within * (1 - csf)
    return Tissues(air, fat, muscle, bone, marrow, within * csf, parenchyma * (1 - white), parenchyma * white)


def _brain(brain: Mask, random: np.random.Generator) -> tuple[Array, Array]:
    """Shares of CSF, and of white matter in what is not CSF: a rim, furrows, ventricles, folds; drawn, not anatomy."""
    depth = ndimage.distance_transform_edt(brain).astype(np.float32)
    shape = brain.shape
    folds = field(random, shape, 3.2)
    rim = ramp(depth, float(random.uniform(1.5, 5)), float(random.uniform(0.3, 1)))
    rim *= ramp(field(random, shape, 6, 2), -1.2, 0.2)  # in places the brain touches the bone
    furrows = ramp(np.abs(folds), 0.28, 0.12) * ramp(depth, float(random.uniform(14, 26)), 6)
    ventricles = np.zeros(shape, np.float32)
    # axes as of a sagittal volume: to the left, to inferior, to posterior
    k, j, i = (float(index.mean()) for index in np.nonzero(brain)) if brain.any() else (0.0, 0.0, 0.0)
    left, down, back = np.ogrid[: shape[0], : shape[1], : shape[2]]
    long, high, wide = random.uniform(18, 30), random.uniform(6, 14), random.uniform(3, 7)
    for side in (-1, 1):
        away = ((left - k - side * (wide + 4)) / wide) ** 2 + ((down - j + 8) / high) ** 2 + ((back - i) / long) ** 2
        ventricles = np.maximum(ventricles, ramp(away.astype(np.float32) + 0.3 * folds, 1.2, 0.8))
    csf = np.clip(np.maximum(np.maximum(rim, furrows), ventricles * random.uniform(0.5, 1)), 0, 1).astype(np.float32)
    thick = float(random.uniform(2, 4))  # of the cortex, mm
    from_csf = ndimage.distance_transform_edt(csf < 0.5).astype(np.float32)
    white = ramp(np.minimum(from_csf, depth) + 0.7 * field(random, shape, 2), thick - 0.6, thick + 0.6)
    deep = ramp(field(random, shape, 7, 2), 1.3, 1.6)  # grey islands, as the nuclei are
    return csf, white * (1 - deep)
