"""mr2ct-export: a checkpoint becomes a model folder, and its graph an engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mr2ct_export.engines import build_engine, check_engine, clear_engines, list_engines
from mr2ct_export.given import model_folder
from mr2ct_export.repository import refuse_repository, serve_folder

if TYPE_CHECKING:
    from mr2ct_export.packed_weights import Packing


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option("--untrained", is_flag=True, help="Export a freshly initialised generator, for geometry and speed only.")
@click.option("--out", type=click.Path(path_type=Path), help="The model folder to write.")
@click.option("--fp16", is_flag=True, help="Also write the half-precision graph, for GPUs.")
@click.option("--int8", is_flag=True, help="Also write the graph in eight bits, for CPUs; needs --calibration.")
@click.option(
    "--calibration",
    multiple=True,
    type=click.Path(path_type=Path),
    help="With --int8: an MR to choose the steps of eight bits by; nothing of it travels. May be given several times.",
)
@click.option(
    "--int8-limit",
    type=click.FloatRange(0, 20, min_open=True),
    metavar="HU",
    help="With --int8: as many layers are in eight bits as keep the 99.9th percentile of the error within this, on "
    "slices held out. More are faster; on other heads and CPUs it may be nearly twice as much.  [default: 12]",
)
@click.option(
    "--weights",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Round weights first and keep them so, proved as such: a folder half as large in fp16, a quarter in int8.",
)
@click.option(
    "--cycle-check",
    is_flag=True,
    help="Also write ct_to_mr, so that mr2ct-run --cycle-check can map its CT back to MR.",
)
@click.option(
    "--reference",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An MR to take the reference slices from; they travel in the model folder. May be given several times.  "
    "[default: the slices the training kept]",
)
@click.option(
    "--gate",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An MR to take the limits of the input gate from; nothing but numbers of it travels. May be given several "
    "times.  [default: every MR of the training]",
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="With --untrained: channels after the first convolution.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="With --untrained: of its random weights.",
)
@click.option(
    "--about",
    type=click.Path(path_type=Path),
    help="A JSON file with name, version, description, authors and data_source for the card, or some of them.",
)
@click.option(
    "--triton",
    "repository",
    type=click.Path(path_type=Path),
    metavar="REPO",
    help="Also write the graphs as models of a Triton repository, for mr2ct-run --device triton://HOST:PORT.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model folder, and its models in REPO, if they exist.")
@click.option("--tensorrt-rtx", is_flag=True, help="Also build an engine for RTX GPUs; needs no GPU here.")
@click.option("--tensorrt", is_flag=True, help="Also build an engine for this machine's NVIDIA GPU.")
@click.option(
    "--engines",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_engines,
    help="List the engines that are kept, and stop.",
)
@click.option(
    "--clear-engines",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=clear_engines,
    help="Remove the engines that are kept, and stop.",
)
@click.version_option(package_name="mr2ct")
def main(
    checkpoint: Path | None,
    untrained: bool,
    out: Path | None,
    fp16: bool,
    int8: bool,
    calibration: tuple[Path, ...],
    int8_limit: float | None,
    weights: Packing,
    cycle_check: bool,
    reference: tuple[Path, ...],
    gate: tuple[Path, ...],
    width: int,
    seed: int,
    about: Path | None,
    repository: Path | None,
    overwrite: bool,
    tensorrt_rtx: bool,
    tensorrt: bool,
) -> None:
    """Turn the MR-to-CT generator of CHECKPOINT into a model folder that mr2ct-run takes.

    Every graph is run over the reference slices and compared with PyTorch fp32 in HU. One that is outside its budget is
    not written, and the exit code is 1.

    CHECKPOINT may be a model folder, or the name of a model that comes with mr2ct. With --fp16 or --int8 --out gets the
    same model with these graphs, with --gate the same with these limits; with --triton alone REPO gets its graphs as
    they are. With --tensorrt Triton gets the engine in the place of its graph.

    The int8 graph holds as many convolutions in eight bits as slices held out allow; the card tells which, and the
    error of each.

    Engines are built from the fp16 graph with --fp16, else from the fp32 one, and kept in mr2ct/engines of the user's
    cache folder, or of MR2CT_CACHE.
    """
    if (checkpoint is None) is not untrained:
        raise click.UsageError("give a CHECKPOINT, or --untrained")
    if tensorrt_rtx and tensorrt:
        raise click.UsageError("one engine at a time: --tensorrt-rtx or --tensorrt")
    if untrained and not reference:
        raise click.UsageError("--untrained needs --reference MR.nii.gz, an MR of a head to prove the graphs on")
    if int8 is not bool(calibration):
        raise click.UsageError("--int8 and --calibration MR.nii.gz go together: give both, or none")
    if int8_limit is not None and not (int8 and int8_limit > 0):  # nan is in every range
        raise click.UsageError("--int8-limit goes with --int8, and is a number of HU")
    if tensorrt_rtx and repository is not None:
        raise click.UsageError("Triton runs no engine of TensorRT-RTX: --triton with --tensorrt, or with neither")
    folder = model_folder(checkpoint)
    engine = repository is not None and tensorrt  # of which --fp16 says which graph it is of
    more = folder is not None and (int8 or (fp16 and not engine))
    as_it_is = folder is not None and not gate and not more
    if as_it_is and repository is None:
        raise click.UsageError(
            f"{folder} is a model folder: give --fp16 or --int8 for more graphs, --gate MR.nii.gz for another gate, "
            "--triton REPO, or a CHECKPOINT"
        )
    if folder is not None and ((more and gate) or weights != "fp32" or reference or about or (tensorrt and not engine)):
        raise click.UsageError(f"{folder} is a model folder: more graphs, --gate or --triton, and nothing else changes")
    if as_it_is is not (out is None):
        raise click.UsageError("Missing option '--out'." if out is None else f"{folder} stays as it is, without --out")
    from mr2ct.errors import Mr2ctError

    try:
        from mr2ct_export.making import Wishes, add_graphs, export_checkpoint, regate
        from mr2ct_export.to_onnx import ExportError
        from mr2ct_training.checkpoint import CheckpointError
    except ImportError as error:
        click.echo(f"mr2ct-export: needs {error.name}: pip install 'mr2ct[cpu,export]'", err=True)
        sys.exit(1)
    precision = "fp16" if fp16 else "fp32"
    wishes = Wishes(
        fp16, calibration, int8_limit, weights, cycle_check, reference, gate, width, seed, about, repository, overwrite
    )
    flavour = "tensorrt-rtx" if tensorrt_rtx else "tensorrt" if tensorrt else None
    try:
        if flavour is not None:
            check_engine(flavour)  # what is missing is told before minutes of work
        if repository is not None:
            refuse_repository(repository, folder, overwrite=overwrite)
        refused: tuple[str, ...] = ()
        if folder is not None and out is not None and more:
            refused = add_graphs(folder, out, wishes)
        elif folder is not None and out is not None:
            regate(folder, out, wishes)
        elif out is not None:
            refused = export_checkpoint(checkpoint, out, wishes)
    except (Mr2ctError, CheckpointError, ExportError) as error:
        click.echo(f"mr2ct-export: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("mr2ct-export: stopped; nothing was written", err=True)
        sys.exit(130)
    for line in refused:
        click.echo(f"mr2ct-export: {line}", err=True)
    try:
        if flavour is not None and out is not None:
            build_engine(flavour, out, precision)
        whole = folder if out is None else out
        if repository is not None and whole is not None:
            serve_folder(whole, repository, engine_of=precision if flavour else None, overwrite=overwrite)
    except Mr2ctError as error:
        click.echo(f"mr2ct-export: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        left = "the engine was not kept" if repository is None else "the Triton repository is as it was"
        click.echo(f"mr2ct-export: stopped; the model folder is whole, {left}", err=True)
        sys.exit(130)
    sys.exit(1 if refused else 0)
