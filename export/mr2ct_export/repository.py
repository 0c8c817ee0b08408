"""mr2ct-export --triton: what is refused at the start, and what is told of the models that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mr2ct.model import Model
    from mr2ct_export.triton import Plan

# What needs onnx, an engine or tritonclient is imported where it runs: -h comes at once.


def refuse_repository(repository: Path, folder: Path | None, *, overwrite: bool) -> None:
    """Say now, not after minutes of work, what could not be written: DeviceError without tritonclient, OutputError.

    folder: a model folder that is served as it is, None for one that is still to be made.
    """
    from mr2ct.model import open_model
    from mr2ct_export.triton import refuse_served, served_names

    refuse_served(repository, [] if folder is None else served_names(open_model(folder)), overwrite=overwrite)


def refuse_name(repository: Path, name: str, *, overwrite: bool) -> None:
    """The same of a model folder that is still to be made, once its name is known."""
    from mr2ct.triton_model import served_name
    from mr2ct_export.triton import refuse_served

    refuse_served(repository, [served_name(name, "fp32")], overwrite=overwrite)  # every folder has it


def serve_folder(folder: Path, repository: Path, *, engine_of: str | None, overwrite: bool) -> None:
    """Write a model folder into a Triton repository and tell of each model.

    engine_of: the precision that a TensorRT engine is served of, taken from the user's cache or built; None for none.
    Raises ModelError, DeviceError, OutputError; the repository is then as it was.
    """
    from mr2ct.model import open_model
    from mr2ct_export.triton import write_repository

    model = open_model(folder)
    plan = None if engine_of is None else _plan(model, engine_of)
    for one in write_repository(model, repository, plan=plan, overwrite=overwrite):
        click.echo(f"  Triton model {one.name}, for its {one.backend} backend")
    if plan is not None:
        click.echo(f"  the engine is for {plan.built_for}, and for no other GPU or version")
    click.echo(f"Triton repository: {repository}")


def _plan(model: Model, precision: str) -> Plan:
    from mr2ct.tensorrt_engine import engine_of
    from mr2ct.tensorrt_flavour import open_flavour
    from mr2ct_export.triton import Plan

    def note(line: str) -> None:
        click.echo(f"note: {line}", err=True)

    engine, content = engine_of(open_flavour("tensorrt"), model, precision, note)
    facts = engine.facts
    return Plan(precision, content, f"{facts.gpu}, compute capability {facts.compute_capability}, {facts.version}")
