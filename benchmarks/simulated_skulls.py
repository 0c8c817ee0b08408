"""Skulls of other people out of the one in a CT: of the slight, and of children."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from simulated_brain import Array, field
from simulated_tissues import inside_skull

BONE_HU = 200
LEFT_MM = 1.5  # of the half thickness, where bones get thinner
NEAR_MM = 16  # of the skull's inside: neither jaw nor neck
VAULT_MM = 85  # from the top of the skull's inside: the temples, but not the base, of which nothing would be left
CHILD_HALF_MM = (0.9, 1.7)  # half thickness that stays
CHILD_HU = (450, 900)  # of thin bone that a voxel of a CT is full of
SCALP_HU = (-100, 60)


def thinner_bones(hu: Array, mm: float, random: np.random.Generator) -> Array:
    """HU, (k, j, i), with so many mm less on each side of thick bones: the skulls of the young and the slight."""
    bone = ndimage.binary_closing(hu > BONE_HU, iterations=2)
    depth = ndimage.distance_transform_edt(bone).astype(np.float32)
    thick = ndimage.maximum_filter(depth, 9)
    lost = bone & (depth < mm * (1 + 0.2 * field(random, hu.shape, 20, 8))) & (thick > mm + LEFT_MM)
    soft = np.where(lost, np.float32(40), hu)
    edge = ndimage.binary_dilation(lost)
    return np.where(edge, ndimage.gaussian_filter(soft, 0.5), soft)


def childs_skull(hu: Array, random: np.random.Generator) -> Array:
    """HU, (k, j, i), with 2 to 3 mm left of the vault, dense and without a gap."""
    inside = inside_skull(hu)
    if not inside.any():
        return hu
    near = ndimage.zoom(inside[::4, ::4, ::4], 4, order=0, grid_mode=True, mode="nearest")
    near = ndimage.distance_transform_edt(~near[::2, ::2, ::2]) * 2 < NEAR_MM
    near = np.repeat(np.repeat(np.repeat(near, 2, 0), 2, 1), 2, 2)[tuple(slice(size) for size in hu.shape)]
    near[:, np.flatnonzero(inside.any(axis=(0, 2)))[0] + VAULT_MM :] = False
    bone = ndimage.binary_closing(hu > BONE_HU, iterations=2)
    wall = ndimage.binary_dilation(bone)  # half-filled voxels beside a bone are no tissue to take for the scalp
    depth, nearest = ndimage.distance_transform_edt(wall, return_indices=True)
    depth = depth.astype(np.float32) - 1
    half = np.float32(random.uniform(*CHILD_HALF_MM)) * (1 + np.float32(0.12) * field(random, hu.shape, 20, 8))
    lost = near & wall & (depth < ndimage.maximum_filter(depth, 5) - half)  # along the middle nothing is ever lost
    left = near & bone & ~lost
    dense = np.float32(random.uniform(*CHILD_HU)) * (1 + np.float32(0.15) * field(random, hu.shape, 10, 4))
    grown = np.where(lost, np.clip(hu[tuple(nearest)], *SCALP_HU), hu)
    grown = np.where(left, np.maximum(grown, dense), grown).astype(np.float32)
    edge = ndimage.binary_dilation(lost)
    return np.where(edge, ndimage.gaussian_filter(grown, 0.45), grown)
