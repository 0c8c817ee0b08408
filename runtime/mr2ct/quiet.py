"""Standard error without what ITK's C++ prints beside the one line that tells what is wrong with a file or a disk."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

_IN_USE = threading.RLock()  # while it is turned away, a line said by another thread waits


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Turn file descriptor 2 away for the block."""
    with _IN_USE:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def note(line: str) -> None:
    """Tell the user a line that is no error."""
    with _IN_USE:
        click.echo(f"note: {line}", err=True)
