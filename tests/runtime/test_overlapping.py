"""However a device interleaves its copies and computations, a batch comes back in order, and they do overlap."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mr2ct.overlapping import overlapped

Array = NDArray[np.float32]
PIXELS = 3
# One of the queues whose first work could be done now: "copies", "compute" or both.
Choose = Callable[[Sequence[str]], str]


class Event:
    """Done once the work that it was queued with is done."""

    done = False


@dataclass
class Work:
    """An entry of a queue: it begins when awaited is done."""

    do: Callable[[], None]
    awaited: Event
    done: Event


class Device:
    """Two queues, each done in its order and no sooner than it has to be or than `choose` wants.

    told: what was done, in the order it was done.  queued: the same in the order it was queued.
    """

    def __init__(self, choose: Choose, eager: Callable[[], bool]) -> None:
        self._queues: dict[str, deque[Work]] = {"copies": deque(), "compute": deque()}
        self._choose, self._eager = choose, eager
        self.told: list[str] = []
        self.queued: list[str] = []

    def queue(self, queue: str, name: str, do: Callable[[], None], awaited: Event | None = None) -> Event:
        ready = Event()
        ready.done = True

        def tell() -> None:
            do()
            self.told.append(name)

        self.queued.append(name)
        work = Work(tell, awaited or ready, Event())
        self._queues[queue].append(work)
        while self._eager() and self._step():
            pass
        return work.done

    def wait(self, event: Event) -> None:
        while not event.done:
            assert self._step(), f"the host waits for ever; done: {self.told}"

    def _step(self) -> bool:
        """Do one thing that can be done; False when there is none."""
        able = [name for name, queue in self._queues.items() if queue and queue[0].awaited.done]
        if not able:
            return False
        work = self._queues[self._choose(able)].popleft()
        work.do()
        work.done.done = True
        return True


def answer_to(given: Array) -> Array:
    """What the device computes; exact in float32 for small whole numbers."""
    return 2 * given + 1


class DeviceSlot:
    """Buffers as a GPU's: whatever comes next overwrites them, and what nobody wrote is NaN."""

    def __init__(self, device: Device, name: str, step: int) -> None:
        self._device, self._name = device, name
        self.host_in, self.host_out, self._device_in, self._device_out = (
            np.full((step, PIXELS), np.nan, np.float32) for _ in range(4)
        )
        self._loaded = self._computed = self._stored = Event()
        self._count, self.turn = 0, 0

    def load(self, piece: Array) -> None:
        self.turn += 1
        self._count = len(piece)
        self.host_in[...] = np.nan
        self.host_in[: self._count] = piece
        self._loaded = self._queue("copies", "load", partial(self._up, self._count))

    def compute(self) -> None:
        self._computed = self._queue("compute", "compute", partial(self._answer, self._count), self._loaded)

    def store(self) -> None:
        self._stored = self._queue("copies", "store", partial(self._down, self._count), self._computed)

    def take(self) -> Array:
        self._device.wait(self._stored)
        return self.host_out[: self._count]

    def _queue(self, queue: str, what: str, do: Callable[[], None], awaited: Event | None = None) -> Event:
        return self._device.queue(queue, f"{what} {self._name}{self.turn}", do, awaited)

    def _up(self, count: int) -> None:
        self._device_in[...] = np.nan
        self._device_in[:count] = self.host_in[:count]

    def _answer(self, count: int) -> None:
        self._device_out[...] = np.nan
        self._device_out[:count] = answer_to(self._device_in[:count])

    def _down(self, count: int) -> None:
        self.host_out[...] = np.nan
        self.host_out[:count] = self._device_out[:count]


def numbered(count: int) -> Array:
    """Entries that are all different."""
    return np.arange(count * PIXELS, dtype=np.float32).reshape(count, PIXELS)


def names(pieces: int) -> list[str]:
    """The pieces as the slots name them: a1 b1 a2 b2 ..."""
    return [f"{'ab'[index % 2]}{index // 2 + 1}" for index in range(pieces)]


def device_of(luck: random.Random) -> Device:
    """Does as much or as little ahead of time as luck has it, in any order that the queues leave open."""
    return Device(luck.choice, lambda: luck.random() < 0.5)


def slots_of(device: Device, step: int) -> list[DeviceSlot]:
    return [DeviceSlot(device, name, step) for name in "ab"]


