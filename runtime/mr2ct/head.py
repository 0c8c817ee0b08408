"""Where the head is in an MR; a synthetic CT is air everywhere else.

Skull, sinuses and trachea are as dark as the air outside, so no threshold finds the head. Instead a hull is wrapped
around the tissue, and the air outside then eats its way in through whatever is dark: not deep, and not through narrow
openings. What it cannot reach is the head. So the skin is sharp, and nostrils, ear canals and sinuses stay inside.

Cells of 3 mm tell what belongs together, cells of 1.5 mm where the skin lies; from grid to grid leads one matrix of
weights per axis. No step knows a first or a last end of an axis: the mask of a flipped volume is the flipped mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.slabs import in_slabs
from mr2ct.volume import Volume

SKIN_CELL_MM = 1.5  # 1 mm cells take twice as long; with 2 mm ears and lips begin to melt
HULL_CELL_MM = 3.0  # a scalp of 2 mm still shows
ANTIALIAS = 0.5  # Gaussian sigma, in cells, of the mean a cell takes; it halves the noise of voxels as large as cells

AIR_FRACTION = 0.07  # of the step from air to the tissue nearby: what is brighter does not count as background
SKIN_FRACTIONS = (0.1, 0.22)  # the skin's edge: 0.1 keeps a scalp with its fat suppressed, 0.22 most ghosts out
GHOST_QUANTILE, GHOST_MARGIN = 0.999, 1.5  # the fraction is 1.5 times that of the brightest 0.1 % of the far background
FAR_MM = 20.0  # from the tissue: beyond any scalp, and still as bright with ghosts as near it
NOISE_SIGMAS = 1.75  # of the background: at SNR 8 in 3 mm voxels 1.25 swells a head by up to 1 l, 2.5 loses 0.2 l
FIELD_MM = 20.0  # Gaussian sigma of "nearby": wider than skull and sinuses, narrower than the field of a coil
FIELD_CELL_MM = 10.0
FAR_WEIGHT = 0.001  # of the mean of the whole volume, which counts where nothing is nearby
LEAST_WEIGHT = 1e-7  # of the largest: the tail of a Gaussian is denormal numbers, with which an Intel Xeon took 2.1 s
LEAST_FIELD = 1e-6  # of the brightest signal: no division by zero where there is no tissue at all
FIELD_ROUNDS = 16  # at most; four real heads take 3, with noise that grows to one side up to 12
SETTLED = 0.003  # of the tissue: no more than this changed in the last round

ISLAND_MM3 = 500.0  # smaller pieces of signal are noise
SEAL_MM = 10.0  # half the widest gap the hull spans: the skull between scalp and brain, an open mouth
NARROW_MM = 6.0  # half the widest opening air does not enter: nostrils, ear canals, parted lips; with 4 it enters those
EATEN_MM = 9.0  # how deep air eats: the hull's slack of 3 mm, its 4 mm over a fold of 90 degrees, a cell of doubt

SMOOTH_MM = 1.5  # Gaussian sigma of the last step, a cell: no stairs, no specks
DILATION_MM = 0.8  # beyond the skin's edge as this mask has it
SLAB = 48  # k planes made at a time: a quarter of the memory of all, in the same time
HEAD_PARTS = (0.05, 0.95)  # of the volume: less is no head, more leaves no air to tell a head from

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Millimetres = Sequence[float]


def head_mask(volume: Volume) -> Mask:
    """(k, j, i) bool: True in the head and neck of an MR, cavities included, to 1 mm outside the skin.

    Raises VolumeError where there is none to find: all voxels equal, not finite, or out of HEAD_PARTS of the volume.
    """
    if volume.voxels.min() == volume.voxels.max():
        raise VolumeError(f"the volume is {volume.voxels.flat[0]} everywhere; an MR with a head in it is needed")
    with np.errstate(invalid="ignore", over="ignore"):
        signal, mm = _coarsened(volume.voxels, volume.grid.spacing[::-1], SKIN_CELL_MM)
    if not np.isfinite(signal).all():
        raise VolumeError("the volume holds NaN, infinity or numbers too large; finite MR signal is needed")
    signal /= np.abs(signal).max() or 1  # no unit of signal is known; its squares must neither overflow nor vanish
    head = _occupied(signal, mm, axial=int(np.abs(volume.grid.axes[2, ::-1]).argmax()))
    level = 0.5 * math.erfc(DILATION_MM / SMOOTH_MM / math.sqrt(2))  # of a smoothed edge, this far outside it
    k, j, i = _weights(volume.grid.shape, head.shape, mm, [SMOOTH_MM] * 3)
    slabs = [_resampled(head, [k[n : n + SLAB], j, i]) > level for n in range(0, len(k), SLAB)]
    mask = np.concatenate(slabs)
    part, (least, most) = float(mask.mean()), HEAD_PARTS
    if not least <= part <= most:
        raise VolumeError(f"the head fills {part:.1%} of the volume; from {least:.0%} to {most:.0%} is needed")
    return mask


def _occupied(signal: Field, mm: Millimetres, axial: int) -> Field:
    """How much of each cell of `mm` is head, 0 to 1, by the signal in it; `axial` is the array axis nearest to z."""
    coarse, hull_mm = _coarsened(signal, mm, HULL_CELL_MM)
    variance = np.maximum(_coarsened(signal * signal, mm, HULL_CELL_MM)[0] - coarse * coarse, 0)
    air, faint, skin = _levels(coarse, variance, hull_mm)
    hull = _hull(coarse - air > faint, hull_mm, axial)
    hull = _grown(hull, hull_mm, HULL_CELL_MM)  # a cell that is mostly air may hold some skin

    finer = _weights(signal.shape, coarse.shape, hull_mm, hull_mm)
    outside = _resampled(hull.astype(np.float32), finer) <= 0.5
    above = signal - _resampled(air, finer)
    tissue = _mainland((above > _resampled(faint, finer)) & ~outside, mm)
    head = ~_grown(outside, mm, EATEN_MM, through=~_closed(tissue, mm, NARROW_MM))
    head = _filled(_largest(head), axial)

    filling = np.where(tissue | ~head, np.clip(above / (2 * _resampled(skin, finer)), 0, 1), np.float32(0.5))
    surface = _grown(head, mm, min(mm)) & _grown(~head, mm, min(mm))
    return np.where(surface, filling, head)


def _levels(signal: Field, variance: Field, mm: Millimetres) -> tuple[Field, Field, Field]:
    """Around each cell the signal of air, and the steps from it to the faintest tissue and to the skin's edge.

    signal, variance: the mean and variance within each cell.
    """
    wide, wide_mm = _cells(signal.shape, mm, FIELD_CELL_MM)
    near = _weights(wide, signal.shape, mm, [math.sqrt(FIELD_MM**2 - FIELD_CELL_MM**2)] * 3)
    back = _weights(signal.shape, wide, wide_mm, [FIELD_CELL_MM] * 3)

    def local(values: Field, share: Field) -> Field:
        everywhere = (values * share).sum() / (share.sum() or 1)
        total = _resampled(values * share, near) + np.float32(FAR_WEIGHT * everywhere)
        return _resampled(total / (_resampled(share, near) + np.float32(FAR_WEIGHT)), back)

    tissue = bright = signal > _air_ends(signal)
    for _ in range(FIELD_ROUNDS):
        background = (~_grown(tissue, mm, min(mm)) & ~bright).astype(np.float32)
        air = local(signal, background)
        noise = np.sqrt(local(variance, background))
        above = np.maximum(signal - air, 0)
        field = np.maximum(local(above, above * tissue), LEAST_FIELD)  # the bright count more: a ghost is no tissue
        bright = above > np.maximum(AIR_FRACTION * field, noise)
        before, tissue = tissue, above > np.maximum(SKIN_FRACTIONS[1] * field, NOISE_SIGMAS * noise)
        if np.count_nonzero(tissue != before) <= SETTLED * np.count_nonzero(tissue):
            break

    far = ~_grown(_wrapped(tissue, mm), mm, FAR_MM)
    ghosts = np.quantile(above[far] / field[far], GHOST_QUANTILE) if far.any() else math.inf
    fraction = np.float32(np.clip(GHOST_MARGIN * ghosts, *SKIN_FRACTIONS))
    faint, skin = (np.maximum(part * field, NOISE_SIGMAS * noise) for part in (fraction, SKIN_FRACTIONS[1]))
    return air, faint, skin


def _air_ends(signal: Field) -> float:
    """The lowest signal that lies AIR_FRACTION of the way from the mean of all up to it to the mean of all above."""
    ordered = np.sort(signal, axis=None)
    total, count = ordered.cumsum(dtype=np.float64), np.arange(1, ordered.size)
    low, high = total[:-1] / count, (total[-1] - total[:-1]) / count[::-1]
    ends = ordered[:-1] >= low + AIR_FRACTION * (high - low)
    return float(ordered[:-1][ends].min(initial=ordered[-1]))


def _hull(tissue: Mask, mm: Millimetres, axial: int) -> Mask:
    """Tissue wrapped up: its gaps spanned and its holes filled, those cut open by a face of the volume too."""
    hull = _wrapped(tissue, mm)
    for axis in {0, 1, 2} - {axial}:
        faces = np.moveaxis(hull, axis, 0)[:: max(1, hull.shape[axis] - 1)]
        faces[...] = _filled(faces, 0)
    return _filled(hull, axial)  # plane by plane: the trachea leaves the volume through the last one


def _wrapped(tissue: Mask, mm: Millimetres) -> Mask:
    """The largest piece of tissue once its gaps are spanned."""
    return _largest(_closed(_mainland(tissue, mm), mm, SEAL_MM))


def _filled(mask: Mask, axis: int) -> Mask:
    """The mask with the holes in each of its planes across `axis` filled."""
    planes = np.moveaxis(mask, axis, 0)
    layers = np.zeros((2 * len(planes), *planes.shape[1:]), np.bool_)
    layers[::2] = ~planes  # the empty layers between keep the planes apart
    labels = _pieces(layers)[::2]
    outside = np.zeros(labels.max() + 1, np.bool_)
    outside[labels[:, [0, -1]]] = outside[labels[:, :, [0, -1]]] = True
    outside[0] = False
    return np.moveaxis(~outside[labels], 0, axis)


def _pieces(mask: Mask) -> NDArray[np.integer[Any]]:
    """A number for each cell: one for each piece of the mask, joined by faces, and 0 outside it."""
    pieces: NDArray[np.integer[Any]] = sitk.GetArrayFromImage(
        sitk.ConnectedComponent(sitk.GetImageFromArray(mask.view(np.uint8)))
    )
    return pieces


def _largest(mask: Mask) -> Mask:
    """The largest piece of the mask; nothing of an empty one."""
    labels = _pieces(mask)
    largest: Mask = labels == np.bincount(labels[mask]).argmax() if mask.any() else mask
    return largest


def _mainland(mask: Mask, mm: Millimetres) -> Mask:
    """The mask without pieces smaller than ISLAND_MM3."""
    labels = _pieces(mask)
    large = np.bincount(labels[mask], minlength=1) * math.prod(mm) >= ISLAND_MM3  # none of it is number 0
    mainland: Mask = large[labels]
    return mainland


def _closed(mask: Mask, mm: Millimetres, radius_mm: float) -> Mask:
    """The mask and all that a ball rolling outside it cannot touch; beyond the volume the ball is free."""
    margins = [math.ceil(radius_mm / cell) for cell in mm]
    room = np.pad(mask, [(margin, margin) for margin in margins])
    closed = ~_grown(~_grown(room, mm, radius_mm), mm, radius_mm)
    return closed[tuple(slice(margin, margin + size) for margin, size in zip(margins, mask.shape, strict=True))]


def _grown(mask: Mask, mm: Millimetres, radius_mm: float, through: Mask | None = None) -> Mask:
    """The mask and all within the radius of it; with `through`, what it reaches by steps inside that other mask.

    Each step is one of the finest cells: an octahedron and a cube by turns, together nearly a ball.
    """
    finest = min(mm)
    for turn in range(1, max(1, round(radius_mm / finest)) + 1):
        moving = [axis for axis in range(3) if turn % max(1, round(mm[axis] / finest)) == 0]
        for axes in [moving] if turn % 2 else [[axis] for axis in moving]:
            grown = mask.copy()
            for axis in axes:
                to, of = np.moveaxis(grown, axis, 0), np.moveaxis(mask, axis, 0)
                to[1:] |= of[:-1]
                to[:-1] |= of[1:]
            mask = grown if through is None else mask | (grown & through)
    return mask


def _coarsened(values: NDArray[Any], mm: Millimetres, cell_mm: float) -> tuple[Field, Millimetres]:
    """Mean values in cells of about `cell_mm`, never finer than the voxels, and the size of the cells."""
    cells, size = _cells(values.shape, mm, cell_mm)
    return _resampled(values, _weights(cells, values.shape, mm, [ANTIALIAS * cell_mm] * 3)), size


def _cells(shape: Sequence[int], mm: Millimetres, cell_mm: float) -> tuple[Sequence[int], Millimetres]:
    """Number and size, along each axis, of cells of about `cell_mm`, never finer than the voxels."""
    cells = [min(voxels, math.ceil(voxels * size / cell_mm)) for voxels, size in zip(shape, mm, strict=True)]
    return cells, [voxels * size / count for voxels, size, count in zip(shape, mm, cells, strict=True)]


def _weights(into: Sequence[int], of: Sequence[int], mm: Millimetres, sigma_mm: Millimetres) -> list[Field]:
    """For each axis (into, of): how much each of the old cells, `mm` long, counts in a new one, by a Gaussian."""
    matrices = []
    for new, old, cell, sigma in zip(into, of, mm, sigma_mm, strict=True):
        centres = (np.arange(new) + 0.5) * (old / new) - 0.5  # in old cells
        weights = np.exp(-0.5 * ((np.arange(old) - centres[:, None]) * (cell / sigma)) ** 2)
        weights[weights < LEAST_WEIGHT] = 0
        matrices.append((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
    return matrices


def _resampled(values: NDArray[Any], matrices: Sequence[Field]) -> Field:
    """Values (k, j, i) on another grid, by the weights of the three axes."""
    mixed: Field = values.astype(np.float32, copy=False)
    for matrix in matrices:  # the first axis becomes the last, three times: three large products and no copy
        mixed = _product(mixed.reshape(len(mixed), -1).T, matrix.T).reshape(*mixed.shape[1:], len(matrix))
    return mixed


def _product(one: Field, other: Field) -> Field:
    product = np.empty((one.shape[0], other.shape[1]), np.float32)

    def fill(rows: slice) -> None:
        with np.errstate(invalid="ignore", over="ignore"):  # of each thread its own; what is not finite is found later
            np.matmul(one[rows], other, out=product[rows])

    in_slabs(fill, len(product), operations=one.size * other.shape[1])
    return product
