"""Is an engine equal to PyTorch, in Hounsfield units?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.errors import ModelError
from mr2ct.model import Reference

# Inside the head, HU, by precision. fp32: nothing that float32 rounding does not explain. fp16: far under a CT's noise
# (a few HU). bf16, int8: about that noise at the worst of a thousand voxels.
BUDGETS_HU: dict[str, dict[str, float]] = {
    "fp32": {"max_hu": 0.1},
    "fp16": {"mean_hu": 0.25, "p99_9_hu": 5.0},
    "bf16": {"mean_hu": 1.0, "p99_9_hu": 20.0},
    "int8": {"mean_hu": 1.0, "p99_9_hu": 20.0},
}


def certify(
    backend: Backend, reference: Reference, *, file: str, precision: str, ct_window_hu: tuple[float, float]
) -> Certificate:
    """Run the reference slices through an engine and measure how far it is from PyTorch fp32.

    Returns a certificate that may have failed (`passed`); an engine that answers NaN has errors of infinity.
    """
    if not reference.head.any():
        raise ModelError(f"{file}: the reference slices hold no head to measure in")
    answer = np.concatenate([backend.run(one[np.newaxis]) for one in reference.mr])
    error = hu_difference(answer, reference.synthetic_ct, ct_window_hu)[:, 0][reference.head]
    if np.isfinite(error).all():
        mean, p99_9, most = float(error.mean()), float(np.percentile(error, 99.9)), float(error.max())
    else:
        mean = p99_9 = most = math.inf
    return Certificate(
        file=file,
        precision=precision,
        engine=backend.description,
        slices=len(reference.mr),
        voxels=int(reference.head.sum()),
        mean_hu=mean,
        p99_9_hu=p99_9,
        max_hu=most,
        budget_hu=BUDGETS_HU[precision],
    )


def hu_difference(
    one: NDArray[np.float32], other: NDArray[np.float32], ct_window_hu: tuple[float, float]
) -> NDArray[np.float64]:
    """|HU(one) - HU(other)|, float64, of two network outputs in [-1, 1] of the same shape."""
    low, high = ct_window_hu
    difference: NDArray[np.float64] = np.abs(one.astype(np.float64) - other) * ((high - low) / 2)
    return difference
