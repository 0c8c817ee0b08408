"""Where the head is in an MR; a synthetic CT is air everywhere else.

Skull, sinuses and trachea are as dark as the air outside, so no threshold finds the head. Instead a hull is wrapped
around the tissue, and the air outside then eats its way in through whatever is dark: not deep, and not through narrow
openings. What it cannot reach is the head, so the skin comes out sharp and nostrils, ear canals and mouth stay closed.

Topology is decided on cells of 3 mm and the skin on cells of 1.5 mm; between the grids goes one matrix of weights per
axis. No step knows a first or a last end of an axis: the mask of a flipped volume is the flipped mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.volume import Volume

SKIN_CELL_MM = 1.5  # finds the skin of four real heads to 0.5 mm at half the time of 1.0 mm
HULL_CELL_MM = 3.0  # a scalp of 2 mm still shows; 430 000 cells for a whole head
ANTIALIAS = 0.4  # Gaussian sigma per cell; a plain mean over the cell would be 0.29

AIR_FRACTION = 0.1  # first guess: brighter than air by this part of the step from air to tissue
SKIN_FRACTION = 0.2  # then: by this part of the local step; skin is dimmer than the fat and brain around it
HULL_SIGMAS = 3.0
SKIN_SIGMAS = 2.0
CORE_FRACTION = 0.3
POWER=2
GROW=True
FIELD_MM = 15.0  # Gaussian sigma of "local": wider than skull and sinuses, narrower than a coil's field
DIMMEST_FIELD = 0.1  # of the mean tissue signal; dimmer regions are ghosts, not a dark neck
FAR_WEIGHT = 0.02  # share of the whole-volume mean, which takes over where nothing is near
FIELD_ROUNDS = 5  # tissue and its field, each from the other; settled after two on four real heads

ISLAND_MM3 = 200.0  # smaller pieces of signal are noise; an ear lobe is 500
SEAL_MM = 10.0  # half the widest opening the hull spans: an open mouth, the skull between scalp and brain
NARROW_MM = 4.0  # half the widest opening air does not enter: nostrils, ear canals, parted lips
EATEN_MM = 9.0  # how deep air eats into the hull: its slack of one cell, and the creases it spans

SMOOTH_MM = 1.5  # Gaussian sigma of the last step, one cell: no stairs, no specks
DILATION_MM = 1.0  # the mask ends this far outside the skin
HEAD_PART = (0.05, 0.95)  # of the volume

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Millimetres = Sequence[float]


def head_mask(volume: Volume) -> Mask:
    """(k, j, i) bool: True in the head and neck of an MR, cavities included, to 1 mm outside the skin.

    Raises VolumeError where there is no head to find: constant, not finite, noise, or out of HEAD_PART of the volume.
    """
    voxel_mm = volume.grid.spacing[::-1]
    if volume.voxels.min() == volume.voxels.max():
        raise VolumeError(f"MR volume: every voxel is {volume.voxels.flat[0]}; needs an MR with a head in it")
    with np.errstate(invalid="ignore", over="ignore"):
        signal, skin_mm = _coarsened(volume.voxels, voxel_mm, SKIN_CELL_MM)
    if not np.isfinite(signal).all():
        raise VolumeError("MR volume: NaN or infinite voxels; needs finite ones")
    head = _occupied(signal, skin_mm, int(np.argmax(np.abs(volume.grid.axes[2, ::-1]))))
    dilated = 0.5 * math.erfc(DILATION_MM / SMOOTH_MM / math.sqrt(2))  # a blurred step has this height 1 mm out
    mask = _resampled(head, _weights(volume.grid.shape, head.shape, skin_mm, [SMOOTH_MM] * 3)) > dilated
    part = float(mask.mean())
    if not HEAD_PART[0] <= part <= HEAD_PART[1]:
        least, most = (f"{100 * end:.0f}" for end in HEAD_PART)
        raise VolumeError(f"MR volume: the head fills {100 * part:.1f} % of the volume; needs {least} to {most} %")
    return mask


def _occupied(signal: Field, mm: Millimetres, axial: int) -> Field:
    """How much of every cell is head, 0 to 1, from the signal in cells of `mm`; `axial` is the axis nearest to z."""
    coarse, hull_mm = _coarsened(signal, mm, HULL_CELL_MM)
    squares, _ = _coarsened(signal * signal, mm, HULL_CELL_MM)
    air, skin, noisy_skin = _levels(coarse, squares, hull_mm)
    hull = _hull(coarse > skin, hull_mm, axial)
    hull = _grown(hull, hull_mm, HULL_CELL_MM)  # a cell that is mostly air may hold skin

    finer = _weights(signal.shape, coarse.shape, hull_mm, hull_mm)
    air, skin, reach = (_resampled(field, finer) for field in (air, noisy_skin, hull.astype(np.float32)))
    tissue = np.clip(0.5 + 0.5 * (signal - skin) / (skin - air), 0, 1)  # partial volume: 0.5 on the skin
    dense = _closed(_without_islands((tissue > 0.5) & (reach > 0.5), mm), mm, NARROW_MM)
    head = _largest(~_grown(reach <= 0.5, mm, EATEN_MM, ~dense))
    head = _filled(head, axial)
    surface, rim = head & _step(~head), ~head & _step(head)
    occupied = head.astype(np.float32)
    occupied[surface] = np.maximum(tissue[surface], 0.5)
    occupied[rim] = np.minimum(tissue[rim], 0.5)
    return occupied


def _levels(signal: Field, squares: Field, mm: Millimetres) -> tuple[Field, Field, Field]:
    """The signal of air and that at the edge of the skin, in every cell, from the cells' mean signal and mean square."""
    near = _weights(signal.shape, signal.shape, mm, [FIELD_MM] * 3)

    def local(values: Field, share: Field, far=FAR_WEIGHT) -> Field:
        everywhere = (values * share).sum() / share.sum()
        mean: Field = (_resampled(values * share, near) + far * everywhere) / (_resampled(share, near) + far)
        return mean

    guess = _first_guess(signal)
    background = (~_step(signal > guess)).astype(np.float32)
    if not background.any(): background = (signal<=guess).astype(np.float32)
    air = local(signal, background)
    noise = np.sqrt(np.maximum(local(signal * signal, background) - air * air, 0))
    noise2 = np.sqrt(np.maximum(local(squares, background) - air * air, 0))
    step = (signal-air)[signal > guess].mean()
    tissue = signal -air > CORE_FRACTION*step
    for _ in range(FIELD_ROUNDS):
        if not tissue.any():
            break
        field = SKIN_FRACTION * np.maximum(local(signal - air, tissue.astype(np.float32)*np.maximum(signal-air,0)**(POWER-1)/step**(POWER-1),1e-6), DIMMEST_FIELD * step)
        skin = air + np.maximum(field, HULL_SIGMAS * noise)+ 1e-6 * np.abs(step)
        skin2 = air + np.maximum(field, SKIN_SIGMAS * noise2)+ 1e-6 * np.abs(step)
        tissue = (_grown(tissue, mm, FIELD_MM, signal > skin) if GROW else True) & (signal > skin)
    return air, skin, skin2


