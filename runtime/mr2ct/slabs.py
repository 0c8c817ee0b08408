"""Work on slabs of a volume, one slab a core at a time.

Linear algebra libraries divide one product among all cores, and each then waits for the slowest: with a second program
on two cores such a product took 10 times as long (benchmarks/LOG.md). Here a product stays on its core, and the next
slab goes to whichever core is free.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from mr2ct.errors import DeviceError

SLABS_A_CORE = 4  # more than one, so that a core that is slow takes fewer
SMALL = 1 << 24  # operations, some milliseconds of one core: not worth other threads


def in_slabs(work: Callable[[slice], None], count: int, operations: float = math.inf) -> None:
    """Call work for neighbouring slices of range(count) that together are all of it, from several threads.

    work: writes to its own part of a result only; numpy lets other threads run while it computes. What it raises comes
    out. Linear algebra inside it runs on one core.  operations: about how many there are; few are done in one piece.
    """
    cores = available_cores() if operations > SMALL else 1
    step = count if cores == 1 else max(1, math.ceil(count / (cores * SLABS_A_CORE)))
    slabs = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    with linear_algebra_on_one_core():
        if len(slabs) == 1:
            work(slabs[0])
            return
        with ThreadPoolExecutor(cores) as pool:
            for _ in pool.map(work, slabs):
                pass


@contextmanager
def linear_algebra_on_one_core() -> Iterator[None]:
    """Limit the whole process. Whoever has several threads that call in_slabs holds it around them all.

    Else one thread's end would put back the limit that another has just begun with.
    """
    with _linear_algebra().limit(limits=1, user_api="blas"):
        yield


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allowed_threads(asked: int, say: Callable[[str], None]) -> int:
    """How many threads an engine gets that was asked for so many; say is told where that is fewer.

    Raises DeviceError for fewer than one.
    """
    if asked < 1:
        raise DeviceError(f"{asked} threads; give at least 1")
    cores = available_cores()
    if asked > cores:
        say(f"{asked} threads asked for, this machine lends {cores}: more would wait for each other, so {cores} it is")
    return min(asked, cores)


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries, so once
