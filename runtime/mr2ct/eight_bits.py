"""Weights in eight bits, as mr2ct-export packs them: whole numbers of a step for each channel, unpacked on loading."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNPACK = ".unpacked"  # ends the name of the graph's node, a DequantizeLinear, that makes floating-point weights of them


def unpacked(whole: NDArray[Any], step: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """Whole numbers, int8, times the steps, (channels,), of their channels along an axis: exact, as steps are short."""
    each = [1] * whole.ndim
    each[axis] = -1
    weights: NDArray[np.float32] = whole.astype(np.float32) * step.astype(np.float32).reshape(each)
    return weights
