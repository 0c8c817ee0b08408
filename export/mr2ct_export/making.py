"""What mr2ct-export makes: the folder of a checkpoint, or of a model that is there with more graphs or another gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from mr2ct.reading import read_volume
from mr2ct_export.about import read_about
from mr2ct_export.calibration import calibration_from_files
from mr2ct_export.folder import card_name, export, refuse_existing
from mr2ct_export.gate import measured_mrs
from mr2ct_export.more_graphs import with_graphs
from mr2ct_export.packed_weights import Packing, rounded
from mr2ct_export.reference import answered, reference_from_volumes
from mr2ct_export.regated import with_gate
from mr2ct_export.repository import refuse_name
from mr2ct_export.telling import gate_line, tell_model
from mr2ct_export.untrained import untrained_checkpoint
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint


@dataclass(frozen=True)
class Wishes:
    """What was asked for. calibrations: MRs to make an int8 graph by, none for no such graph.

    int8_limit: HU, the 99.9th percentile within which layers are put into int8, None for the usual.  width, seed: of
    an untrained generator.  repository: of Triton, for which the model's name must be free.
    """

    fp16: bool
    calibrations: tuple[Path, ...]
    int8_limit: float | None
    weights: Packing
    cycle_check: bool
    references: tuple[Path, ...]
    gate: tuple[Path, ...]
    width: int
    seed: int
    about: Path | None
    repository: Path | None
    overwrite: bool


def export_checkpoint(checkpoint: Path | None, out: Path, wishes: Wishes) -> tuple[str, ...]:
    """Write the model folder of a checkpoint, None for an untrained generator; returns a line for each refused graph.

    Raises CheckpointError, VolumeError, ModelError, ExportError, OutputError.
    """
    refuse_existing(out, overwrite=wishes.overwrite)
    source = load_checkpoint(checkpoint) if checkpoint is not None else untrained_checkpoint(wishes.width, wishes.seed)
    source = rounded(source, wishes.weights)
    if wishes.about is not None:
        source = replace(source, about={**source.about, **read_about(wishes.about)})
    if wishes.repository is not None:
        refuse_name(wishes.repository, card_name(source), overwrite=wishes.overwrite)
    if wishes.gate:
        source = replace(source, measured=measured_mrs(wishes.gate))
    if wishes.references:
        volumes = [read_volume(path) for path in wishes.references]
        slices = reference_from_volumes(volumes, source.slices, source.mr_window, source.mr_to_ct)
    elif source.reference is not None:
        mr, head = source.reference
        slices = answered(mr.numpy(), head.numpy(), source.mr_to_ct)
    else:
        raise CheckpointError(f"{checkpoint}: holds no reference slices; give --reference MR.nii.gz")
    exported = export(
        source,
        slices,
        out,
        fp16=wishes.fp16,
        int8=calibration_from_files(wishes.calibrations, source.slices, source.mr_window, slices.mr, wishes.int8_limit),
        weights=wishes.weights,
        cycle_check=wishes.cycle_check,
        overwrite=wishes.overwrite,
    )
    tell_model(exported.card, out)
    return exported.refused


def add_graphs(folder: Path, out: Path, wishes: Wishes) -> tuple[str, ...]:
    """Write the model of a folder with more graphs; returns a line for each that was refused."""
    refuse_existing(out, overwrite=wishes.overwrite)
    exported = with_graphs(
        folder,
        out,
        fp16=wishes.fp16,
        calibrations=wishes.calibrations,
        int8_limit=wishes.int8_limit,
        overwrite=wishes.overwrite,
    )
    tell_model(exported.card, out)
    return exported.refused


def regate(folder: Path, out: Path, wishes: Wishes) -> None:
    """Write the model of a folder with the limits of other MRs."""
    refuse_existing(out, overwrite=wishes.overwrite)
    click.echo(gate_line(with_gate(folder, wishes.gate, out, overwrite=wishes.overwrite)))
    click.echo(f"model folder: {out}")
