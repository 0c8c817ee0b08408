"""Whether a file or folder is still the one it was: by sizes and times at a glance, by sha256 for certain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import VolumeError
from mr2ct.hashing import file_sha256, files_sha256
from mr2ct.many.uri import Uri


@dataclass(frozen=True)
class Stamp:
    """A file, or the files of a folder and the folders in it, hidden ones left out.

    files: how many.  bytes: of all.  modified_ns: of the latest, nanoseconds since 1970.
    """

    files: int
    bytes: int
    modified_ns: int


def stamp_of(path: Path | Uri) -> Stamp | None:
    """The stamp of what is there now; None where nothing is, or it may not be looked at."""
    if isinstance(path, Uri):
        from mr2ct.many import object_store

        return object_store.stamp_of(path)
    try:
        told = [os.stat(file) for file in (_files(path) if path.is_dir() else (path,))]
    except OSError:
        return None
    return Stamp(len(told), sum(one.st_size for one in told), max((one.st_mtime_ns for one in told), default=0))


def is_still(path: Path | Uri, stamp: Stamp | None, sha256: str, hashed: Callable[[], str], *, verify: bool) -> bool:
    """Whether what is at a path has that sha256: by its stamp, and where that differs, or to verify, by hashed().

    A path that cannot be read any more is not what it was.
    """
    now = stamp_of(path)
    if now is None:
        return False
    if now == stamp and not verify:
        return True
    try:
        return hashed() == sha256
    except (OSError, VolumeError):
        return False


def output_sha256(target: Path) -> str:
    """As mr2ct.trip tells it of a CT: of the file, or of the files in a folder."""
    return files_sha256(target.iterdir()) if target.is_dir() else file_sha256(target)


def input_sha256(source: Path | Uri) -> str:
    """As mr2ct.trip tells it of an MR: of the file, or of the files of the series that is taken of a folder.

    Raises OSError, or VolumeError where there is no such series, or it cannot be fetched.
    """
    with at_hand(source) as here:
        return _sha256(here)


@contextmanager
def at_hand(source: Path | Uri) -> Iterator[Path]:
    """The path of a source on this machine; what is elsewhere is fetched for the block. Raises VolumeError."""
    if isinstance(source, Path):
        yield source
        return
    from mr2ct.many.object_store import fetched

    with fetched(source) as copy:
        yield copy


def _sha256(source: Path) -> str:
    if not source.is_dir():
        return file_sha256(source)
    from mr2ct.dicom.choosing import choose_series
    from mr2ct.dicom.files import quiet
    from mr2ct.dicom.listing import look_into

    contents = look_into(source)
    with quiet():
        files = choose_series(contents, None)[1]
    return files_sha256(file.path for file in files)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if not name.startswith("."))
