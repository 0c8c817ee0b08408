"""The option --device of every command: a device of this machine, or a Triton server."""

from __future__ import annotations

import click

from mr2ct.choosing import DEVICES
from mr2ct.triton_model import EXAMPLE, is_place, parse_place


def _known(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if is_place(value):
        try:
            parse_place(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    elif value not in DEVICES:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(DEVICES)}, nor {EXAMPLE}")
    return value


device_option = click.option(
    "--device",
    metavar=f"[{'|'.join((*DEVICES, EXAMPLE))}]",
    callback=_known,
    default="auto",
    show_default=True,
    help="Where to run.",
)
