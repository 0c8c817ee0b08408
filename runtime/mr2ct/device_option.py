"""The option --device: a device of this machine, or a Triton server."""

from __future__ import annotations

import click

from mr2ct.choosing import DEVICES
from mr2ct.triton_model import EXAMPLE, is_place, parse_place


class Device(click.ParamType):
    """One of mr2ct.choosing.DEVICES, or triton://HOST:PORT[/MODEL]; the value stays the text."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, once it is seen to name a device."""
        if is_place(value):
            try:
                parse_place(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        elif value not in DEVICES:
            self.fail(f"{value!r} is not one of {', '.join(DEVICES)}, nor {EXAMPLE}.", param, ctx)
        return value

    def get_metavar(self, *_: object, **__: object) -> str:
        """The choices, for --help, of any parameter and context."""
        return f"[{'|'.join((*DEVICES, EXAMPLE))}]"
