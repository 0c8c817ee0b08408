"""One row of the table: read, place, mask, measure, and keep the planes that pictures need."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mr2ct.cycle_error import mr_range, relative_error
from mr2ct.errors import VolumeError
from mr2ct.model_grid import from_model_grid
from mr2ct.volume import Volume
from mr2ct_training.ct_head import refuse_no_ct
from mr2ct_training.evaluation.continuity import CONTINUITY_METRICS, continuity
from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.cycle import CYCLE
from mr2ct_training.evaluation.masks import Ct, region, volume_of
from mr2ct_training.evaluation.metrics import Metric, Values, error_metrics, error_values
from mr2ct_training.evaluation.pairs import EvaluationError, Pair
from mr2ct_training.evaluation.placing import difference, laid_onto, mask_laid_onto
from mr2ct_training.evaluation.planes import Planes, cut_hu, cut_mask, cut_values, view_of
from mr2ct_training.evaluation.results import Row
from mr2ct_training.evaluation.structural import structural_metric, structural_value


def metrics_of(convention: Convention, *, cycle: bool = False) -> tuple[Metric, ...]:
    """Everything that score measures, in the order in which it is shown. cycle: of rows with a cycled MR too."""
    measured = (*error_metrics(convention), structural_metric(convention), *CONTINUITY_METRICS)
    return (*measured, CYCLE) if cycle else measured


def read_reference(pair: Pair) -> Ct:
    """A row's reference. Raises EvaluationError, which names the row, when it cannot be read or is constant."""
    return Ct(pair.reference, _ct(pair, pair.reference, "reference"))


def score(
    pair: Pair, convention: Convention, known: Ct | None = None, beside: Planes | None = None, *, resample: bool
) -> Row:
    """Measure one synthetic CT. known: the row's reference, if it was read before.  beside: the planes of another row
    with this reference, if it has one; both are then cut in the same places.

    Raises EvaluationError, which names the row.
    """
    known = known or read_reference(pair)
    reference = known.volume
    synthetic = _ct(pair, pair.synthetic, "synthetic")
    notes = []
    apart = difference(synthetic.grid, reference.grid)
    if apart and not resample:
        raise EvaluationError(
            f"{pair.where}: synthetic {pair.synthetic}: not on the reference's grid ({apart}); "
            "--resample interpolates it onto that"
        )
    if apart:
        notes.append(
            f"synthetic CT RESAMPLED onto the reference's grid ({apart}), linearly: its figures are not those of the "
            "file, interpolation smooths"
        )
        synthetic = laid_onto(synthetic, reference.grid)
    mr = None if pair.mr is None else volume_of(pair, pair.mr, "mr")
    where = region(pair, synthetic, known, mr, resample=resample)
    notes += where.notes
    if pair.mask is not None:  # where the mask had to be found, it was refused already
        notes += [
            note for each, role in ((reference, "reference"), (synthetic, "synthetic")) if (note := _odd(each, role))
        ]
    mask = where.voxels
    values = error_values(synthetic.voxels, reference.voxels, mask, convention)
    structural = structural_metric(convention)
    values[structural.key] = None
    try:
        values[structural.key] = structural_value(synthetic.voxels, reference.voxels, mask, convention)
    except ValueError as error:
        notes.append(f"no {structural.name}: {error}")
    slices = continuity(synthetic.voxels, reference.voxels, mask, reference.grid)
    values |= slices.values()
    notes += [f"no {m.label}: {_WHY_NONE}" for m in error_metrics(convention) if values[m.key] is None]
    view = beside.view if beside else view_of(mask, reference.grid)
    planes = Planes(
        view=view,
        synthetic=cut_hu(synthetic, view),
        reference=beside.reference if beside else cut_hu(reference, view),
        mask=cut_mask(mask, reference.grid, view),
    )
    if mr is not None:
        planes, found, more = _with_mr(pair, planes, mr, mask_laid_onto(mask, reference.grid, mr.grid), resample)
        values |= found
        notes += more
    return Row(
        patient=pair.patient,
        method=pair.method,
        synthetic=str(pair.synthetic),
        reference=str(pair.reference),
        mask=None if pair.mask is None else str(pair.mask),
        mr=None if pair.mr is None else str(pair.mr),
        cycled_mr=None if pair.cycled_mr is None else str(pair.cycled_mr),
        mask_source=where.source,
        mask_voxels=int(np.count_nonzero(mask)),
        mask_litres=float(np.count_nonzero(mask) * np.prod(reference.grid.spacing) / 1e6),
        mask_sha256=_fingerprint(mask),
        resampled=bool(apart),
        values=values,
        continuity=slices,
        notes=tuple(notes),
        planes=planes,
    )


_WHY_NONE = "no voxel of that kind, or nothing differs there"


def _with_mr(
    pair: Pair, planes: Planes, mr: Volume, mask: NDArray[np.bool_], resample: bool
) -> tuple[Planes, Values, list[str]]:
    """The planes with the MR and, where the row has one, the cycled MR; its mean error in the mask; notes.

    mask: (k, j, i) bool, on the MR's grid.
    """
    if not mask.any():
        return planes, {}, ["the MR is not drawn: it does not reach the mask"]
    try:
        limits = mr_range(mr.voxels, mask)
    except VolumeError as error:
        return planes, {}, [f"the MR is not drawn: {error}"]
    planes = replace(planes, mr=cut_values(mr, planes.view, limits[0]), mr_limits=limits)
    if pair.cycled_mr is None:
        return planes, {}, []
    cycled, notes = volume_of(pair, pair.cycled_mr, "cycled_mr"), []
    apart = difference(cycled.grid, mr.grid)
    if apart and not resample:
        raise EvaluationError(
            f"{pair.where}: cycled_mr {pair.cycled_mr}: not on the MR's grid ({apart}); --resample lays it there"
        )
    if apart:
        notes = [f"cycled MR RESAMPLED onto the MR's grid ({apart})"]
        cycled = Volume(from_model_grid(cycled.voxels, cycled.grid, mr.grid, limits[0]), mr.grid)
    mean = float(relative_error(cycled.voxels[mask], mr.voxels[mask], limits).mean())
    return replace(planes, cycled=cut_values(cycled, planes.view, limits[0])), {CYCLE.key: mean}, notes


def _ct(pair: Pair, path: Path, role: str) -> Volume:
    """A volume of some contrast. Raises EvaluationError; read_volume refuses NaN."""
    volume = volume_of(pair, path, role)
    if volume.voxels.min() == volume.voxels.max():
        raise EvaluationError(
            f"{pair.where}: {role} {path}: constant volume, {volume.voxels.flat[0]} everywhere; a head in HU is needed"
        )
    return volume


def _odd(volume: Volume, role: str) -> str:
    """A note where a volume does not look like a CT, or ""."""
    try:
        refuse_no_ct(volume)
    except VolumeError as error:
        return f"{role}: {error}"
    return ""


def _fingerprint(mask: NDArray[np.bool_]) -> str:
    """sha256 of the mask's bits: methods of a patient with the same one were measured in the same voxels."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
