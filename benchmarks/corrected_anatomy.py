"""What is known of every head, put into a synthetic CT: a brain without bone, a closed vault, air in the sinuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

BONE_HU, AIR_HU, CLEAR_HU = 250, -300, -600  # clear: what the generator has for air, the end of its window
SOFT_HU, BRAIN_HU, WATER_HU, SCALP_HU, VAULT_HU = 200, 32.0, 12.0, 0.0, 750.0
ABOVE_MM, AIRLESS_MM, BASE_MM = 75, 50, 115  # below the vertex: the vault; the part without a sinus; the brain
SKIN_MM, BRAIN_FROM_MM = 3, 6  # below the skin
INNER_MM = 1.5  # from the brain's surface, where a voxel may hold part of a thin skull
FOLD_MM = 8  # the brain's furrows and ventricles are closed by a ball of this radius
GRAIN_MM = 3.5  # gaps and spots in a vault up to twice this wide are bone, too
BLACK, DARK = 0.16, 0.45  # of white matter's signal: air and compact bone; water and compact bone
SINUS_MM, FACE = 3.5, 0.38  # half of a space wider than bone of the face; the part of a head's length that is face
SINUS_CM3, FAR_MM, KNOWN_SHARE = 0.3, 5, 0.25  # of a sinus; how far, and how much of it, from what a model held for air
LEAST_MM, RAYS = 2.0, 20000  # thickness of a vault; directions that it is looked at in
NEIGHBOURS = 16  # of a direction, about 6 mm of vault around it
FLESH_MM = 24  # from brain to skin, the most of it: where there is more, at the temples, the wall is not told
END_MM = 4


def corrected(mr: Hu, head: Mask, hu: Hu, earlier: Hu, spacing: Spacing) -> tuple[Hu, dict[str, float]]:
    """A CT, and the cm3 that each rule changed. All arrays: (k, j, i) to the left, to inferior, to posterior.

    mr: scanner units.  head: bool.  hu, earlier: synthetic CTs in HU.  spacing: mm of k, j, i.
    """
    inside = np.pad(head, 1)
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)[1:-1, 1:-1, 1:-1]
    rows = np.flatnonzero(head.any(axis=(0, 2)))
    below_vertex = ((np.arange(head.shape[1]) - rows[0]) * spacing[1])[None, :, None]
    above = np.broadcast_to(below_vertex < ABOVE_MM, head.shape)
    calm = ndimage.gaussian_filter(mr, [0.7 / mm for mm in spacing])
    white = float(np.median(calm[(depth > 30) & (hu > -50) & (hu < 100) & above]))
    brain = _brain(calm / white, hu, depth, spacing)
    result, changed = hu.copy(), {}
    cm3 = float(np.prod(spacing)) / 1000

    def change(name: str, where: Mask, to: Hu | float) -> None:
        result[where] = to[where] if isinstance(to, np.ndarray) else to
        changed[name] = round(float(where.sum()) * cm3, 2)

    tissue = np.where(calm < DARK * white, WATER_HU, BRAIN_HU).astype(np.float32)
    change("end", _end(head, rows, spacing), _last_before(hu, rows, spacing))
    wrong = above & ((result > 100) | (result < -40))
    for specks in (result > 100, result < -40):
        wrong |= _specks(specks, brain & (below_vertex < BASE_MM))  # further down it is the neck
    change("in_brain", wrong & (ndimage.distance_transform_edt(brain, sampling=spacing) > INNER_MM), tissue)
    airless = (below_vertex < AIRLESS_MM) & (depth > SKIN_MM) & (result < -150)
    change("air_in_vault", airless, SCALP_HU)
    shell = above & ~brain & (depth > SKIN_MM)
    bone = result > BONE_HU
    spots = _closed(bone & above, GRAIN_MM, spacing) & shell & ~bone & (calm < 0.8 * white)
    spots &= below_vertex < AIRLESS_MM
    change("spots_of_vault", spots, np.maximum(result, _around(result, bone & above, spacing)))
    wall = _wall(result, calm, brain, head, rows, below_vertex, spacing)
    change("gaps_of_vault", (wall > result) & shell, wall)
    change("sinuses", _sinuses(calm / white, depth, head, hu, earlier, above, spacing), CLEAR_HU)
    return result, changed


def _brain(signal: Hu, hu: Hu, depth: NDArray[np.float64], spacing: Spacing) -> Mask:
    """The brain with its furrows and ventricles, at its surface without the water."""
    likely = (signal > DARK) & (signal < 1.7) & (hu < SOFT_HU) & (depth > BRAIN_FROM_MM)
    cores, _ = ndimage.label(ndimage.distance_transform_edt(likely, sampling=spacing) > 4)
    sizes = np.bincount(cores.ravel())
    sizes[0] = 0
    core = cores == sizes.argmax()
    tissue = likely & (ndimage.distance_transform_edt(~core, sampling=spacing) < 5.5)
    return ndimage.binary_fill_holes(_closed(tissue, FOLD_MM, spacing))


def _closed(mask: Mask, mm: float, spacing: Spacing) -> Mask:
    """Closing by a ball."""
    pads = [(int(np.ceil(mm / one)) + 1,) * 2 for one in spacing]
    near = ndimage.distance_transform_edt(~np.pad(mask, pads), sampling=spacing) <= mm
    closed = ndimage.distance_transform_edt(near, sampling=spacing) > mm
    return closed[tuple(slice(one, -one) for one, _ in pads)] | mask


def _specks(specks: Mask, brain: Mask) -> Mask:
    """Those with brain all around them."""
    parts, count = ndimage.label(specks, np.ones((3, 3, 3)))
    share = ndimage.mean(brain.astype(np.float32), parts, np.arange(count + 1))
    surrounded = share > 0.999
    surrounded[0] = False
    return surrounded[parts]


def _around(hu: Hu, bone: Mask, spacing: Spacing) -> Hu:
    """The mean HU of the bone around each voxel."""
    weights = ndimage.gaussian_filter(bone.astype(np.float32), [3 / mm for mm in spacing])
    mean: Hu = ndimage.gaussian_filter(np.where(bone, hu, 0), [3 / mm for mm in spacing]) / np.maximum(weights, 1e-3)
    return mean


def _end(head: Mask, rows: NDArray[np.intp], spacing: Spacing) -> Mask:
    """The last slices, where the volume ends in the head and not below it."""
    where = np.zeros(head.shape, bool)
    if rows[-1] > head.shape[1] - 3:
        where[:, rows[-1] + 1 - round(END_MM / spacing[1]) :] = True
    return where & head


def _last_before(hu: Hu, rows: NDArray[np.intp], spacing: Spacing) -> Hu:
    before = hu[:, [rows[-1] - round(END_MM / spacing[1])]]
    return np.broadcast_to(np.where(before < -100, hu, before), hu.shape)


def _wall(
    hu: Hu,
    mr: Hu,
    brain: Mask,
    head: Mask,
    rows: NDArray[np.intp],
    below_vertex: NDArray[np.float64],
    spacing: Spacing,
) -> Hu:
    """The vault as a wall without a gap, HU; -1000 elsewhere. Where rays from below the vertex meet no bone between
    brain and skin, it goes on at the radius that the bone around has, moved to where the MR is darkest."""
    mm = np.array(spacing)
    level = rows[0] + int(ABOVE_MM / spacing[1])
    where = np.argwhere(head[:, min(level, rows[-1])])
    centre = np.array([where[:, 0].mean(), level, where[:, 1].mean()]) * mm
    n = np.arange(RAYS)
    up, turn = (n + 0.5) / RAYS, n * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - up**2)
    rays = np.stack([flat * np.cos(turn), -up, flat * np.sin(turn)], axis=1)
    steps = np.arange(20, 140, 0.5)
    points = (centre[:, None, None] + rays.T[:, :, None] * steps) / mm[:, None, None]

    def along(volume: NDArray[np.generic], outside: float) -> Hu:
        sampled: Hu = ndimage.map_coordinates(volume.astype(np.float32), points, order=1, cval=outside)
        return sampled

    bone = along(hu, -1000) > BONE_HU
    inner = _last(along(brain, 0) > 0.5, steps)
    skin = _last(along(head, 0) > 0.5, steps)
    bone &= (steps > inner[:, None] - 1) & (steps < skin[:, None] - 1.5)
    thick = bone.sum(axis=1) * 0.5
    sound = thick >= LEAST_MM
    if sound.all() or not sound.any():
        return np.full(hu.shape, -1000, np.float32)
    inside, outside = _first(bone, steps), _last(bone, steps)
    share = np.where(sound, ((inside + outside) / 2 - inner) / np.maximum(skin - inner, 1), 0)
    near, places = cKDTree(rays[sound]).query(rays, k=60)
    weights = np.exp(-((near / 0.1) ** 2)) + 1e-6
    weights /= weights.sum(axis=1, keepdims=True)
    middle = inner + (weights * share[sound][places]).sum(axis=1) * (skin - inner)
    signal = along(mr, 0)
    possible = np.abs(steps - middle[:, None]) < 2.5
    possible &= (steps > inner[:, None]) & (steps < skin[:, None] - 2)
    darkest = steps[np.where(possible, signal, np.inf).argmin(axis=1)]
    middle = np.where(sound, (inside + outside) / 2, np.where(possible.any(axis=1), (darkest + middle) / 2, middle))
    wide = np.clip((weights * thick[sound][places]).sum(axis=1), LEAST_MM, 5)
    missing = ~sound & (skin - inner < FLESH_MM) & (near[:, 20] < 0.25)
    missing = _smoothed(missing.astype(np.float64), rays, np.mean)

    around = np.argwhere(head & (below_vertex < ABOVE_MM) & ~brain)
    offset = around * mm - centre
    radius = np.linalg.norm(offset, axis=1)
    _, ray = cKDTree(rays).query(offset / radius[:, None])
    smooth = _smoothed(middle, rays)
    edge = np.clip((wide[ray] / 2 + 0.5 - np.abs(radius - smooth[ray])) / 1.0, 0, 1)
    edge *= np.clip(2 * missing[ray], 0, 1)
    wall = np.full(hu.shape, -1000, np.float32)
    wall[tuple(around.T)] = np.where(edge > 0, 40 + edge * (VAULT_HU - 40), -1000)
    return wall


def _smoothed(
    values: NDArray[np.float64], rays: NDArray[np.float64], how: Callable[..., Any] = np.median
) -> NDArray[np.float64]:
    """Of the rays around each."""
    _, places = cKDTree(rays).query(rays, k=NEIGHBOURS)
    smoothed: NDArray[np.float64] = how(values[places], axis=1)
    return smoothed


def _first(mask: Mask, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mask.any(axis=1), steps[mask.argmax(axis=1)], steps[0])


def _last(mask: Mask, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mask.any(axis=1), steps[mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)], steps[0])


def _sinuses(
    signal: Hu, depth: NDArray[np.float64], head: Mask, hu: Hu, earlier: Hu, above: Mask, spacing: Spacing
) -> Mask:
    """Black spaces of the face that are wider than its bones, and black ones that an earlier model had for air."""
    columns = np.flatnonzero(head.any(axis=(0, 1)))
    face = np.zeros(head.shape, bool)
    face[:, :, : columns[0] + int(FACE * len(columns))] = True
    face &= ~above & (depth > SKIN_MM)
    black = (signal < BLACK) & face
    wide = ndimage.distance_transform_edt(black, sampling=spacing) > SINUS_MM
    wide = black & (ndimage.distance_transform_edt(~wide, sampling=spacing) <= SINUS_MM)
    known = np.minimum(hu, earlier) < AIR_HU
    wide &= ndimage.distance_transform_edt(~known, sampling=spacing) < FAR_MM
    air = wide | (black & (earlier < AIR_HU))
    parts, count = ndimage.label(air)
    cm3 = float(np.prod(spacing)) / 1000
    sizes = np.bincount(parts.ravel()) * cm3
    told = ndimage.mean(known.astype(np.float32), parts, np.arange(count + 1))
    kept = (sizes > SINUS_CM3) & (told > KNOWN_SHARE)
    kept[0] = False
    return kept[parts] & (hu > CLEAR_HU)
