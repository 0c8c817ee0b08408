"""How much of the MR comes back: the row of figure 6 of the paper; what it measures is mr2ct.cycle_error's."""

from __future__ import annotations

from mr2ct_training.evaluation.metrics import Metric

CYCLE = Metric("cycled_mr_error_percent_in_mask", "cycled MR", "in mask", "% of MR range", "lower", 2)
