"""mr2ct-serve: MR series in over DICOM, synthetic CT series out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from mr2ct.choosing import PRECISIONS, QUALITIES
from mr2ct.device_option import device_option
from mr2ct.errors import Mr2ctError
from mr2ct.model import DEFAULT
from mr2ct.node.settings import GIB, MIB, Destination, Settings, check_ae_title, parse_destination, state_folder
from mr2ct.node.telling import log_to_stderr

POSITIVE = click.FloatRange(min=0, min_open=True)
COUNT = click.IntRange(min=1)
# PS3.8 annex D.1: a length of 0 means no limit, which a node does not offer; smaller ones only slow down
PDU_BYTES = click.IntRange(min=4096, max=2**20)


def _ae_title(_context: click.Context, _parameter: click.Parameter, value: str | tuple[str, ...]) -> Any:
    try:
        return check_ae_title(value) if isinstance(value, str) else tuple(map(check_ae_title, value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _destination(_context: click.Context, _parameter: click.Parameter, value: str) -> Destination:
    try:
        return parse_destination(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _http(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int | None]:
    if value == "off":
        return "", None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:11180, nor off")
    return host.strip("[]"), int(port)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--ae-title", metavar="AET", callback=_ae_title, default="MR2CT", help="The node's own AE title.")
@click.option("--host", default="0.0.0.0", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=11112, help="The port to listen on; 0 takes a free one.")
@click.option(
    "--send-to", metavar="AET@HOST:PORT", callback=_destination, required=True, help="Who gets the synthetic CT."
)
@click.option(
    "--allow", metavar="AET", callback=_ae_title, multiple=True, help="An AE title that may call; as often as needed."
)
@click.option("--allow-any", is_flag=True, help="Let every AE title call.")
@click.option(
    "--spool",
    type=click.Path(path_type=Path),
    envvar="MR2CT_SPOOL",
    show_envvar=True,
    help="The folder of the queue.  [default: ~/.local/state/mr2ct/spool]",
)
@click.option("--quiet-seconds", type=POSITIVE, default=30.0, help="A series that was quiet for so long is complete.")
@click.option("--max-associations", type=COUNT, default=20, help="Associations at once.")
@click.option("--max-pdu", "max_pdu_bytes", type=PDU_BYTES, default=131072, help="Bytes of a PDU.")
@click.option("--max-file-mb", type=POSITIVE, default=512.0, help="MiB of an instance.")
@click.option("--max-files-per-series", type=COUNT, default=4000, help="Instances of a series.")
@click.option("--max-spool-gb", type=POSITIVE, default=50.0, help="GiB of the whole spool.")
@click.option("--min-free-gb", type=click.FloatRange(min=0), default=2.0, help="GiB that the disk must have left.")
@click.option(
    "--keep-days", type=click.FloatRange(min=0), default=7.0, help="How long delivered and refused series stay."
)
@click.option("--give-up-hours", type=POSITIVE, default=72.0, help="How long a destination may be down.")
@click.option("--retry-most-seconds", type=POSITIVE, default=300.0, help="The longest wait between two tries.")
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=_http,
    default="127.0.0.1:11180",
    help="Where /healthz and /metrics are; off for nowhere.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    envvar="MR2CT_MODEL",
    show_envvar=True,
    help=f"A model folder, or the name of a model that comes with mr2ct.  [default: {DEFAULT}]",
)
@device_option
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", help="Which graph to run.")
@click.option("--quality", type=click.Choice(QUALITIES), default="standard", help="As for mr2ct-run.")
@click.option("--threads", type=COUNT, help="CPU cores for an engine on the CPU.  [default: all]")
@click.option("--uncertified", is_flag=True, help="Run a graph that was not proved equal to PyTorch.")
@click.option("--unmarked", is_flag=True, help="Leave SyntheticData (0008,001C) out of the CT.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything, names of patients too.")
@click.version_option(package_name="mr2ct")
def main(
    *,
    allow: tuple[str, ...],
    allow_any: bool,
    spool: Path | None,
    max_file_mb: float,
    max_spool_gb: float,
    min_free_gb: float,
    http: tuple[str, int | None],
    model: Path | None,
    device: str,
    precision: str,
    quality: str,
    threads: int | None,
    uncertified: bool,
    unmarked: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Receive MR series by C-STORE, make a synthetic CT of each, and send it on by C-STORE.

    A series that came whole is never lost and never sent twice, whatever is killed or unplugged meanwhile. docs/node.md
    tells how to install and watch a node. Research only: not a medical device.

    Exit code: 0 stopped by SIGTERM or Ctrl-C, 1 it cannot listen or a part of it broke, 2 wrong usage, 4 the model
    cannot be used, 5 the device is not there, 6 the spool cannot be used.
    """
    if bool(allow) == allow_any:
        raise click.UsageError("--allow AET names who may call, or --allow-any lets everybody; one of both is needed")
    told = Settings(
        **settings,
        allow=allow,
        spool=state_folder() if spool is None else spool,
        max_file_bytes=round(max_file_mb * MIB),
        max_spool_bytes=round(max_spool_gb * GIB),
        min_free_bytes=round(min_free_gb * GIB),
        http_host=http[0],
        http_port=http[1],
    )
    log_to_stderr(verbose=verbose)
    try:
        # here, since wrong usage need not wait for them
        from mr2ct.node.serving import serve
        from mr2ct.node.synthesising import warm_engine
    except ImportError as error:
        click.echo(f"mr2ct-serve: needs {error.name}: pip install 'mr2ct[cpu,node]'", err=True)
        sys.exit(1)
    try:
        with warm_engine(
            model,
            device=device,
            precision=precision,
            quality=quality,
            threads=threads,
            uncertified=uncertified,
            mark_synthetic=not unmarked,
        ) as synthesise:
            code = serve(told, synthesise)
            # a thread inside an engine cannot be stopped, and Python must not end under it
            # https://bugs.python.org/issue42969
            os._exit(code)
    except Mr2ctError as error:
        click.echo(f"mr2ct-serve: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while the engine was being opened
        click.echo("mr2ct-serve: stopped", err=True)
        sys.exit(0)