def _without_islands(mask, mm):
    labels, sizes = _pieces(mask)
    pieces = sizes * math.prod(mm) >= ISLAND_MM3
    pieces[0] = False
    return pieces[labels]


def _first_guess(signal: Field) -> float:
    """A signal between air and the dimmest tissue: the lowest one that stands AIR_FRACTION of the step above air."""
    guess, higher = -math.inf, float(signal.min())
    while higher > guess:
        guess = higher
        air = signal[signal <= guess].mean()
        higher = float(air + AIR_FRACTION * (signal[signal > guess].mean() - air)) if guess < signal.max() else guess
    return guess


def _hull(tissue: Mask, mm: Millimetres, axial: int) -> Mask:
    """Tissue wrapped up: its gaps spanned, its holes filled, also those cut open by a face of the volume."""
    hull = _largest(_closed(_without_islands(tissue, mm), mm, SEAL_MM))
    for axis in {0, 1, 2} - {axial}:
        faces = np.moveaxis(hull, axis, 0)[:: max(1, hull.shape[axis] - 1)]
        faces[...] = _filled(faces, 0)
    return _filled(hull, axial)  # plane by plane: the trachea leaves through the last one


def _filled(mask: Mask, axis: int) -> Mask:
    """The mask with the holes of each of its planes across `axis` filled."""
    planes = np.moveaxis(mask, axis, 0)
    layers = np.zeros((2 * len(planes), *planes.shape[1:]), np.bool_)  # every other one empty keeps planes apart
    layers[::2] = ~planes
    labels = _pieces(layers)[0][::2]
    outside = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    return np.moveaxis(~np.isin(labels, outside[outside > 0]), 0, axis)


