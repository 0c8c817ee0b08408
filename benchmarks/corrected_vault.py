"""The vault of a synthetic CT as a wall without a gap, looked at along rays from a point below the vertex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

BONE_HU, VAULT_HU, SOFT_HU, NONE_HU = 400, 900.0, 40.0, -1000.0
LEAST_MM, THIN_MM, MOST_MM = 2.0, 3.0, 5.0  # thickness of what counts as a wall; of what is put into a gap
FLESH_MM = 24  # from brain to skin, the most of it: where there is more, as at the temples, the wall is not told
SKIN_MM, MARGIN_MM = 1.5, 2.0  # of skin without bone; of where a missing wall is not looked for
TABLE_MM = 1.0  # how far bone may reach into what was taken for brain
DARKEST_MM = 2.5  # from where the wall is expected, the darkest place is looked for
RAYS, STEP_MM, FROM_MM, TO_MM = 20000, 0.5, 20, 140
NEIGHBOURS = 16  # of a ray, about 6 mm of vault around it
NEAR, FAR = 60, 0.1  # sound rays that tell where a missing wall goes on; how they weigh, in radians
LOST, LOST_FROM = 20, 0.25  # a gap whose 20th sound neighbour is so far away is none but an end

Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]
Along = NDArray[np.float64]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Rays:
    """Directions over the upper half of a sphere, evenly, (RAYS, 3) of k, j, i, from a point in mm."""

    centre: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing: Spacing

    def along(self, volume: NDArray[Any], outside: float) -> Hu:
        """(RAYS, steps) values of a volume."""
        points = self.centre[:, None, None] + self.directions.T[:, :, None] * STEPS
        index = points / np.array(self.spacing)[:, None, None]
        sampled: Hu = ndimage.map_coordinates(volume.astype(np.float32), index, order=1, cval=outside)
        return sampled

    def smoothed(self, values: Along, how: Callable[..., Any]) -> Along:
        """Of the rays around each."""
        _, places = cKDTree(self.directions).query(self.directions, k=NEIGHBOURS)
        result: Along = how(values[places], axis=1)
        return result


STEPS = np.arange(FROM_MM, TO_MM, STEP_MM)


def closed_vault(hu: Hu, mr: Hu, brain: Mask, head: Mask, above_mm: float, spacing: Spacing) -> Hu:
    """HU of the wall where there is a gap in it, and -1000 everywhere else.

    hu, mr, brain, head: (k, j, i) to the left, to inferior, to posterior.  above_mm: below the vertex, where the vault
    ends.  spacing: mm of k, j, i.  Where rays meet no bone between brain and skin the wall goes on at the share of that
    way that the bone around has, moved half of the way to where the MR is darkest.
    """
    rays = _rays(head, above_mm, spacing)
    inner, skin = (_last(rays.along(mask, 0) > 0.5) for mask in (brain, head))
    bone = rays.along(hu, NONE_HU) > BONE_HU
    bone &= (inner[:, None] - TABLE_MM < STEPS) & (skin[:, None] - SKIN_MM > STEPS)
    thick = bone.sum(axis=1) * STEP_MM
    sound = thick >= LEAST_MM
    if sound.all() or not sound.any():
        return np.full(hu.shape, NONE_HU, np.float32)
    middle = (_first(bone) + _last(bone)) / 2
    far, places = cKDTree(rays.directions[sound]).query(rays.directions, k=NEAR)
    weights = np.exp(-((far / FAR) ** 2)) + 1e-6
    weights /= weights.sum(axis=1, keepdims=True)
    share = (middle - inner) / np.maximum(skin - inner, 1)
    expected = inner + (weights * share[sound][places]).sum(axis=1) * (skin - inner)
    middle = np.where(sound, middle, _darker(expected, rays.along(mr, 0), inner, skin))
    wide = np.clip((weights * thick[sound][places]).sum(axis=1), THIN_MM, MOST_MM)
    missing = ~sound & (skin - inner < FLESH_MM) & (far[:, LOST] < LOST_FROM)
    missing_share = rays.smoothed(missing.astype(np.float64), np.mean)
    vertex = int(np.flatnonzero(head.any(axis=(0, 2)))[0])
    rows = np.arange(head.shape[1])[None, :, None]
    where = np.argwhere(head & ~brain & ((rows - vertex) * spacing[1] < above_mm))
    return _drawn(hu.shape, where, rays, rays.smoothed(middle, np.median), wide, missing_share)


def _rays(head: Mask, above_mm: float, spacing: Spacing) -> Rays:
    rows = np.flatnonzero(head.any(axis=(0, 2)))
    level = rows[0] + int(above_mm / spacing[1])
    where = np.argwhere(head[:, min(level, rows[-1])])
    centre = np.array([where[:, 0].mean(), level, where[:, 1].mean()]) * np.array(spacing)
    n = np.arange(RAYS)
    up, turn = (n + 0.5) / RAYS, n * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - up**2)
    return Rays(centre, np.stack([flat * np.cos(turn), -up, flat * np.sin(turn)], axis=1), spacing)


def _darker(expected: Along, signal: Hu, inner: Along, skin: Along) -> Along:
    """Half of the way to where the MR is darkest nearby."""
    possible = np.abs(STEPS - expected[:, None]) < DARKEST_MM
    possible &= (inner[:, None] < STEPS) & (skin[:, None] - MARGIN_MM > STEPS)
    darkest = STEPS[np.where(possible, signal, np.inf).argmin(axis=1)]
    return np.where(possible.any(axis=1), (darkest + expected) / 2, expected)


def _drawn(
    shape: tuple[int, ...], where: NDArray[np.intp], rays: Rays, middle: Along, wide: Along, missing: Along
) -> Hu:
    """A wall of some width at a radius of each ray, as far as it is missing there. where: voxels, (n, 3)."""
    offset = where * np.array(rays.spacing) - rays.centre
    radius = np.linalg.norm(offset, axis=1)
    _, ray = cKDTree(rays.directions).query(offset / radius[:, None])
    edge = np.clip(wide[ray] / 2 + 0.5 - np.abs(radius - middle[ray]), 0, 1) * np.clip(2 * missing[ray], 0, 1)
    wall = np.full(shape, NONE_HU, np.float32)
    wall[tuple(where.T)] = np.where(edge > 0, SOFT_HU + edge * (VAULT_HU - SOFT_HU), NONE_HU)
    return wall


def _first(mask: Mask) -> Along:
    return np.where(mask.any(axis=1), STEPS[mask.argmax(axis=1)], STEPS[0])


def _last(mask: Mask) -> Along:
    return np.where(mask.any(axis=1), STEPS[mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)], STEPS[0])
