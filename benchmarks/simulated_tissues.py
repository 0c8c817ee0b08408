"""What a CT is made of, so that an MR of the same person can be simulated: air, fat, muscle, bone and a brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from simulated_brain import Array, Mask, drawn_brain, field, ramp

COARSE = 2  # the skull's inside is found on cells of so many voxels a side
BONE_HU = 180  # of the skull as a wall; thin bone of 3 mm slices is no more
GAPS_MM = 8  # sutures, canals of nerves and thin bone of the orbits, closed to find the inside
MARROW_HU = 150  # the least of it, where bone surrounds it
DIPLOE_SHARE = 0.75  # of people, whose marrow an MR shows between two dark tables, whatever the CT resolves
SCALP_FAT_SHARE = 0.6  # of people, with a bright line of it in the scalp
PETROUS_HU = (1600, 1200)
DEEP_MM = 12  # nothing but the brain lies so deep inside the skull's wall


@dataclass(frozen=True)
class Tissues:
    """Shares of each voxel (k, j, i), float32 in [0, 1], that add up to 1."""

    air: Array
    fat: Array
    muscle: Array
    bone: Array  # compact: no signal
    marrow: Array  # what HU between muscle and compact bone are, and the middle of thick bones
    dura: Array
    csf: Array
    grey: Array
    white: Array


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
    bone = ramp(calm, float(random.uniform(60, 150)), float(random.uniform(350, 500)))
    marrow = _marrow(calm, random) * (1 - air)
    bone = np.clip(bone * (1 - air) - marrow, 0, 1)
    fat = np.where(at_air, 0, np.clip(ramp(calm, -25, -90) - air, 0, 1)).astype(np.float32)
    soft = np.clip(1 - air - bone - marrow - fat, 0, 1)
    inside = inside_skull(hu)
    brain = drawn_brain(inside, random)
    # what is not bone inside the skull is brain, whatever its HU are: noise and beam hardening make fat of it; what
    # lies between brain and bone is dura
    inner = ndimage.gaussian_filter(ndimage.binary_dilation(inside, iterations=2).astype(np.float32), 0.5)
    within = (soft + np.where(inside, fat, 0)) * inner
    fat = np.where(inside, fat * (1 - inner), fat)
    muscle = np.clip(1 - air - bone - marrow - fat - within, 0, 1)
    parenchyma = within * np.clip(1 - brain.csf - brain.dura, 0, 1)
    if random.random() < SCALP_FAT_SHARE:
        layer = muscle * _below_the_skin(air, random)
        fat, muscle = fat + layer, muscle - layer
    return Tissues(
        air, fat, muscle, bone, marrow, within * brain.dura, within * brain.csf,
        parenchyma * (1 - brain.white), parenchyma * brain.white,
    )  # fmt: skip


def _below_the_skin(air: Array, random: np.random.Generator) -> Array:
    """Where fat lies below the skin, whatever the CT resolves; share of each voxel."""
    depth = ndimage.distance_transform_edt(air < 0.5).astype(np.float32)
    skin, fat = float(random.uniform(1, 2.5)), float(random.uniform(2, 6))
    return ramp(depth, skin, skin + 0.8) * ramp(depth, skin + fat + 0.8, skin + fat)


def _marrow(calm: Array, random: np.random.Generator) -> Array:
    """Share of marrow: where bone is not dense, and in most people also where it is thick, as between the tables."""
    dense = ndimage.binary_closing(calm > MARROW_HU, iterations=2)
    depth = ndimage.distance_transform_edt(dense).astype(np.float32)
    in_bone = ndimage.gaussian_filter(ramp(depth, 2, 3), 0.6)
    marrow = np.clip(in_bone - ramp(calm, 350, float(random.uniform(600, 800))), 0, 1)
    if random.random() < DIPLOE_SHARE:
        table_mm = float(random.uniform(2.0, 3.0))
        middle = ramp(depth, table_mm - 0.5, table_mm + 0.5) * ramp(calm, *PETROUS_HU)  # the densest has no marrow
        here = ramp(field(random, calm.shape, 12, 4), -1.5, -0.5) * np.float32(random.uniform(0.6, 1))
        marrow = np.maximum(marrow, middle * here)
    return marrow
