"""The folder of a CT series: whole or not at all, and nobody else's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import CTImageStorage

from mr2ct.dicom.uids import IMPLEMENTATION_CLASS_UID
from mr2ct.dicom.verbatim import ascii_elements
from mr2ct.errors import OutputError

# what mr2ct's own files have in their meta information, which whoever rewrites a file replaces by its own (PS3.10, 7.1)
OUR_META = ascii_elements(MediaStorageSOPClassUID=CTImageStorage, ImplementationClassUID=IMPLEMENTATION_CLASS_UID)
HEAD = 512  # bytes, which hold preamble and meta information


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when no CT series could be written as that folder.

    A new folder needs one to be in; one that is there must be empty or, with overwrite, hold a CT series that mr2ct
    wrote and nothing else.
    """
    try:
        there, is_folder, has_parent = folder.exists(), folder.is_dir(), folder.parent.is_dir()
        stranger = _stranger(folder) if is_folder and overwrite else None
        empty = is_folder and not any(folder.iterdir())
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error
    if there and not is_folder:
        raise OutputError(f"{folder}: is a file; a DICOM series is a folder of files, name another")
    if is_folder and not empty:
        if not overwrite:
            raise OutputError(
                f"{folder}: holds files already; --overwrite replaces a CT that mr2ct wrote, -o names another place"
            )
        if stranger is not None:
            raise OutputError(_not_ours(folder, stranger))
    if not has_parent:
        raise OutputError(f"{folder}: its folder does not exist; make it first")
    if not os.access(folder if empty else folder.resolve().parent, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: cannot write there: Permission denied")


@contextmanager
def whole_folder(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder whose files are in `folder` when the block succeeds, and nowhere when it does not.

    A new folder appears by one rename, its files all in it. One that was there and empty is kept, with its rights and
    whatever is mounted on it: files move into it one by one, when all are written. With overwrite the CT series that is
    there goes aside, the new one takes its place, and the old one is deleted; it comes back when that fails. Raises
    OutputError; Ctrl-C too leaves everything as it was.
    """
    check_folder(folder, overwrite=overwrite)
    target = folder.resolve()  # of a link, what it points to
    try:
        fill = target.is_dir() and not any(target.iterdir())
        holder = Path(
            tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".partial", dir=target if fill else target.parent)
        )
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error
    new, old = holder / "new", holder / "old"
    try:
        try:
            new.mkdir()
            yield new
            if fill:
                _fill(new, target, holder)
            else:
                _replace(new, target, old, folder, overwrite=overwrite)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{folder}: not written: {error.strerror or error}") from error
    finally:
        replaced = not new.exists()
        shutil.rmtree(new, ignore_errors=True)
        if replaced or not old.exists():  # else what was there could not be put back: it stays where it can be found
            shutil.rmtree(holder, ignore_errors=True)


def _fill(new: Path, target: Path, holder: Path) -> None:
    """Move the files of new into target, which is empty but for holder."""
    names = sorted(file.name for file in new.iterdir())
    if any(file != holder for file in target.iterdir()):
        raise OutputError(f"{target}: something else was written there in the meantime; name another folder")
    try:
        for name in names:
            os.rename(new / name, target / name)
    except BaseException:
        for name in names:
            if not (new / name).exists():
                (target / name).unlink(missing_ok=True)
        raise


def _replace(new: Path, target: Path, old: Path, folder: Path, *, overwrite: bool) -> None:
    """Rename new to target; what is there goes aside to old, and is looked at where nobody adds to it."""
    try:
        if overwrite and target.exists():
            os.rename(target, old)
            stranger = _stranger(old)
            if stranger is not None:
                raise OutputError(_not_ours(folder, stranger))
        os.rename(new, target)
    except BaseException:
        if old.exists() and new.exists():
            _put_back(old, target, folder)
        raise


def _put_back(old: Path, target: Path, folder: Path) -> None:
    try:
        os.rename(old, target)
    except OSError as error:  # another program took its place in these microseconds
        raise OutputError(f"{folder}: not written, and what was there is in {old} now: {error.strerror}") from error


def _stranger(folder: Path) -> str | None:
    """The name of something in the folder that is no CT slice of mr2ct's own writing; None where there is none."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            return path.name
        with open(path, "rb") as file:
            head = file.read(HEAD)
        if head[128:132] != b"DICM" or not all(element in head for element in OUR_META.values()):
            return path.name
    return None


def _not_ours(folder: Path, name: str) -> str:
    return f"{folder}: holds {name!r}, which mr2ct did not write, and stays as it is; -o names another place"
