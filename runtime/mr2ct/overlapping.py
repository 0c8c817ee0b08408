"""Pieces of a batch through two slots, so that one is copied while the other is computed.

A slot is a pair of host buffers and a pair of device buffers, and everything queued on it is done later, in the order
of two queues: one of copies, one of computations. What is queued here, and when the host waits:

    copies     load 0  load 1          store 0  load 2          store 1  load 3 ...
    compute            compute 0       compute 1                compute 2 ...
    host       fill 0  fill 1  wait for store 0, take 0, fill 2   wait for store 1, take 1, fill 3 ...

A load goes before the store of the piece ahead of it: behind it, it would wait for that piece's computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Slot(Protocol):
    """One of two sets of buffers. load, compute and store return at once; take waits."""

    def load(self, piece: NDArray[np.float32]) -> None:
        """Put a piece into the host buffer, and queue its way to the device."""
        ...

    def compute(self) -> None:
        """Queue the computation of what was loaded, after its load."""
        ...

    def store(self) -> None:
        """Queue the way of the result to the host buffer, after its computation."""
        ...

    def take(self) -> NDArray[np.float32]:
        """Wait for the store; the result, in the host buffer, until the next load."""
        ...


def overlapped(slots: Sequence[Slot], batch: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """A batch (N, ...) through the slots, at most step entries at once; the results, a new array of the same shape.

    slots: two. The last piece may be shorter. Whatever a slot raises comes out; what is queued then is still queued.
    """
    answer = np.empty_like(batch)
    pieces = [slice(start, min(start + step, len(batch))) for start in range(0, len(batch), step)]
    for index, piece in enumerate(pieces):
        slot = slots[index % 2]
        if index >= 2:
            answer[pieces[index - 2]] = slot.take()
        slot.load(batch[piece])
        slot.compute()
        if index >= 1:
            slots[(index - 1) % 2].store()
    last = len(pieces) - 1
    slots[last % 2].store()
    for index in range(max(last - 1, 0), last + 1):
        answer[pieces[index]] = slots[index % 2].take()
    return answer