def _pieces(mask: Mask) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """A number for every voxel, the same in one piece of the mask (joined by faces) and 0 outside; voxels by number."""
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.view(np.uint8))))
    return labels, np.bincount(labels.ravel())


def _largest(mask: Mask) -> Mask:
    """The largest piece of the mask; empty for an empty mask."""
    labels, sizes = _pieces(mask)
    sizes[0] = 0
    largest: Mask = labels == max(1, int(sizes.argmax()))
    return largest


def _closed(mask: Mask, mm: Millimetres, radius_mm: float) -> Mask:
    """The mask and all that a ball cannot reach from outside; air lies beyond the volume."""
    margin = [math.ceil(radius_mm / cell) for cell in mm]
    wide = np.pad(mask, [(cells, cells) for cells in margin])
    closed = ~_grown(~_grown(wide, mm, radius_mm), mm, radius_mm)
    return closed[tuple(slice(cells, cells + size) for cells, size in zip(margin, mask.shape, strict=True))]


def _grown(mask: Mask, mm: Millimetres, radius_mm: float, through: Mask | None = None) -> Mask:
    """The mask and all within the radius of it, `through` which it must be reached.

    Steps of the finest cell, by turns across corners (a cube) and not (an octahedron): together nearly a ball.
    """
    finest = min(mm)
    for turn in range(1, max(1, round(radius_mm / finest)) + 1):
        moving = [axis for axis in range(3) if turn % max(1, round(mm[axis] / finest)) == 0]
        for axes in [moving] if turn % 2 else [[axis] for axis in moving]:
            step = _step(mask, axes)
            mask = step if through is None else mask | (step & through)
    return mask


def _step(mask: Mask, axes: Sequence[int] = (0, 1, 2)) -> Mask:
    """The mask and its neighbours across a cell's face along the axes."""
    grown = mask.copy()
    for axis in axes:
        into, of = np.moveaxis(grown, axis, 0), np.moveaxis(mask, axis, 0)
        into[1:] |= of[:-1]
        into[:-1] |= of[1:]
    return grown


def _coarsened(values: NDArray[Any], mm: Millimetres, cell_mm: float) -> tuple[Field, Millimetres]:
    """Mean values in cells of about `cell_mm`, never finer than the voxels, and the cells' exact size."""
    cells = [min(n, math.ceil(n * size / cell_mm)) for n, size in zip(values.shape, mm, strict=True)]
    coarse = _resampled(values, _weights(cells, values.shape, mm, [ANTIALIAS * cell_mm] * 3))
    return coarse, [n * size / m for n, size, m in zip(values.shape, mm, cells, strict=True)]


def _weights(into: Sequence[int], of: Sequence[int], mm: Millimetres, sigma_mm: Millimetres) -> list[Field]:
    """Per axis (into, of): how much each cell `of` size `mm` counts for each new cell, by a Gaussian; rows sum to 1."""
    matrices = []
    for new, old, cell, sigma in zip(into, of, mm, sigma_mm, strict=True):
        centre = (np.arange(new) + 0.5) * (old / new)
        edges = (np.arange(old + 1) - centre[:, None]) * (cell / sigma / math.sqrt(2))
        weights = np.diff(np.vectorize(math.erf)(edges))
        matrices.append((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
    return matrices


def _resampled(values: NDArray[Any], matrices: Sequence[Field]) -> Field:
    """Values on another grid: every new cell the sum of the old ones by the weights of the three axes."""
    values = values.astype(np.float32, copy=False)
    for matrix in matrices:  # the first axis becomes the last, three times: no copies, three large products
        values = (values.reshape(len(values), -1).T @ matrix.T).reshape(*values.shape[1:], len(matrix))
    return values
