"""A checkpoint without a training, to try geometry and speed with."""

from __future__ import annotations

from mr2ct.card import PercentileWindow
from mr2ct_export.folder import UNTRAINED
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained

# No training, so no scanner's units to keep to; the brightest 0.5 % of a head is fat and flow.
ANY_SCANNER = PercentileWindow(0.0, 99.5)


def untrained_checkpoint(width: int, seed: int) -> Checkpoint:
    """A generator with random weights, the same for the same seed."""
    return Checkpoint(
        mr_to_ct=untrained(GeneratorConfig(width=width), seed).eval(),
        mr_window=ANY_SCANNER,
        training={"state": "untrained", "seed": seed},
        about={"name": f"untrained-{width}", "description": UNTRAINED, "data_source": "none", "authors": "mr2ct"},
    )
