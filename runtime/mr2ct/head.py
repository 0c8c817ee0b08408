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

import numpy as np
from numpy.typing import NDArray

from mr2ct.bands import Field
from mr2ct.cells import Millimetres, cells, coarsened, for_each_block, resampled, resampled_at, weights
from mr2ct.errors import VolumeError
from mr2ct.growth import closed, grown
from mr2ct.pieces import filled, largest, without_small
from mr2ct.volume import Volume

SKIN_CELL_MM = 1.5  # 1 mm cells take twice as long; with 2 mm ears and lips begin to melt
HULL_CELL_MM = 3.0  # a scalp of 2 mm still shows

AIR_FRACTION = 0.07  # of the step from air to the tissue nearby: what is brighter does not count as background
SKIN_FRACTIONS = (0.1, 0.22)  # the skin's edge: 0.1 keeps a scalp with its fat suppressed, 0.22 most ghosts out
GHOST_QUANTILE, GHOST_MARGIN = 0.999, 1.5  # the fraction is 1.5 times that of the brightest 0.1 % of the far background
FAR_MM = 20.0  # from the tissue: beyond any scalp, and still as bright with ghosts as near it
NOISE_SIGMAS = 1.75  # of the background: at SNR 8 in 3 mm voxels 1.25 swells a head by up to 1 l, 2.5 loses 0.2 l
FIELD_MM = 20.0  # Gaussian sigma of "nearby": wider than skull and sinuses, narrower than the field of a coil
FIELD_CELL_MM = 10.0
FAR_WEIGHT = 0.001  # of the mean of the whole volume, which counts where nothing is nearby
LEAST_FIELD = 1e-6  # of the brightest signal: no division by zero where there is no tissue at all
FIELD_ROUNDS = 16  # at most; four real heads take 3, with noise that grows to one side up to 12
SETTLED = 0.003  # of the tissue: no more than this changed in the last round

ISLAND_MM3 = 500.0  # smaller pieces of signal are noise
SEAL_MM = 10.0  # half the widest gap the hull spans: the skull between scalp and brain, an open mouth
NARROW_MM = 6.0  # half the widest opening air does not enter: nostrils, ear canals, parted lips; with 4 it enters those
EATEN_MM = 9.0  # how deep air eats: the hull's slack of 3 mm, its 4 mm over a fold of 90 degrees, a cell of doubt

SMOOTH_MM = 1.5  # Gaussian sigma of the last step, a cell: no stairs, no specks
DILATION_MM = 0.8  # beyond the skin's edge as this mask has it
HEAD_PARTS = (0.05, 0.95)  # of the volume: less is no head, more leaves no air to tell a head from

Mask = NDArray[np.bool_]


def head_mask(volume: Volume) -> Mask:
    """(k, j, i) bool: True in the head and neck of an MR, cavities included, to 1 mm outside the skin.

    Raises VolumeError where there is none to find: all voxels equal, not finite, or out of HEAD_PARTS of the volume.
    """
    if volume.voxels.min() == volume.voxels.max():
        raise VolumeError(f"the volume is {volume.voxels.flat[0]} everywhere; an MR with a head in it is needed")
    with np.errstate(invalid="ignore", over="ignore"):
        signal, mm = coarsened(volume.voxels, volume.grid.spacing[::-1], SKIN_CELL_MM)
    if not np.isfinite(signal).all():
        raise VolumeError("the volume holds NaN, infinity or numbers too large; finite MR signal is needed")
    signal /= max(signal.max(), -signal.min()) or 1  # no unit is known; its squares must neither overflow nor vanish
    head = _occupied(signal, mm, axial=int(np.abs(volume.grid.axes[2, ::-1]).argmax()))
    level = 0.5 * math.erfc(DILATION_MM / SMOOTH_MM / math.sqrt(2))  # of a smoothed edge, this far outside it
    mask = _compared(head, weights(volume.grid.shape, head.shape, mm, [SMOOTH_MM] * 3), np.greater, level)
    part, (least, most) = np.count_nonzero(mask) / mask.size, HEAD_PARTS
    if not least <= part <= most:
        raise VolumeError(f"the head fills {part:.1%} of the volume; from {least:.0%} to {most:.0%} is needed")
    return mask


