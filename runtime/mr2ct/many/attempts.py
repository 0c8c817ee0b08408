"""How often workers of a cluster have begun a volume: what kills its worker is told from what was beside it.

A worker that dies, of a signal or for want of memory, tells nobody of which volume; and a cluster gives all it had to
the next worker. So each leaves a note on the shared storage before it begins one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mr2ct.errors import OutputError

NOTES = ".manifest.ray-"  # the folder of a run's notes is called so
MOST = 3  # that died: the first in company, two alone


@contextmanager
def notes_in(out: Path) -> Iterator[Path]:
    """A new folder in OUT_DIR for the notes of a run's workers, which nothing but this run has. Raises OutputError."""
    notes = Path(os.path.abspath(out)) / f"{NOTES}{secrets.token_hex(8)}"
    try:
        notes.mkdir()
    except OSError as error:
        raise OutputError(f"{out}: cannot write there: {error.strerror}") from error
    try:
        yield notes
    finally:
        shutil.rmtree(notes, ignore_errors=True)


def clear_notes(out: Path) -> None:
    """Delete what runs that were killed have left. To be called while the manifest is held."""
    for stale in out.glob(f"{NOTES}*"):
        shutil.rmtree(stale, ignore_errors=True)


def begun(notes: Path, item_id: str) -> int:
    """How often an item was begun and not ended."""
    try:
        return _note(notes, item_id).stat().st_size
    except OSError:
        return 0


def begin(notes: Path, item_id: str) -> None:
    """Note that an item is begun. Raises OutputError."""
    try:
        with open(_note(notes, item_id), "ab") as note:
            note.write(b".")
    except OSError as error:
        raise OutputError(f"{notes}: cannot write there: {error.strerror}") from error


def end(notes: Path, item_id: str) -> None:
    """Nobody died of it."""
    with suppress(OSError):  # all of them go with the run
        _note(notes, item_id).unlink()


def _note(notes: Path, item_id: str) -> Path:
    return notes / hashlib.sha256(item_id.encode(errors="surrogateescape")).hexdigest()[:32]


class Room:
    """Where volumes are made by several threads: together, or one alone while the others wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """With others; after whoever waits to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With nobody else."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            with self._changed:
                self._inside = 0
                self._changed.notify_all()
