"""How much of an MR comes back: figure 6 of the paper, |cycled MR - MR| in percent of the MR's range.

The paper divides by the intensity at each place, so that its relative error is largest where there is hardly a signal.
Here it is divided by the range of the whole head, so that it has a mean. mr2ct-evaluate, mr2ct-export and mr2ct-run
measure with the same functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import PercentileWindow
from mr2ct.intensity import mr_limits

MR_RANGE = PercentileWindow(0.0, 99.5)  # of the voxels in the mask: a vessel's inflow must not set the scale
MOST = 95  # percent of the voxels, whose largest error is told beside the mean


def mr_range(mr: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The MR values between which it is drawn and measured, scanner units. mr, mask: (k, j, i), mask not empty.

    Raises VolumeError where the MR has no contrast.
    """
    return mr_limits(MR_RANGE, mr, mask)


def relative_error(cycled: NDArray[Any], mr: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float64]:
    """|cycled - MR| in percent of the width of the MR's range, any shape."""
    low, high = limits
    error: NDArray[np.float64] = np.abs(np.subtract(cycled, mr, dtype=np.float64)) * (100 / (high - low))
    return error
