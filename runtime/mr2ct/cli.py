"""mr2ct-run: an MR in, a synthetic CT out."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mr2ct.choosing import PRECISIONS, QUALITIES, Choice, choose_backend
from mr2ct.device_option import device_option
from mr2ct.errors import Mr2ctError
from mr2ct.many.listing import is_many
from mr2ct.model import DEFAULT, Model, installed_models, open_model
from mr2ct.places import beside, check_places, is_series, nifti_of
from mr2ct.quiet import note
from mr2ct.report import as_json, remarks, table
from mr2ct.stoppable import hear_signals
from mr2ct.trip import Wishes, make_synthetic_ct
from mr2ct.writing import whole_or_not_at_all

if TYPE_CHECKING:
    from mr2ct.many.asked import Asked
    from mr2ct.many.workshop import Workshop

FILE = click.Path(path_type=Path)
RUNNING = "running"  # --ray without an address


def _head(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """The address of a Ray head. A word after --ray is taken for one, and may have been meant as a VOLUME."""
    if value in (None, RUNNING) or re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^\s:/]+):[0-9]{1,5}", value):
        return value
    raise click.BadParameter(f"{value!r} is no HOST:PORT; to take the cluster that runs here put --ray last")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("volumes", metavar="VOLUME...", nargs=-1, required=True)
@click.option(
    "-o",
    "--out",
    type=FILE,
    help="The CT to write: a volume file, or without the suffix of one a folder for a DICOM series.  [default: "
    "VOLUME_sct beside VOLUME, of its kind]. Of many volumes OUT_DIR, the folder for their CTs and the manifest.",
)
@click.option("--each", is_flag=True, help="Take every folder in VOLUME as an MR series of its own.")
@click.option("--series", metavar="UID", help="SeriesInstanceUID of the MR, in a folder that holds several.")
@click.option(
    "--dicom-from",
    type=FILE,
    metavar="FOLDER",
    help="The MR series that VOLUME was converted from: the CT becomes a DICOM series of its patient.",
)
@click.option("--also-nifti", is_flag=True, help="Beside a DICOM series, also write the CT as NIfTI.")
@click.option(
    "--unmarked", is_flag=True, help="Leave SyntheticData (0008,001C) out, for planning systems that refuse it."
)
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
@device_option
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
@click.option("--force", is_flag=True, help="Run what the gate refuses; all that is written says so.")
@click.option("--cycle-check", is_flag=True, help="Map the CT back to MR and tell how much of the MR comes back.")
@click.option("--cycle-map", type=FILE, help="Also write the error of that, in percent, as a volume.")
@click.option(
    "--json", "json_file", type=FILE, help="Also write what was done, as JSON; of many, manifest.jsonl has it."
)
@click.option("--picture", type=FILE, help="Also write MR and CT in three planes, as PNG.")
@click.option(
    "--report", "page", type=FILE, help="Also write a report to look at in a browser, as HTML, and the PNG beside it."
)
@click.option(
    "--ray",
    "cluster",
    metavar="[HOST:PORT]",
    is_flag=False,
    flag_value=RUNNING,
    callback=_head,
    help="Of many: make them on a Ray cluster, by its head's address. Without one: RAY_ADDRESS, the cluster that runs "
    "here, or one that is started for the run.",
)
@click.option("--workers", type=click.IntRange(min=1), help="With --ray: so many.  [default: one a GPU, or one a node]")
@click.option("--verify", is_flag=True, help="Of many: look at what is done by sha256, not by size and time.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--uncertified", is_flag=True, help="Run a graph that was not proved equal to PyTorch.")
@click.version_option(package_name="mr2ct")
def main(
    volumes: tuple[str, ...],
    out: Path | None,
    model_folder: Path | None,
    device: str,
    precision: str,
    quality: str,
    threads: int | None,
    unmarked: bool,
    json_file: Path | None,
    each: bool,
    verify: bool,
    cluster: str | None,
    workers: int | None,
    **wished: Any,  # fields of Wishes
) -> None:
    """Make a synthetic CT of the head MR in VOLUME, on VOLUME's own grid.

    VOLUME is a T1-weighted MR of a head: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr), or a
    folder with a DICOM series, of any orientation and spacing. Of a DICOM series the CT is one, too. It is in HU, -1000
    outside the head. Research only: not a medical device.

    Many volumes: several VOLUMEs, a folder with volume files in it, or @LIST, a file with a path a line. Their CTs go
    to OUT_DIR in the folders they came from, what became of each to OUT_DIR/manifest.jsonl, and a second run does only
    what is missing. --report, --picture and --cycle-map then name folders. A VOLUME may be a URI, s3://BUCKET/KEY.

    Exit code: 0 done, 2 wrong usage, 3 the volume cannot be used, 4 the model cannot, 5 the device is not there, 6 an
    output cannot be written, 7 the gate refuses the volume, 8 some of many failed or were refused, 130 stopped. No file
    is ever left half-written.
    """
    hear_signals()
    started = time.perf_counter()
    wishes = Wishes(**wished, mark_synthetic=not unmarked)
    with _told_in_a_line(), ExitStack() as engines:

        def choose(model: Model) -> Choice:
            return choose_backend(
                model, device=device, precision=precision, quality=quality, threads=threads,
                uncertified=wishes.uncertified, say=note,
            )  # fmt: skip

        def opened(model: Model) -> Choice:
            return engines.enter_context(choose(model))

        if workers is not None and cluster is None:
            raise click.UsageError("--workers goes with --ray")
        if cluster is None and not is_many(volumes, each=each, series=wishes.series is not None):
            _run_one(Path(volumes[0]), out, model_folder, opened, wishes, json_file, started)
            return
        from mr2ct.many.run import asked_of, run_many

        if json_file is not None:
            raise click.UsageError("--json goes with one volume; of many, OUT_DIR/manifest.jsonl has it")
        asked = asked_of(wishes, device=device, precision=precision, quality=quality)
        shop = _workshop(choose, cluster, workers, threads)
        code = run_many(volumes, out, partial(open_model, model_folder), shop, asked, each=each, verify=verify)
    sys.exit(code)


def _workshop(
    choose: Callable[[Model], Choice], cluster: str | None, workers: int | None, threads: int | None
) -> Callable[[Model, Asked], AbstractContextManager[Workshop]]:
    """Where many volumes are made."""
    if cluster is None:
        from mr2ct.many.workshop import here

        return partial(here, choose)
    from mr2ct.many.on_ray import on_ray

    return partial(on_ray, None if cluster == RUNNING else cluster, workers, threads)


def _run_one(
    volume: Path,
    out: Path | None,
    model_folder: Path | None,
    opened: Callable[[Model], Choice],
    wishes: Wishes,
    json_file: Path | None,
    started: float,
) -> None:
    target = out if out is not None else beside(volume, series=volume.is_dir() or wishes.dicom_from is not None)
    if wishes.page is not None and wishes.picture is None:
        wishes = replace(wishes, picture=wishes.page.with_suffix(".png"))
    if wishes.also_nifti and not is_series(target):
        raise click.UsageError("--also-nifti goes with a DICOM series, and a volume file is written")
    check_places(volume, target, wishes, json_file)
    model = open_model(model_folder)
    from tqdm import tqdm

    with tqdm(unit="slice", leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        run = make_synthetic_ct(
            volume, target, model, partial(opened, model), wishes, on_slices=show, started=started
        )  # fmt: skip
    if json_file is not None:
        with whole_or_not_at_all(json_file, overwrite=wishes.overwrite) as partial_file:
            partial_file.write_text(json.dumps(as_json(run), indent=2) + "\n", encoding="utf-8")
    for line in remarks(run):
        note(line)
    choice = run.result.choice
    air = f" and {run.result.skipped} of air skipped" if run.result.skipped else ""
    click.echo(f"{run.result.slices} slices{air}, on {choice.backend.description}, {choice.precision} ({choice.why})")
    click.echo(table(run))
    nifti = nifti_of(target) if wishes.also_nifti else None
    for written in (target, nifti, wishes.cycle_map, wishes.picture, wishes.page, json_file):
        if written is not None:
            click.echo(str(written))


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    """What goes wrong becomes a line on stderr and an exit code."""
    try:
        yield
    except Mr2ctError as error:
        click.echo(f"mr2ct-run: {error}", err=True)
        sys.exit(error.exit_code)
    except MemoryError:
        click.echo("mr2ct-run: out of memory; a smaller --batch needs less", err=True)
        sys.exit(5)
    except KeyboardInterrupt:
        click.echo("mr2ct-run: stopped; no file is half-written", err=True)
        sys.exit(130)


def _list_models(context: click.Context) -> None:
    for name in installed_models():
        model = open_model(name)
        card, graphs = model.card, ", ".join(model.precisions)
        megabytes = sum(facts.bytes for facts in card.files.values()) / 1e6
        click.echo(f"{name}  version {card.version}, in {graphs}, {megabytes:.0f} MB: {card.description}")
    context.exit()
