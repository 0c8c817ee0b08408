"""Where the head is in a CT, without what holds it: couch, head rest, thermoplastic mask.

In HU one threshold tells tissue from air. What is left to do is to let go of the fixings. A thermoplastic mask is a
perforated sheet, so the mean over its holes is half air and falls below the threshold, even where it lies on the skin.
Couch and head rest are shells filled with foam: nothing in them is as thick as a head. What remains is tissue, and
where its skin is and which cavities lie inside it, the runtime's own head_mask tells as it does for an MR.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.head import head_mask
from mr2ct.intensity import AIR_HU
from mr2ct.modality import CT_AIR_HU, CT_AIR_SHARE, EVERY
from mr2ct.volume import Volume

SOFT_HU = (-200, 200)  # fat, muscle and brain; three real head CTs have 24 to 36 % of their voxels in it
SOFT_SHARE = 0.02

# Between a mask on the skin, -450 HU over its holes in a planning CT, and fat, -100 HU.
TISSUE_HU = -300.0
# Gaussian sigma: a mask's holes, 4 mm apart, keep a sixth of their contrast, and an ear 3 mm thick still stays.
HOLES_MM = 1.3
CELL_MM = 2.0  # of the lattice on which thickness is measured

THICK_MM = 10.0  # nothing of a couch is; the head is found by what is thicker
REACH_MM = 40.0  # of ears and nose from what is thicker; what reaches farther is a fixing that touches the head
NEAR_MM = 20.0  # of what reaches farther, so much is the head's own: skin, which is all nearer, and most of an ear

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
    tissue = mean > TISSUE_HU
    body = _without_fixings(tissue)
    if not body.any():
        raise VolumeError(f"no head in this CT: nothing thicker than {THICK_MM:g} mm is denser than {TISSUE_HU:g} HU")
    return head_mask(Volume(body.view(np.uint8), ct.grid))


def without_surroundings(ct: Volume, head: Mask) -> Volume:
    """The CT with -1000 HU outside the head, (k, j, i)."""
    return Volume(np.where(head, ct.voxels, ct.voxels.dtype.type(AIR_HU)), ct.grid)


def _without_fixings(tissue: sitk.Image) -> Mask:
    """(k, j, i): the tissue that is the head or belongs to it; all False where nothing is thick enough."""
    blocks = [max(1, round(CELL_MM / mm)) for mm in tissue.GetSpacing()]
    missing = [-size % block for size, block in zip(tissue.GetSize(), blocks, strict=True)]
    padded = sitk.ZeroFluxNeumannPad(sitk.Cast(tissue, sitk.sitkFloat32), [0, 0, 0], missing)
    cells = sitk.BinShrink(padded, blocks) >= 0.5
    # to the nearest cell of air; beyond the volume there is none, so that a neck cut off is as thick as it looks
    inside = sitk.SignedMaurerDistanceMap(cells, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(inside > THICK_MM / 2), sortByObjectSize=True)
    near = sitk.Resample(_joined(cells, pieces == 1), tissue, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    joined: Mask = sitk.GetArrayFromImage(tissue & near).astype(bool)
    return joined


def _joined(cells: sitk.Image, core: sitk.Image) -> sitk.Image:
    """The cells that hang together with the core and do not lead far away from it, and one cell around them.

    Ways are measured inside the tissue: a head rest may lie near the head and still be far from where it touches.
    """
    skin, near, reached = (_within(cells, core, mm) for mm in (THICK_MM, NEAR_MM, REACH_MM))
    farther = _within(cells, reached, 2 * CELL_MM) & (1 - reached)
    ends: NDArray[Any] = sitk.GetArrayFromImage(sitk.ConnectedComponent(cells & (1 - skin)))
    leads_away = np.zeros(ends.max() + 1, np.uint8)
    leads_away[ends[sitk.GetArrayViewFromImage(farther) > 0]] = 1
    away = sitk.GetImageFromArray(leads_away[ends])
    away.CopyInformation(cells)
    return sitk.BinaryDilate(near | (reached & (1 - away)), [1, 1, 1], sitk.sitkBox, foregroundValue=1)


def _within(cells: sitk.Image, core: sitk.Image, mm: float) -> sitk.Image:
    """The core, and the cells that a way inside the cells, no longer than mm, leads to."""
    reached = core
    for step in range(round(mm / CELL_MM)):  # octahedron and cube by turns are nearly a ball
        kernel = sitk.sitkBox if step % 2 else sitk.sitkCross
        reached = sitk.BinaryDilate(reached, [1, 1, 1], kernel, foregroundValue=1) & cells
    return reached | core
