"""How long to wait before the next try, longer each time."""

from __future__ import annotations

import random
import time

FIRST_S = 1.0
DOUBLINGS = 30  # more would only overflow


class Backoff:
    """Doubles from FIRST_S to a cap, each wait a random part between half and all of it.

    The random part keeps several nodes that lost one destination from coming back to it at the same moment.
    """

    def __init__(self, most_seconds: float) -> None:
        self.most_seconds = most_seconds
        self.failures = 0
        self._due = 0.0

    def failed(self) -> float:
        """Note a failure; return the seconds to wait."""
        wait = min(self.most_seconds, FIRST_S * 2.0 ** min(self.failures, DOUBLINGS)) * random.uniform(0.5, 1.0)
        self.failures += 1
        self._due = time.monotonic() + wait
        return wait

    def worked(self) -> None:
        """Forget all failures."""
        self.failures, self._due = 0, 0.0

    @property
    def due(self) -> bool:
        """Whether the wait is over."""
        return time.monotonic() >= self._due
