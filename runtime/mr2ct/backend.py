"""What runs a model."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """An engine that is ready to run. Construction loads, builds and checks; there is no other step.

    description: engine, version and device, for people. batch: slices a call it does best with.
    """

    description: str
    batch: int

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 1, rows, columns) float32 in [-1, 1] to the same shape, dtype and range; 1 <= N <= the card's max_batch.

        The result is a new array that the caller owns; the input is not kept and not changed.
        """
        ...

    def close(self) -> None:
        """Give back what is held on the device; the backend runs no more. A second call does nothing."""
        ...
