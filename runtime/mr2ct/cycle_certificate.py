"""Is an engine of ct_to_mr equal to PyTorch, in percent of the MR window?"""

from __future__ import annotations

import math

import numpy as np

from mr2ct.backend import Backend
from mr2ct.cycle_card import CycleCertificate
from mr2ct.cycle_error import relative_error
from mr2ct.errors import ModelError
from mr2ct.model import REFERENCE, Reference

WINDOW = (-1.0, 1.0)  # of the network
# Inside the head, percent, by precision. A check is told to a tenth of a percent, of errors of some percent: fp32 may
# move no voxel's by more, what rounds may not move the mean by more; the mean of |engine - PyTorch| bounds that. And by
# 1 % the voxels of a map look alike. (OpenVINO on a little trained ct_to_mr: fp32 max 0.04, bf16 mean 0.06, p99.9 0.5.)
TOLD_PERCENT = 0.1
_ROUNDED = {"mean_percent": TOLD_PERCENT, "p99_9_percent": 1.0}
BUDGETS_PERCENT: dict[str, dict[str, float]] = {
    "fp32": {"max_percent": TOLD_PERCENT},
    "fp16": _ROUNDED,
    "bf16": _ROUNDED,
}


def certify_way_back(backend: Backend, reference: Reference, *, file: str, precision: str) -> CycleCertificate:
    """Run PyTorch's synthetic CT of the reference slices through an engine of ct_to_mr; see CycleCertificate.

    Returns a certificate that may have failed (`passed`); an engine that answers NaN has errors of infinity.
    Raises ModelError when the reference has no head, or not what PyTorch answers.
    """
    if reference.cycled_mr is None:
        raise ModelError(f"{file}: {REFERENCE} does not hold what PyTorch makes of it; export again with --cycle-check")
    if not reference.head.any():
        raise ModelError(f"{file}: the reference slices hold no head to measure in")
    answer = np.concatenate([backend.run(one[np.newaxis]) for one in reference.synthetic_ct])
    error = relative_error(answer, reference.cycled_mr, WINDOW)[:, 0][reference.head]
    if np.isfinite(error).all():
        mean, p99_9, most = float(error.mean()), float(np.percentile(error, 99.9)), float(error.max())
    else:
        mean = p99_9 = most = math.inf
    return CycleCertificate(
        file=file,
        precision=precision,
        engine=backend.description,
        slices=len(reference.mr),
        voxels=int(reference.head.sum()),
        mean_percent=mean,
        p99_9_percent=p99_9,
        max_percent=most,
        budget_percent=BUDGETS_PERCENT[precision],
    )
