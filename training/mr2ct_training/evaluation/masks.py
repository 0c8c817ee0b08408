"""The voxels that count: a given mask, else the head that both volumes show, as in the paper.

The paper takes the head seen in both CT and MR, air around it excluded. Without the MR, the head of the synthetic CT
stands in for it, which was cut out by the MR's head; but then two methods may be measured in slightly different masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.modality import refuse_ct
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_training.ct_head import ct_head_mask, refuse_no_ct
from mr2ct_training.evaluation.pairs import EvaluationError, Pair
from mr2ct_training.evaluation.placing import difference, mask_laid_onto


@dataclass(frozen=True)
class Ct:
    """A CT, HU, with its head, which is looked for once: a reference serves all the methods of its patient."""

    path: Path
    volume: Volume

    @cached_property
    def head(self) -> NDArray[np.bool_]:
        """(k, j, i) bool. Raises VolumeError where this is no CT or has no head in it."""
        refuse_no_ct(self.volume)
        return ct_head_mask(self.volume)


@dataclass(frozen=True)
class Region:
    """voxels: (k, j, i) bool on the reference's grid, some of them True.  source: how it came about, in words.

    notes: what a user should know of it, a line each.
    """

    voxels: NDArray[np.bool_]
    source: str
    notes: tuple[str, ...] = ()


def region(pair: Pair, synthetic: Volume, reference: Ct, mr: Volume | None, *, resample: bool) -> Region:
    """Where a pair is measured. synthetic: HU, on the reference's grid. mr: the row's, if it has one.

    Raises EvaluationError, which names the row and the volume: no head in it, empty, or, without resample, a mask or MR
    on another grid.
    """
    grid = reference.volume.grid
    if pair.mask is not None:
        given = volume_of(pair, pair.mask, "mask")
        notes = _placed(pair, given, pair.mask, "mask", grid, resample)
        found = Region(mask_laid_onto(given.voxels > 0, given.grid, grid), "the mask given", notes)
    elif mr is not None and pair.mr is not None:
        notes = _placed(pair, mr, pair.mr, "mr", grid, resample)
        of_mr = mask_laid_onto(_head_of_mr(pair, mr), mr.grid, grid)
        found = Region(_head_of_ct(pair, reference, "reference") & of_mr, "head in both reference CT and MR", notes)
    else:
        of_synthetic = _head_of_ct(pair, Ct(pair.synthetic, synthetic), "synthetic")
        of_reference = _head_of_ct(pair, reference, "reference")
        found = Region(of_reference & of_synthetic, "head in both reference CT and synthetic CT")
    if not found.voxels.any():
        raise EvaluationError(f"{pair.where}: empty mask ({found.source}); no voxel is left to measure")
    return found


def volume_of(pair: Pair, path: Path, role: str) -> Volume:
    """One of a row's files. Raises EvaluationError, which names the row."""
    try:
        return read_volume(path)
    except VolumeError as error:
        raise EvaluationError(f"{pair.where}: {role} {error}") from error


def _placed(pair: Pair, volume: Volume, path: Path, role: str, grid: Grid, resample: bool) -> tuple[str, ...]:
    """Whether a mask or MR lies on the grid or may be laid there: a note where it has to be."""
    apart = difference(volume.grid, grid)
    if apart and not resample:
        raise EvaluationError(
            f"{pair.where}: {role} {path}: not on the reference's grid ({apart}); --resample lays it there"
        )
    return (f"{role} RESAMPLED onto the reference's grid ({apart})",) if apart else ()


def _head_of_ct(pair: Pair, ct: Ct, role: str) -> NDArray[np.bool_]:
    try:
        return ct.head
    except VolumeError as error:
        raise EvaluationError(f"{pair.where}: {role}: {error}; a mask column does without") from error


def _head_of_mr(pair: Pair, mr: Volume) -> NDArray[np.bool_]:
    try:
        refuse_ct(mr)
        return head_mask(mr)
    except VolumeError as error:
        raise EvaluationError(f"{pair.where}: mr: {error}") from error
