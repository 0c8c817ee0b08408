"""What is known of every head, put into a synthetic CT: a brain without bone, a closed vault, air in the sinuses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corrected_vault import closed_vault

Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

BONE_HU, AIR_HU, CLEAR_HU = 250, -300, -600  # clear: what the generator has for air, the end of its window
SOFT_HU, BRAIN_HU, WATER_HU, SCALP_HU, VAULT_HU = 200, 32.0, 12.0, 0.0, 900.0
ABOVE_MM, AIRLESS_MM, BASE_MM = 75, 70, 115  # below the vertex: the vault; the part without a sinus; the brain
SKIN_MM, SCALP_MM, BRAIN_FROM_MM, WHITE_FROM_MM = 3, 5, 6, 30  # below the skin
CORE_MM, GROWN_MM = 4, 5.5  # of the brain's largest part from its surface, and what is brain around it
INNER_MM = 1.5  # from the brain's surface, where a voxel may hold part of a thin skull
FOLD_MM = 8  # the brain's furrows and ventricles are closed by a ball of this radius
GRAIN_MM = 3.5  # gaps and spots in a vault up to twice this wide are bone, too
# Of white matter's signal: air and compact bone; water and compact bone; marrow at most; fat and vessels at least.
BLACK, DARK, MARROW, BRIGHT = 0.16, 0.45, 0.8, 1.7
SINUS_MM, FACE = 3.5, 0.38  # half of a space wider than bone of the face; the part of a head's length that is face
FACE_FROM_MM = 95  # below the vertex; a black space higher up may be a thick frontal bone
SINUS_CM3, FAR_MM, KNOWN_SHARE = 0.3, 5, 0.25  # of a sinus; how far, and how much of it, from what a model held for air
END_MM = 4


def corrected(mr: Hu, head: Mask, hu: Hu, earlier: Hu, spacing: Spacing) -> tuple[Hu, dict[str, float]]:
    """A CT in HU, float32, and the cm3 that each rule changed. Arrays: (k, j, i) to the left, inferior, posterior.

    mr: float32, scanner units.  head: bool.  hu, earlier: synthetic CTs, float32 HU.  spacing: mm of k, j, i.
    """
    inside = np.pad(head, 1)
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)[1:-1, 1:-1, 1:-1]
    rows = np.flatnonzero(head.any(axis=(0, 2)))
    below_vertex = ((np.arange(head.shape[1]) - rows[0]) * spacing[1])[None, :, None]
    above = np.broadcast_to(below_vertex < ABOVE_MM, head.shape)
    calm = ndimage.gaussian_filter(mr, [0.7 / mm for mm in spacing])
    white = float(np.median(calm[(depth > WHITE_FROM_MM) & (hu > -50) & (hu < 100) & above]))
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
    black = (calm < DARK * white) & (depth > SCALP_MM) & ~brain
    change("air_in_vault", airless, np.where(black, VAULT_HU, SCALP_HU).astype(np.float32))
    shell = above & ~brain & (depth > SKIN_MM)
    bone = result > BONE_HU
    spots = _closed(bone & above, GRAIN_MM, spacing) & shell & ~bone & (calm < MARROW * white)
    spots &= below_vertex < AIRLESS_MM
    change("spots_of_vault", spots, np.maximum(result, _around(result, bone & above, spacing)))
    wall = closed_vault(result, calm, brain, head, ABOVE_MM, spacing)
    change("gaps_of_vault", (wall > result) & shell, wall)
    low = np.broadcast_to(below_vertex > FACE_FROM_MM, head.shape)
    change("sinuses", _sinuses(calm / white, depth, head & low, hu, earlier, spacing), CLEAR_HU)
    return result, changed


def _brain(signal: Hu, hu: Hu, depth: NDArray[np.float64], spacing: Spacing) -> Mask:
    """The brain with its furrows and ventricles, at its surface without the water."""
    likely = (signal > DARK) & (signal < BRIGHT) & (hu < SOFT_HU) & (depth > BRAIN_FROM_MM)
    cores, _ = ndimage.label(ndimage.distance_transform_edt(likely, sampling=spacing) > CORE_MM)
    sizes = np.bincount(cores.ravel())
    sizes[0] = 0
    core = cores == sizes.argmax()
    tissue = likely & (ndimage.distance_transform_edt(~core, sampling=spacing) < GROWN_MM)
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
    """The slice before the last ones in their place; where that is air, what they are themselves."""
    before = hu[:, [rows[-1] - round(END_MM / spacing[1])]]
    return np.broadcast_to(np.where(before < -100, hu, before), hu.shape)


def _sinuses(signal: Hu, depth: NDArray[np.float64], head: Mask, hu: Hu, earlier: Hu, spacing: Spacing) -> Mask:
    """Black spaces of the face that are wider than its bones, and black ones that an earlier model had for air."""
    columns = np.flatnonzero(head.any(axis=(0, 1)))
    face = np.zeros(head.shape, bool)
    face[:, :, : columns[0] + int(FACE * len(columns))] = True
    face &= head & (depth > SKIN_MM)
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
