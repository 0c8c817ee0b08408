"""Between the units of scanners and the [-1, 1] a network works in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import FixedWindow, MrWindow, PercentileWindow
from mr2ct.errors import VolumeError

AIR_HU = -1000  # what is written where there is no head; CONVENTIONS of synthetic CT, air by definition of the HU
HU_RANGE = (-1024, 3071)  # the 12 bits of a CT, DICOM PS3.3 C.8.2.1


def mr_limits(window: MrWindow, mr: NDArray[Any], head: NDArray[np.bool_]) -> tuple[float, float]:
    """The MR values that become -1 and 1.

    mr: (k, j, i) scanner units. head: (k, j, i). A fixed window is its own answer; a percentile window is taken over
    the head's voxels. Raises VolumeError when the two values are the same.
    """
    match window:
        case FixedWindow(low, high):
            return low, high
        case PercentileWindow(low, high):
            low_value, high_value = np.percentile(mr[head], (low, high))
            if not low_value < high_value:
                raise VolumeError(
                    f"the MR has no contrast: the {low:g} and {high:g} percentiles of its head are both {low_value:g}"
                )
            return float(low_value), float(high_value)


def to_network(mr: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """MR values to float32 in [-1, 1], clipped; in place."""
    low, high = limits
    np.subtract(mr, np.float32(low), out=mr)
    np.multiply(mr, np.float32(2.0 / (high - low)), out=mr)
    np.subtract(mr, np.float32(1.0), out=mr)
    return np.clip(mr, -1.0, 1.0, out=mr)


def to_hu(network: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """A network's [-1, 1] to HU, float32: the inverse of the CT window it was trained with; in place."""
    low, high = window_hu
    np.add(network, np.float32(1.0), out=network)
    np.multiply(network, np.float32((high - low) / 2), out=network)
    return np.add(network, np.float32(low), out=network)


def to_ct(hu: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.int16]:
    """HU, float32, to what a CT file holds: int16 rounded, air outside the head, within HU_RANGE. Both (k, j, i)."""
    np.clip(hu, *HU_RANGE, out=hu)
    ct = np.rint(hu, out=hu).astype(np.int16)
    ct[~head] = AIR_HU
    return ct
