"""mr2ct-run: an MR volume in, a synthetic CT volume out."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from mr2ct.choosing import DEVICES, PRECISIONS, QUALITIES, Choice, choose_backend
from mr2ct.errors import Mr2ctError, OutputError
from mr2ct.model import DEFAULT, Model, installed_models, open_model
from mr2ct.picture import check_picture_place, draw_planes, write_picture
from mr2ct.reading import read_volume, suffix_of
from mr2ct.report import Run, as_json, remarks, table
from mr2ct.stages import Stages, peak_memory_bytes
from mr2ct.synthesis import synthesize
from mr2ct.writing import check_place, refuse_existing, whole_or_not_at_all, write_volume

# The default output has one file, also where the input has two.
ONE_FILE = {".mhd": ".mha", ".nhdr": ".nrrd"}
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("volume", type=FILE)
@click.option("-o", "--out", type=FILE, help="The CT to write.  [default: VOLUME_sct beside VOLUME]")
@click.option(
    "--model",
    "model_folder",
    type=FILE,
    envvar="MR2CT_MODEL",
    show_envvar=True,
    help=f"A model folder, or the name of a model that comes with mr2ct.  [default: {DEFAULT}]",
)
@click.option(
    "--models",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _list_models(context) if asked else None,
    help="List the models that come with mr2ct, and stop.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to run.")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True, help="Which graph to run."
)
@click.option(
    "--quality",
    type=click.Choice(QUALITIES),
    default="standard",
    show_default=True,
    help="How far a precision that is chosen for you may be from PyTorch fp32: exact max 0.1 HU, standard mean 1 HU "
    "(fp16, bf16), fast mean 1 HU on 8-bit numbers.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU cores for an engine on the CPU.  [default: all]")
@click.option("--batch", type=click.IntRange(min=1), help="Slices a call.  [default: the engine's best]")
@click.option("--json", "json_file", type=FILE, help="Also write what was done, as JSON.")
@click.option("--picture", type=FILE, help="Also write MR and CT in three planes, as PNG.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--uncertified", is_flag=True, help="Run a graph that was not proved equal to PyTorch.")
@click.version_option(package_name="mr2ct")
def main(
    volume: Path,
    out: Path | None,
    model_folder: Path | None,
    device: str,
    precision: str,
    quality: str,
    threads: int | None,
    batch: int | None,
    json_file: Path | None,
    picture: Path | None,
    overwrite: bool,
    uncertified: bool,
) -> None:
    """Make a synthetic CT of the head MR in VOLUME, on VOLUME's own grid.

    VOLUME is a T1-weighted MR of a head: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr), of any
    orientation and spacing. The CT is in HU, -1000 outside the head. Research only: not a medical device.

    Exit code: 0 done, 2 wrong usage, 3 the volume cannot be used, 4 the model cannot, 5 the device is not there, 6 an
    output cannot be written, 130 stopped. No file is ever left half-written.
    """
    signal.signal(signal.SIGTERM, _stop)
    target = out if out is not None else _beside(volume)
    try:
        _check_places(volume, target, json_file, picture, overwrite=overwrite)
        engine = functools.partial(
            choose_backend, device=device, precision=precision, quality=quality, threads=threads,
            uncertified=uncertified, say=_note,
        )  # fmt: skip
        run = _run(volume, target, model_folder, engine, batch, picture, overwrite)
        if json_file is not None:
            with whole_or_not_at_all(json_file, overwrite=overwrite) as partial:
                partial.write_text(json.dumps(as_json(run), indent=2) + "\n", encoding="utf-8")
    except Mr2ctError as error:
        click.echo(f"mr2ct-run: {error}", err=True)
        sys.exit(error.exit_code)
    except MemoryError:
        click.echo("mr2ct-run: out of memory; a smaller --batch needs less", err=True)
        sys.exit(5)
    except KeyboardInterrupt:
        click.echo("mr2ct-run: stopped; no file is half-written", err=True)
        sys.exit(130)
    for line in remarks(run):
        _note(line)
    choice = run.result.choice
    air = f" and {run.result.skipped} of air skipped" if run.result.skipped else ""
    click.echo(f"{run.result.slices} slices{air}, on {choice.backend.description}, {choice.precision} ({choice.why})")
    click.echo(table(run))
    for written in (target, picture, json_file):
        if written is not None:
            click.echo(str(written))


def _run(
    volume: Path,
    target: Path,
    model_folder: Path | None,
    engine: Callable[[Model], Choice],
    batch: int | None,
    picture: Path | None,
    overwrite: bool,
) -> Run:
    from tqdm import tqdm

    stages = Stages()
    with stages("load"):
        model = open_model(model_folder)
        choice = engine(model)
    with choice:
        with stages("read"), _quiet_native_stderr():
            mr = read_volume(volume)
        with tqdm(unit="slice", leave=False, disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            result = synthesize(mr, model, choice, batch=batch, on_slices=show)
    stages.seconds.update(result.seconds)
    with stages("write"), _quiet_native_stderr():
        write_volume(result.volume, target, overwrite=overwrite)
    if picture is not None:
        with stages("picture"):
            write_picture(draw_planes(mr, result.volume, result.head), picture, overwrite=overwrite)
    return Run(volume, target, mr, model, result, stages.seconds, peak_memory_bytes())


def _list_models(context: click.Context) -> None:
    for name in installed_models():
        card = open_model(name).card
        megabytes = sum(facts.bytes for facts in card.files.values()) / 1e6
        click.echo(f"{name}  version {card.version}, {megabytes:.0f} MB, {card.description}")
    context.exit()


def _note(line: str) -> None:
    click.echo(f"note: {line}", err=True)


def _beside(volume: Path) -> Path:
    """head.nii.gz -> head_sct.nii.gz, in the same folder."""
    suffix = suffix_of(volume)
    stem = volume.name[: len(volume.name) - len(suffix)]
    return volume.with_name(f"{stem}_sct{ONE_FILE.get(suffix, suffix)}")


def _check_places(volume: Path, target: Path, json_file: Path | None, picture: Path | None, *, overwrite: bool) -> None:
    """Say now, not after minutes of work, what could not be written."""
    places = [place.resolve() for place in (volume, target, json_file, picture) if place is not None]
    for place in places:
        if places.count(place) > 1:
            raise OutputError(f"{place}: named twice; the MR and each output need a file of their own")
    if suffix_of(volume):  # else reading it says what is wrong, and better
        check_place(target, overwrite=overwrite)
    if json_file is not None:
        refuse_existing(json_file, overwrite=overwrite)
    if picture is not None:
        check_picture_place(picture, overwrite=overwrite)


@contextmanager
def _quiet_native_stderr() -> Iterator[None]:
    """Keep ITK's C++ from printing beside the one line that tells what is wrong with a file or a disk."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
