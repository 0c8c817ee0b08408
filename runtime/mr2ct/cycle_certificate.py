"""Is an engine of ct_to_mr equal to PyTorch, in percent of the MR window?"""

from __future__ import annotations

import math

import numpy as np

from mr2ct.backend import Backend
from mr2ct.card import PAPER_CT_WINDOW_HU
from mr2ct.certificate import BUDGETS_HU
from mr2ct.cycle_card import CycleCertificate
from mr2ct.cycle_error import relative_error
from mr2ct.errors import ModelError
from mr2ct.model import REFERENCE, Reference

WINDOW = (-1.0, 1.0)  # of the network
# The two networks are alike, so both are held to the same part of their window: fp32's 0.1 of the paper's 2000 HU are
# 0.005 %. The widest, bf16's mean of 1 HU, is 0.05 %: half of the last digit that a cycle check is told with.
BUDGETS_PERCENT: dict[str, dict[str, float]] = {
    precision: {
        name.replace("_hu", "_percent"): hu * 100 / (PAPER_CT_WINDOW_HU[1] - PAPER_CT_WINDOW_HU[0])
        for name, hu in budget.items()
    }
    for precision, budget in BUDGETS_HU.items()
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
