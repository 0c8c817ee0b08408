"""The DICOM files of a folder and their headers.

A file is DICOM when it has the magic of the file format (PS3.10, section 7.1). Data sets without it, as some tools keep
them, are counted and not read: any file would then have to be taken for one.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mr2ct.dicom.elements import clean
from mr2ct.errors import VolumeError

PREAMBLE, MAGIC = 128, b"DICM"
MOST_FILES = 50_000  # a brain MR has a few hundred images, a whole examination some thousand


@dataclass(frozen=True)
class Found:
    """paths: files with DICOM's magic, sorted.  naked: files that look like DICOM without it.  others: all the rest."""

    paths: tuple[Path, ...]
    naked: tuple[Path, ...]
    others: int


def told(path: Path) -> str:
    """A path as part of a one-line message, whatever is in its name."""
    return clean(str(path), 400)


class _Quiet:
    """Python's list of warnings is the process's: the first of several threads changes it, the last puts it back."""

    def __init__(self) -> None:
        self.lock, self.blocks = threading.Lock(), 0
        self.warnings = warnings.catch_warnings()

    def begin(self) -> None:
        with self.lock:
            if self.blocks == 0:
                self.warnings = warnings.catch_warnings()
                self.warnings.__enter__()
                warnings.simplefilter("ignore")
            self.blocks += 1

    def end(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0:
                self.warnings.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of pydicom's: what matters of them is an error here. Holds for all threads of the process meanwhile.

    Where Python keeps warnings by thread (sys.flags.context_aware_warnings, since 3.14), for this one alone.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        return
    _QUIET.begin()
    try:
        yield
    finally:
        _QUIET.end()


def unreadable(error: OSError, folder: Path) -> VolumeError:
    """An error of the system, of a file in a folder, as one line."""
    place = Path(error.filename) if isinstance(error.filename, str) else folder
    return VolumeError(f"{told(place)}: cannot be read: {error.strerror or type(error).__name__}")


def find_files(folder: Path) -> Found:
    """The DICOM files of a folder and of the folders in it; hidden ones, DICOMDIR and foreign files are left out.

    Links are followed, each folder once. Raises VolumeError for more than MOST_FILES files, OSError for what cannot be
    looked into.
    """
    paths, naked, others = [], [], 0
    for count, path in enumerate(_walk(folder)):
        if count >= MOST_FILES:
            raise VolumeError(f"{told(folder)}: more than {MOST_FILES} files; give a folder of one patient's series")
        with open(path, "rb") as file:
            start = file.read(PREAMBLE + len(MAGIC))
        if start[PREAMBLE:] == MAGIC:
            paths.append(path)
        elif _looks_naked(start):
            naked.append(path)
        else:
            others += 1
    return Found(tuple(sorted(paths)), tuple(sorted(naked)), others)


def _walk(folder: Path) -> Iterator[Path]:
    folders, seen = [folder], set()
    while folders:
        here = folders.pop()
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:  # a link back up
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":
                    continue
                if os.path.isdir(entry):
                    folders.append(Path(entry.path))
                elif os.path.isfile(entry):  # neither a pipe, which would wait, nor a link to nothing or to itself
                    yield Path(entry.path)


def _looks_naked(start: bytes) -> bool:
    """Whether bytes begin with an element of group 0002 or 0008, little endian, as a data set does."""
    group, element = start[:2], int.from_bytes(start[2:4], "little")
    value_representation = start[4:6] in (b"UL", b"OB", b"CS", b"UI", b"SH", b"DA")
    small = int.from_bytes(start[4:8], "little") <= 256
    return len(start) > 64 and group in (b"\2\0", b"\x08\0") and element <= 0x20 and (value_representation or small)
