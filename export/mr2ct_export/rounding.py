"""A convolution's numbers in eight bits, rounded so that what comes out changes least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct_export.calibration import Inputs
from mr2ct_export.to_int8 import STEPS, Quantised

# Of a channel's reach, beyond what was seen. Narrower ranges that cut off rare values are 3 % better in the middle of a
# head and 40 % worse at its ends, where values are rarest (benchmarks/LOG.md).
HEADROOM = 1.05
DAMPING = 0.01  # of the covariance's mean diagonal: what few slices did not show is not zero
BLOCK = 128  # columns of weights between two updates of all that follow

Array = NDArray[np.float64]


def quantised(weights: NDArray[np.float32], inputs: Inputs, *, centred: bool) -> Quantised:
    """Round a convolution. weights: (outputs, channels, rows, columns).  centred: whether inputs may be centred."""
    low, high = inputs.low.astype(np.float64), inputs.high.astype(np.float64)
    centre = (low + high) / 2 if centred else np.zeros_like(low)
    reach = np.maximum(high - centre, centre - low).clip(min=1e-6) * HEADROOM
    step = (reach / STEPS).astype(np.float32)
    of_each = np.repeat(step.astype(np.float64), weights[0, 0].size)
    scaled = weights.reshape(len(weights), -1) * of_each
    weight_step = (np.abs(scaled).max(axis=1) / STEPS).clip(min=1e-12)
    rounded = _rounded(scaled / weight_step[:, np.newaxis], inputs.covariance / np.outer(of_each, of_each))
    return Quantised(
        centre.astype(np.float32), step, rounded.reshape(weights.shape), weight_step.astype(np.float32)
    )  # fmt: skip


def _rounded(weights: Array, covariance: Array) -> NDArray[np.int8]:
    """Weights in steps, (outputs, n), to whole numbers, such that outputs over inputs of this covariance change least.

    Column after column is rounded, and its error made up for by the columns behind it: GPTQ, arXiv 2210.17323. On
    slices that were not seen, half of the error of rounding each weight by itself is left.
    """
    weights, n = weights.copy(), len(covariance)
    damping = DAMPING * np.trace(covariance) / n or 1.0  # of inputs that never change, all weights are alike
    onwards = np.linalg.cholesky(np.linalg.inv(covariance + damping * np.eye(n))).T  # row i: what makes up for i
    rounded = np.empty(weights.shape, np.int8)
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        errors = np.empty((len(weights), end - start))
        for i in range(start, end):
            rounded[:, i] = weights[:, i].round().clip(-STEPS, STEPS)
            errors[:, i - start] = (weights[:, i] - rounded[:, i]) / onwards[i, i]
            weights[:, i:end] -= np.outer(errors[:, i - start], onwards[i, i:end])
        weights[:, end:] -= errors @ onwards[start:end, end:]
    return rounded
