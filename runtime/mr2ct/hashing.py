"""The sha256 of what was read and written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """Hex sha256 of the sorted hex sha256 of several files, a line each: the same for the same files by any name."""
    each = sorted(file_sha256(path) for path in paths)
    return hashlib.sha256("".join(f"{one}\n" for one in each).encode()).hexdigest()
