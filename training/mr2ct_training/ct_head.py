"""Where the head is in a CT, without what holds it: couch, head rest, thermoplastic mask.

In HU one threshold tells tissue from air. What is left to do is to let go of the fixings. A thermoplastic mask is a
perforated sheet, so the mean over its holes is half air and falls below the threshold, even where it lies on the skin.
Couch and head rest are shells filled with foam: nothing in them is as thick as a head. What remains is tissue, and
where its skin is and which cavities lie inside it, the runtime's own head_mask tells as it does for an MR.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.intensity import AIR_HU
from mr2ct.modality import CT_AIR_HU, CT_AIR_SHARE, EVERY
from mr2ct.model_grid import to_model_grid
from mr2ct.volume import Volume

SOFT_HU = (-200, 200)  # fat, muscle and brain; three real head CTs have 24 to 36 % of their voxels in it
SOFT_SHARE = 0.02

# Between a mask on the skin, -450 HU over its holes in a planning CT, and what that mean leaves of an ear 2.5 mm thick.
TISSUE_HU = -400.0
HOLES_MM = 1.3  # Gaussian sigma of that mean: holes 4 mm apart keep a sixth of their contrast
CELL_MM = 2.0  # of the lattice on which thickness is measured

THICK_MM = 10.0  # nothing of a couch is; the head is found by what is thicker
REACH_MM = 40.0  # of ears and nose from what is thicker; what reaches farther is a fixing that touches the head
NEAR_MM = 20.0  # of what reaches farther, so much is the head's own: skin, which is all nearer, and most of an ear
OUTSIDE_MM = 1.0  # the mask ends this far outside the skin

Mask = NDArray[np.bool_]


def refuse_no_ct(volume: Volume) -> None:
    """Raise VolumeError when the voxels, any real dtype, are not distributed as HU are; the reverse of refuse_ct."""
    sample = volume.voxels[::EVERY, ::EVERY, ::EVERY]
    air = float(np.mean(sample < CT_AIR_HU))
    soft = float(np.mean((sample > SOFT_HU[0]) & (sample < SOFT_HU[1])))
    if air > CT_AIR_SHARE and soft > SOFT_SHARE:
        return
    raise VolumeError(
        f"this is no CT in HU: {air:.0%} of it lies below {CT_AIR_HU} as air does, {soft:.0%} from {SOFT_HU[0]} to "
        f"{SOFT_HU[1]} as soft tissue does; an MR is no CT, and a CT needs its rescale intercept applied"
    )


def ct_head_mask(ct: Volume) -> Mask:
    """(k, j, i) bool: True in the head and neck of a CT, cavities included, to 1 mm outside the skin. ct: HU.

    Raises VolumeError where there is no head to find.
    """
    voxels = np.clip(ct.voxels, AIR_HU, 0).astype(np.float32)  # bone and metal are tissue, not more of it
    mean = sitk.DiscreteGaussian(ct.grid.image(voxels), [HOLES_MM**2] * 3)
    body = _without_fixings(sitk.GetArrayFromImage(mean) > TISSUE_HU, ct.grid)
    if not body.any():
        raise VolumeError(f"no head in this CT: nothing thicker than {THICK_MM:g} mm is denser than {TISSUE_HU:g} HU")
    away = sitk.SignedMaurerDistanceMap(ct.grid.image(body.view(np.uint8)), squaredDistance=False, useImageSpacing=True)
    edge = min(ct.grid.spacing) / 2  # from the outermost voxel centres to the skin
    skin: Mask = sitk.GetArrayFromImage(away) <= edge + OUTSIDE_MM
    return skin | head_mask(Volume(body.view(np.uint8), ct.grid))


def without_surroundings(ct: Volume, head: Mask) -> Volume:
    """The CT with -1000 HU outside the head, (k, j, i)."""
    return Volume(np.where(head, ct.voxels, ct.voxels.dtype.type(AIR_HU)), ct.grid)


def cubes(grid: Grid, mm: float) -> Grid:
    """A grid of cubes over another one, from its first voxel centre on."""
    i, j, k = (math.ceil(size * voxel / mm) for size, voxel in zip(grid.size, grid.spacing, strict=True))
    return Grid((i, j, k), (mm, mm, mm), grid.origin, grid.direction)


def _without_fixings(tissue: Mask, grid: Grid) -> Mask:
    """The tissue, (k, j, i), that is the head or belongs to it; all False where nothing is thick enough."""
    coarse = cubes(grid, CELL_MM)
    cells = to_model_grid(Volume(tissue.view(np.uint8), grid), coarse, 0) >= 0.5
    # to the nearest cell of air; beyond the volume there is none, so that a neck cut off is as thick as it looks
    inside = sitk.SignedMaurerDistanceMap(
        coarse.image(cells.view(np.uint8)), insideIsPositive=True, squaredDistance=False, useImageSpacing=True
    )
    joined = _joined(cells, _largest(sitk.GetArrayViewFromImage(inside) > THICK_MM / 2))
    near = to_model_grid(Volume(joined.view(np.uint8), coarse), grid, 0) > 0  # one cell around them, too
    return tissue & near


def _joined(cells: Mask, core: Mask) -> Mask:
    """The cells that hang together with the core and do not lead far away from it.

    Ways are measured inside the tissue: a head rest may lie near the head and still be far from where it touches.
    """
    skin = _within(cells, core, THICK_MM)
    near = _within(cells, skin, NEAR_MM - THICK_MM)
    reached = _within(cells, near, REACH_MM - NEAR_MM)
    farther = _within(cells, reached, CELL_MM) & ~reached
    ends = _pieces(cells & ~skin)
    leads_away = np.zeros(ends.max() + 1, np.bool_)
    leads_away[ends[farther]] = True
    joined: Mask = near | (reached & ~leads_away[ends])
    return joined


def _within(cells: Mask, core: Mask, mm: float) -> Mask:
    """The core, and the cells that a way inside the cells, no longer than mm, leads to."""
    reached = core
    for step in range(round(mm / CELL_MM)):  # octahedron and cube by turns are nearly a ball
        grown = reached.copy()
        for axis in range(3):
            to, of = (np.moveaxis(m, axis, 0) for m in (grown, grown.copy() if step % 2 else reached))
            to[1:] |= of[:-1]
            to[:-1] |= of[1:]
        reached = grown & cells
    return reached


def _pieces(mask: Mask) -> NDArray[Any]:
    """A number for each cell: one for each piece of the mask, joined by faces, and 0 outside it."""
    pieces: NDArray[Any] = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.view(np.uint8))))
    return pieces


def _largest(mask: Mask) -> Mask:
    """The largest piece of the mask; nothing of an empty one."""
    pieces = _pieces(mask)
    largest: Mask = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax() if mask.any() else mask
    return largest
