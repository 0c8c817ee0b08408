"""One row of the table: read, place, mask, measure."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_training.ct_head import refuse_no_ct
from mr2ct_training.evaluation.continuity import CONTINUITY_METRICS, continuity
from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.masks import Ct, region
from mr2ct_training.evaluation.metrics import Metric, error_metrics, error_values
from mr2ct_training.evaluation.pairs import EvaluationError, Pair
from mr2ct_training.evaluation.placing import difference, laid_onto
from mr2ct_training.evaluation.results import Row
from mr2ct_training.evaluation.structural import structural_metric, structural_value


def metrics_of(convention: Convention) -> tuple[Metric, ...]:
    """Everything that score measures, in the order in which it is shown."""
    return (*error_metrics(convention), structural_metric(convention), *CONTINUITY_METRICS)


def read_reference(pair: Pair) -> Ct:
    """A row's reference. Raises EvaluationError, which names the row, when it cannot be read or is constant."""
    return Ct(pair.reference, _ct(pair, pair.reference, "reference"))


def score(pair: Pair, convention: Convention, known: Ct | None = None, *, resample: bool) -> Row:
    """Measure one synthetic CT. known: the row's reference, if it was read before.

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
    where = region(pair, synthetic, known, resample=resample)
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
    return Row(
        patient=pair.patient,
        method=pair.method,
        synthetic=str(pair.synthetic),
        reference=str(pair.reference),
        mask=None if pair.mask is None else str(pair.mask),
        mr=None if pair.mr is None else str(pair.mr),
        mask_source=where.source,
        mask_voxels=int(np.count_nonzero(mask)),
        mask_litres=float(np.count_nonzero(mask) * np.prod(reference.grid.spacing) / 1e6),
        mask_sha256=_fingerprint(mask),
        resampled=bool(apart),
        values=values,
        continuity=slices,
        notes=tuple(notes),
    )


_WHY_NONE = "no voxel of that kind, or nothing differs there"


def _ct(pair: Pair, path: Path, role: str) -> Volume:
    """A volume of some contrast. Raises EvaluationError; read_volume refuses NaN."""
    try:
        volume = read_volume(path)
    except VolumeError as error:
        raise EvaluationError(f"{pair.where}: {role} {error}") from error
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
