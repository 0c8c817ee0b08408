"""Standard error without what ITK's C++ prints beside the one line that tells what is wrong with a file or a disk."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STDERR = 2  # its file descriptor


class _Away:
    """Where stderr goes meanwhile. blocks: how many, of all threads.  kept: a copy of what stderr was."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.blocks = 0
        self.kept = STDERR

    def begin(self) -> None:
        with self.lock:
            if self.blocks == 0:
                sys.stderr.flush()
                self.kept = os.dup(STDERR)
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), STDERR)
            self.blocks += 1

    def end(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0:
                os.dup2(self.kept, STDERR)
                os.close(self.kept)
                self.kept = STDERR


_AWAY = _Away()


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Turn file descriptor 2 away for the block; for as long as any thread is in one."""
    _AWAY.begin()
    try:
        yield
    finally:
        _AWAY.end()


class OwnStderr:
    """A text stream to the stderr that the user sees, also while it is turned away. What tqdm needs of one."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Write at once."""
        with _AWAY.lock:
            if self._is_native():
                os.write(_AWAY.kept, text.encode("utf-8", "backslashreplace"))
            else:  # Python's stream goes elsewhere and is never turned away
                sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
        if not self._is_native():
            sys.stderr.flush()

    def isatty(self) -> bool:
        """Whether somebody watches."""
        return os.isatty(_AWAY.kept) if self._is_native() else sys.stderr.isatty()

    def fileno(self) -> int:
        """For the width of the terminal."""
        return _AWAY.kept

    @staticmethod
    def _is_native() -> bool:
        try:
            return sys.stderr.fileno() == STDERR
        except (OSError, ValueError):
            return False


def note(line: str) -> None:
    """Tell the user a line that is no error."""
    OwnStderr().write(f"note: {line}\n")
