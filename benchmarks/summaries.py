"""What is left of many measured numbers: percentiles, and the straight line through points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile, in the values' own unit."""
    found = np.percentile(np.asarray(values, np.float64), (50, 90, 99))
    return dict(zip(("p50", "p90", "p99"), found.tolist(), strict=True))


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, float | None]:
    """The least-squares line y = a + b x, and R^2, the share of y's variance that it explains.

    R^2 is None where all y are alike. Raises ValueError for points that lie at one x.
    """
    if len(set(x)) < 2:
        raise ValueError(f"a line needs points at two places at least, not at {sorted(set(x))}")
    across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    b, a = np.polyfit(across, up, 1)
    residual, spread = ((up - a - b * across) ** 2).sum(), ((up - up.mean()) ** 2).sum()
    return {"a": float(a), "b": float(b), "r2": float(1 - residual / spread) if spread > 0 else None}
