"""Files that are on the disk when a call returns: written, synced, renamed, and their folders synced too.

What a process has written survives its SIGKILL; what was synced survives a power cut. Whoever is told "stored" by DICOM
may delete its copy, so nothing is told before that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path


def write_synced(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file and sync it; its name is only durable after sync_folder. A file that fails is removed again."""
    try:
        with open(path, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def append_synced(path: Path, line: str) -> None:
    """Append one line and sync it. A kill may leave a part of the line behind, never damage those before it."""
    with open(path, "ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder; Windows has no such call and syncs them with the files."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Sync every file below a folder, and every folder."""
    for where, _, names in os.walk(folder):
        for name in names:
            with open(Path(where) / name, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(where))


def rename_synced(source: Path, target: Path) -> None:
    """Rename a file or folder within one file system: afterwards it is there, or it never happened."""
    source.rename(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for its owner only, with durable names."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