def _occupied(signal: Field, mm: Millimetres, axial: int) -> Field:
    """How much of each cell of `mm` is head, 0 to 1, by the signal in it; `axial` is the array axis nearest to z."""
    coarse, hull_mm = coarsened(signal, mm, HULL_CELL_MM)
    variance = np.maximum(coarsened(signal * signal, mm, HULL_CELL_MM)[0] - coarse * coarse, 0)
    air, faint, skin = _levels(coarse, variance, hull_mm)
    hull = _hull(coarse - air > faint, hull_mm, axial)
    hull = grown(hull, hull_mm, HULL_CELL_MM)  # a cell that is mostly air may hold some skin

    finer = weights(signal.shape, coarse.shape, hull_mm, hull_mm)
    outside = _compared(hull, finer, np.less_equal, 0.5)
    tissue = _mainland(_compared(air + faint, finer, np.less, signal) & ~outside, mm)
    head = ~grown(outside, mm, EATEN_MM, through=~closed(tissue, mm, NARROW_MM))
    head = filled(largest(head), axial)

    occupied = head.astype(np.float32, order="C")
    surface = np.flatnonzero(grown(head, mm, min(mm)) & grown(~head, mm, min(mm)))
    above = signal.ravel()[surface] - resampled_at(surface, air, finer)
    filling = np.clip(above / (2 * resampled_at(surface, skin, finer)), 0, 1)
    occupied.ravel()[surface] = np.where((tissue | ~head).ravel()[surface], filling, np.float32(0.5))
    return occupied


def _compared(values: Mask | Field, matrices: Sequence[Field], how: np.ufunc, limit: float | Field) -> Mask:
    """Values on another grid, compared with one limit or one for each cell there."""
    found = np.empty([len(matrix) for matrix in matrices], np.bool_)
    limits = np.broadcast_to(np.float32(limit), found.shape)

    def compare(planes: slice, there: Field) -> None:
        how(there, limits[planes], out=found[planes])

    for_each_block(values, matrices, compare)
    return found


def _levels(signal: Field, variance: Field, mm: Millimetres) -> tuple[Field, Field, Field]:
    """Around each cell the signal of air, and the steps from it to the faintest tissue and to the skin's edge.

    signal, variance: the mean and variance within each cell.
    """
    wide, wide_mm = cells(signal.shape, mm, FIELD_CELL_MM)
    near = weights(wide, signal.shape, mm, [math.sqrt(FIELD_MM**2 - FIELD_CELL_MM**2)] * 3)
    back = weights(signal.shape, wide, wide_mm, [FIELD_CELL_MM] * 3)

    def local(values: Field, share: Field) -> Field:
        everywhere = (values * share).sum() / (share.sum() or 1)
        total = resampled(values * share, near) + np.float32(FAR_WEIGHT * everywhere)
        return resampled(total / (resampled(share, near) + np.float32(FAR_WEIGHT)), back)

    tissue = bright = signal > _air_ends(signal)
    for _ in range(FIELD_ROUNDS):
        background = (~grown(tissue, mm, min(mm)) & ~bright).astype(np.float32)
        air = local(signal, background)
        noise = np.sqrt(local(variance, background))
        above = np.maximum(signal - air, 0)
        field = np.maximum(local(above, above * tissue), LEAST_FIELD)  # the bright count more: a ghost is no tissue
        bright = above > np.maximum(AIR_FRACTION * field, noise)
        before, tissue = tissue, above > np.maximum(SKIN_FRACTIONS[1] * field, NOISE_SIGMAS * noise)
        if np.count_nonzero(tissue != before) <= SETTLED * np.count_nonzero(tissue):
            break

    far = ~grown(_wrapped(tissue, mm), mm, FAR_MM)
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
        faces[...] = filled(faces, 0)
    return filled(hull, axial)  # plane by plane: the trachea leaves the volume through the last one


def _wrapped(tissue: Mask, mm: Millimetres) -> Mask:
    """The largest piece of tissue once its gaps are spanned."""
    return largest(closed(_mainland(tissue, mm), mm, SEAL_MM))


def _mainland(mask: Mask, mm: Millimetres) -> Mask:
    """The mask without pieces smaller than ISLAND_MM3."""
    return without_small(mask, ISLAND_MM3 / math.prod(mm))
