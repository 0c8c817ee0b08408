"""A lock between processes: the operating system's own, which a process that is killed lets go."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mr2ct.errors import OutputError

POLL_S = 0.1


@contextmanager
def locked(file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a file, which is made when it is missing and stays there.

    on_wait: called once when another process holds it, before waiting for as long as it does; Ctrl-C ends the wait,
    and what on_wait raises comes out before it begins.
    Raises OutputError when the file cannot be opened.
    """
    try:
        handle = open(file, "ab")  # noqa: SIM115 - held below
    except OSError as error:
        raise OutputError(f"{file}: cannot write there: {error.strerror}") from error
    with handle:
        try:
            if not _try_lock(handle):
                on_wait()
                while not _try_lock(handle):
                    time.sleep(POLL_S)
        except OutputError:  # of on_wait
            raise
        except OSError as error:  # a network disk without locks
            raise OutputError(f"{file}: cannot be locked: {error.strerror}") from error
        yield


# Closing the file lets the lock go, on either system.
if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
