"""What lies at a URI, by fsspec: listed, looked at, and fetched for as long as it is worked on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mr2ct.errors import VolumeError
from mr2ct.many.stamp import Stamp
from mr2ct.many.text import one_line
from mr2ct.many.uri import Uri
from mr2ct.reading import suffix_of

try:
    from fsspec.core import url_to_fs
except ImportError as error:
    raise VolumeError(f"a URI needs fsspec ({error}): pip install 'mr2ct[ray]'") from error

SAID = 200  # characters of what a server says


def files_below(folder: Uri) -> tuple[PurePosixPath, ...]:
    """The paths in a folder of all files in it and in the folders in it, hidden ones left out, by name.

    Raises VolumeError where there is no such folder, or it cannot be listed.
    """
    system, root = _system(folder)
    try:
        found = [PurePosixPath(path).relative_to(root) for path in system.find(root) if path != root]
        if not found:
            system.ls(root)  # find says nothing of what is wrong
    except FileNotFoundError:
        found = []
    except Exception as error:  # each kind of store raises its own
        raise VolumeError(f"{one_line(folder)}: cannot be listed: {_said(error, folder)}") from error
    if not found:
        raise VolumeError(f"{one_line(folder)}: no such folder, or nothing in it")
    return tuple(sorted(path for path in found if not any(part.startswith(".") for part in path.parts)))


def stamp_of(uri: Uri) -> Stamp | None:
    """As mr2ct.many.stamp tells it of a path; None where nothing is, or it may not be looked at.

    A file whose server does not tell its time has been changed just now for all we know.
    """
    try:
        system, path = _system(uri)
        files = [path] if suffix_of(Path(uri.name)) else system.find(path)
        told = [(int(system.info(file)["size"] or 0), _modified_ns(system, file)) for file in files]
    except Exception:
        return None
    return Stamp(len(told), sum(size for size, _ in told), max(time_ns for _, time_ns in told)) if told else None


def text_at(uri: Uri) -> bytes:
    """The content of a small file. Raises VolumeError."""
    system, path = _system(uri)
    try:
        content: bytes = system.cat_file(path)
    except Exception as error:
        raise VolumeError(f"{one_line(uri)}: cannot be read: {_said(error, uri)}") from error
    return content


@contextmanager
def fetched(uri: Uri) -> Iterator[Path]:
    """A copy with the same name in a temporary folder, a file or a folder of DICOM files; it goes with the block.

    Raises VolumeError where it cannot be fetched.
    """
    system, path = _system(uri)
    with tempfile.TemporaryDirectory(prefix="mr2ct-fetched-") as folder:
        copy = Path(folder) / (uri.name or "volume")
        try:
            if suffix_of(copy):
                system.get_file(path, str(copy))
            else:
                copy.mkdir()
                for file in files_below(uri):
                    place = copy / file
                    place.parent.mkdir(parents=True, exist_ok=True)
                    system.get_file(f"{path.rstrip('/')}/{file}", str(place))
        except VolumeError:
            raise
        except Exception as error:
            raise VolumeError(f"{one_line(uri)}: cannot be fetched: {_said(error, uri)}") from error
        yield copy


def _system(uri: Uri) -> tuple[Any, str]:
    """The file system of a URI and the path there."""
    try:
        system, path = url_to_fs(uri.text)
    except ImportError as error:  # s3fs, gcsfs, adlfs: fsspec says which
        raise VolumeError(f"{one_line(uri)}: {_said(error, uri)}") from error
    except Exception as error:
        raise VolumeError(f"{one_line(uri)}: cannot be opened: {_said(error, uri)}") from error
    return system, str(path)


def _modified_ns(system: Any, path: str) -> int:
    try:
        modified = system.modified(path)
    except NotImplementedError:
        return time.time_ns()
    return round(modified.timestamp() * 1e9) if isinstance(modified, datetime) else time.time_ns()


def _said(error: Exception, uri: Uri) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    first = str(error).strip().partition("\n")[0]
    for secret in uri.secrets:
        first = first.replace(secret, "***")
    return one_line(first or type(error).__name__)[:SAID]
