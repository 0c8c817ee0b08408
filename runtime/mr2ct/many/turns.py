"""One engine for several threads: a volume at a time."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.choosing import Choice


class StoppedError(BaseException):
    """The run ends, and this volume with it; no Exception, so that nobody takes it for a volume that failed."""


class Turns:
    """Who may use an engine. A volume keeps it for all of its slices.

    Were it given away after each call, volumes would end together, and the engine would wait while all are written.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.stop = threading.Event()  # set: every volume ends before its next call of the engine
        self.lock = threading.Lock()


class Turn:
    """A volume's use of the engine, from its first call to `end`; a Backend that waits for it.

    kept: until `end`, also when all slices are through: for a volume that opens another engine after this one.
    """

    def __init__(self, turns: Turns, *, kept: bool = False) -> None:
        self._turns, self._kept, self._holds = turns, kept, False
        self._backend: Backend = turns.choice.backend
        self.description, self.batch = self._backend.description, self._backend.batch

    @property
    def choice(self) -> Choice:
        """The engine, as this volume uses it."""
        return replace(self._turns.choice, backend=self)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run. Raises StoppedError where the run ends."""
        if not self._holds:
            self._turns.lock.acquire()
            self._holds = True
        if self._turns.stop.is_set():
            raise StoppedError
        return self._backend.run(batch)

    def on_slices(self, done: int, total: int) -> None:
        """Lets the next volume in, when all slices are through."""
        if done == total and not self._kept:
            self.end()

    def end(self) -> None:
        """Let the next volume in. A second call does nothing."""
        if self._holds:
            self._holds = False
            self._turns.lock.release()

    def close(self) -> None:
        """The engine stays open for the next volume."""
