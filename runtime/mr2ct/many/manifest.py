"""What became of each item: OUT_DIR/manifest.jsonl, a JSON object a line, each appended in one write and synced.

The state of an item is its last line. A kill, or a disk without room, may leave a part of the last line behind: readers
pass it over, and the next writer cuts it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

import mr2ct
from mr2ct.errors import OutputError
from mr2ct.file_lock import locked
from mr2ct.many.stamp import Stamp
from mr2ct.many.text import one_line

MANIFEST, LOCK = "manifest.jsonl", ".manifest.lock"
SCHEMA = "mr2ct-many/1"
State = Literal["started", "done", "refused", "failed"]


@dataclass(frozen=True)
class Made:
    """A CT that was written, and of what and by what.

    output, output_sha256: of what is at the target; of a CT series see mr2ct.hashing.  device, precision, engine,
    engine_sha256: what ran, see mr2ct.choosing and mr2ct.provenance.  slices: through the engine; skipped: of air.
    seconds: by stage.  outside: what the gate would have refused, in words; made by force all the same.  cycle: as
    mr2ct-run --json tells it.  marked: whether a CT series says SyntheticData.  besides: what else was written,
    "nifti", "picture", "report", "cycle map".  remarks: what a user should know.  peak_memory_bytes: the most that the
    process has held until then, None where the system does not tell.
    """

    output: Stamp
    output_sha256: str
    device: str
    precision: str
    engine: str
    engine_sha256: str
    slices: int
    skipped: int
    seconds: dict[str, float]
    outside: list[str] = field(default_factory=list)
    cycle: dict[str, Any] | None = None
    marked: bool = True
    besides: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the manifest; picklable.

    id, source, target: of the Item.  state: "started" before any work, then "done", "refused" by the gate, or "failed".
    began, ended: UTC, ISO 8601; ended is "" while started.  input: of the source before it was read, None where it was
    not there.  input_sha256: of what was read, "" where nothing was.  model, model_version, model_file, model_sha256:
    of the graph that ran; of the card only where none did.  gate: {"accepted": bool, "outside": [measures]}, None where
    nothing was asked.  reason, exit_code: of mr2ct.errors, why it is refused or failed.  stops: whether the others
    would fail, too: a disk without room.  made: of what is done.  ours: whether what is at the target was made by a
    run, or nothing was there when this one began: it may be replaced.  node: of a cluster, its host name.
    """

    id: str
    source: str
    target: str
    state: State
    began: str
    ended: str = ""
    input: Stamp | None = None
    input_sha256: str = ""
    model: str = ""
    model_version: str = ""
    model_file: str = ""
    model_sha256: str = ""
    gate: dict[str, Any] | None = None
    reason: str = ""
    exit_code: int = 0
    stops: bool = False
    made: Made | None = None
    ours: bool = False
    node: str = ""
    mr2ct: str = mr2ct.__version__

    def as_line(self) -> str:
        """One line of JSON, ASCII, without its end; what says nothing is left out."""
        told = {name: value for name, value in asdict(self).items() if value not in (None, "", 0)}
        return json.dumps({"schema": SCHEMA, **told}, allow_nan=False)

    @classmethod
    def of_line(cls, line: str) -> Self:
        """Raises ValueError when a line is not one of this schema."""
        told = json.loads(line)
        if not isinstance(told, dict) or told.pop("schema", None) != SCHEMA or told.get("state") not in get_args(State):
            raise ValueError(f"not of the schema {SCHEMA}")
        try:
            if "input" in told:
                told["input"] = Stamp(**told["input"])
            if "made" in told:
                told["made"] = Made(**{**told["made"], "output": Stamp(**told["made"]["output"])})
            return cls(**told)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not of the schema {SCHEMA}") from error


def utc_now() -> str:
    """The time as in the manifest."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_entries(folder: Path) -> dict[str, Entry]:
    """The last entry of each item by its id, in the order they were first begun; none where there is no manifest.

    Raises OutputError where the manifest cannot be read, or a line of it but a torn last one is damaged.
    """
    file = folder / MANIFEST
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OutputError(f"{one_line(file)}: cannot be read: {error.strerror}") from error
    entries: dict[str, Entry] = {}
    for number, line in enumerate(content.split(b"\n")[:-1], 1):  # what follows the last line's end is torn
        try:
            entry = Entry.of_line(line.decode())
        except ValueError as error:  # of JSON and UTF-8 as well
            raise OutputError(
                f"{one_line(file)}: line {number} is damaged ({one_line(error)}); without it that CT is made again"
            ) from error
        entries[entry.id] = entry
    return entries


class Manifest:
    """The manifest of a folder, held by this run alone. entries: the last of each id."""

    def __init__(self, folder: Path) -> None:
        """Raises OutputError where it cannot be read or written."""
        self.file = folder / MANIFEST
        self.entries = read_entries(folder)
        try:
            self._handle = os.open(self.file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            whole = self.file.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._handle, whole)  # a torn last line
            os.lseek(self._handle, whole, os.SEEK_SET)
        except OSError as error:
            raise OutputError(f"{one_line(self.file)}: cannot write there: {error.strerror}") from error

    def append(self, *entries: Entry) -> None:
        """Add lines, on the disk when this returns: all of them or none. Raises OutputError."""
        content = "".join(f"{entry.as_line()}\n" for entry in entries).encode()
        before = os.lseek(self._handle, 0, os.SEEK_CUR)
        try:
            written = os.write(self._handle, content)
            if written < len(content):
                raise OSError(0, "the disk is full")
            os.fsync(self._handle)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, before)
                os.lseek(self._handle, before, os.SEEK_SET)
            raise OutputError(f"{one_line(self.file)}: not written: {error.strerror}") from error
        self.entries.update((entry.id, entry) for entry in entries)

    def close(self) -> None:
        """Nothing is appended any more."""
        os.close(self._handle)


@contextmanager
def open_manifest(folder: Path) -> Iterator[Manifest]:
    """The manifest of a folder, which is made where it is missing; no other process opens it meanwhile.

    Raises OutputError where another run has it open, or it cannot be written.
    """

    def taken() -> None:
        raise OutputError(
            f"{one_line(folder)}: another mr2ct-run writes there now; wait for its end or name another folder"
        )

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{one_line(folder)}: cannot write there: {error.strerror}") from error
    with locked(folder / LOCK, taken):
        manifest = Manifest(folder)
        try:
            yield manifest
        finally:
            manifest.close()
