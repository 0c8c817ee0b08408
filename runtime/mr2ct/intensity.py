"""Between the units of scanners and the [-1, 1] a network works in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import FixedWindow, MrWindow, PercentileWindow
from mr2ct.errors import VolumeError
from mr2ct.slabs import in_slabs

AIR_HU = -1000  # what is written where there is no head; CONVENTIONS of synthetic CT, air by definition of the HU
HU_RANGE = (-1024, 3071)  # the 12 bits of a CT, DICOM PS3.3 C.8.2.1
CACHED = 1 << 17  # numbers that one step after the other is done with: half a megabyte
STEPS = 4  # about, of each of the functions below


def mr_limits(window: MrWindow, mr: NDArray[Any], head: NDArray[np.bool_]) -> tuple[float, float]:
    """The MR values that become -1 and 1.

    mr: (k, j, i) scanner units. head: (k, j, i). A fixed window is its own answer; a percentile window is taken over
    the head's voxels. Raises VolumeError when the two values are the same.
    """
    match window:
        case FixedWindow(low, high):
            return low, high
        case PercentileWindow(low, high):
            inside = mr[head]
            low_value, high_value = _percentile(inside, low), _percentile(inside, high)
            if not low_value < high_value:
                raise VolumeError(
                    f"the MR has no contrast: the {low:g} and {high:g} percentiles of its head are both {low_value:g}"
                )
            return low_value, high_value


def _percentile(values: NDArray[Any], percent: float) -> float:
    """np.percentile of values (n,): one place of the order at a time, for which NumPy has vector instructions."""
    place = percent / 100 * (len(values) - 1)
    below = math.floor(place)
    ordered = np.partition(values, below)
    value = float(ordered[below])
    above = float(ordered[below + 1 :].min()) if below + 1 < len(values) else value
    return value + (above - value) * (place - below)


def to_network(mr: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """MR values to float32 in [-1, 1], clipped; in place."""
    low, high = limits

    def work(part: slice) -> None:
        values = mr[part]
        np.subtract(values, np.float32(low), out=values)
        np.multiply(values, np.float32(2.0 / (high - low)), out=values)
        np.subtract(values, np.float32(1.0), out=values)
        np.clip(values, -1.0, 1.0, out=values)

    _by_parts(work, mr.shape)
    return mr


def to_hu(network: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """A network's [-1, 1] to HU, float32: the inverse of the CT window it was trained with; in place."""
    low, high = window_hu

    def work(part: slice) -> None:
        values = network[part]
        np.add(values, np.float32(1.0), out=values)
        np.multiply(values, np.float32((high - low) / 2), out=values)
        np.add(values, np.float32(low), out=values)

    _by_parts(work, network.shape)
    return network


def to_ct(hu: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.int16]:
    """HU, float32, to what a CT file holds: int16 rounded, air outside the head, within HU_RANGE. Both (k, j, i)."""
    ct = np.empty(hu.shape, np.int16)

    def work(part: slice) -> None:
        values = hu[part]
        np.clip(values, *HU_RANGE, out=values)
        np.rint(values, out=values)
        np.copyto(values, AIR_HU, where=~head[part])
        ct[part] = values

    _by_parts(work, hu.shape)
    return ct


def _by_parts(work: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    """Call work for neighbouring parts of the first axis that a core's cache holds, from several threads."""
    step = max(1, CACHED // max(1, math.prod(shape[1:])))

    def some(numbers: slice) -> None:
        for number in range(numbers.start, numbers.stop):
            work(slice(number * step, (number + 1) * step))

    in_slabs(some, max(1, math.ceil(shape[0] / step)), operations=STEPS * math.prod(shape))
