"""The gate of a model: what its card says of the MRs it may judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mr2ct.card import FixedWindow
from mr2ct.errors import VolumeError
from mr2ct.gate.limiting import limits_of
from mr2ct.gate.limits import GateLimits
from mr2ct.gate.measured import Measured
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.modality import refuse_ct
from mr2ct.reading import read_volume
from mr2ct_training.checkpoint import Checkpoint


def gate_of(checkpoint: Checkpoint) -> GateLimits | None:
    """The limits of the MRs that a generator was trained on; None where they were not measured."""
    if not checkpoint.measured:
        return None
    return limits_of(checkpoint.measured, fixed_units=isinstance(checkpoint.mr_window, FixedWindow))


def measured_mrs(paths: Sequence[Path]) -> tuple[Measured, ...]:
    """Files of MRs, measured. Raises VolumeError, which names the file, for one that cannot be used."""
    measured = []
    for path in paths:
        mr = read_volume(path)
        try:
            refuse_ct(mr)
            measured.append(measure(mr, head_mask(mr)))
        except VolumeError as error:
            raise VolumeError(f"{path}: {error}") from error
    return tuple(measured)