@given(count=st.integers(1, 40), step=st.integers(1, 12), luck=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_batch_in_pieces_of_any_size_is_answered_in_order_however_the_device_gets_to_it(
    count: int, step: int, luck: random.Random
) -> None:
    batch = numbered(count)
    slots = slots_of(device_of(luck), step)
    answer = overlapped(slots, batch, step)
    np.testing.assert_array_equal(answer, answer_to(numbered(count)))
    np.testing.assert_array_equal(batch, numbered(count))
    assert answer.dtype == np.float32
    for other in (batch, *(buffer for slot in slots for buffer in (slot.host_in, slot.host_out))):
        assert not np.shares_memory(answer, other)


@given(counts=st.lists(st.integers(1, 20), min_size=2, max_size=4), luck=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_a_batch_finds_nothing_of_the_one_before_it(counts: list[int], luck: random.Random) -> None:
    slots = slots_of(device_of(luck), step=4)
    for turn, count in enumerate(counts):
        batch = numbered(count) + 1000 * turn
        np.testing.assert_array_equal(overlapped(slots, batch, 4), answer_to(batch))


@given(count=st.integers(1, 40), step=st.integers(1, 12), luck=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_two_pieces_are_under_way_at_most(count: int, step: int, luck: random.Random) -> None:
    under_way: list[int] = [0]

    class Counting(DeviceSlot):
        def load(self, piece: Array) -> None:
            under_way.append(under_way[-1] + 1)
            assert len(piece) <= step
            super().load(piece)

        def take(self) -> Array:
            under_way.append(under_way[-1] - 1)
            return super().take()

    device = device_of(luck)
    overlapped([Counting(device, name, step) for name in "ab"], numbered(count), step)
    assert max(under_way) == min(2, -(-count // step))
    assert under_way[-1] == 0


@pytest.mark.parametrize("pieces", range(1, 8))
def test_each_piece_is_loaded_before_the_result_of_the_one_ahead_is_fetched(pieces: int) -> None:
    device = Device(lambda able: able[0], lambda: False)
    overlapped(slots_of(device, 2), numbered(2 * pieces), 2)
    order = [entry for entry in device.queued if not entry.startswith("compute")]
    for ahead, behind in pairwise(names(pieces)):
        assert order.index(f"load {behind}") < order.index(f"store {ahead}")


@pytest.mark.parametrize("pieces", range(2, 8))
def test_while_a_slow_device_computes_a_piece_the_next_is_there_already(pieces: int) -> None:
    """All copies are done as soon as they can be, and computations only when nothing else is left to do."""
    device = Device(lambda able: "copies" if "copies" in able else "compute", lambda: False)
    overlapped(slots_of(device, 2), numbered(2 * pieces), 2)
    for ahead, behind in pairwise(names(pieces)):
        assert device.told.index(f"load {behind}") < device.told.index(f"compute {ahead}")


@pytest.mark.parametrize("pieces", range(3, 8))
def test_the_device_has_work_while_the_host_fills_a_piece(pieces: int) -> None:
    device = Device(lambda able: able[0], lambda: False)
    waiting: list[set[str]] = []

    class Looking(DeviceSlot):
        def load(self, piece: Array) -> None:
            waiting.append({entry for entry in device.queued if entry.startswith("compute")} - set(device.told))
            super().load(piece)

    overlapped([Looking(device, name, 2) for name in "ab"], numbered(2 * pieces), 2)
    assert waiting[2:] == [{f"compute {name}"} for name in names(pieces)[1:-1]]


@pytest.mark.parametrize("step", ["load", "compute", "store", "take"])
@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_a_slot_raises_comes_out(step: str, index: int, error: type[BaseException]) -> None:
    device = Device(lambda able: able[0], lambda: False)
    called: list[str] = []

    def fail(what: str) -> None:
        called.append(what)
        if what == step and called.count(what) == index + 1:
            raise error(f"{what} {index}")

    class Failing(DeviceSlot):
        def load(self, piece: Array) -> None:
            fail("load")
            super().load(piece)

        def compute(self) -> None:
            fail("compute")
            super().compute()

        def store(self) -> None:
            fail("store")
            super().store()

        def take(self) -> Array:
            fail("take")
            return super().take()

    with pytest.raises(error, match=f"{step} {index}"):
        overlapped([Failing(device, name, 2) for name in "ab"], numbered(10), 2)
    assert called[-1] == step  # and nothing was called after it
