"""Drawn heads before the gate, coarse enough to be measured in no time."""

from __future__ import annotations

import phantom
from mr2ct.volume import Volume

GRID = phantom.grid_around((0, 2, -16), (88, 88, 64), (2.8, 2.8, 2.8), phantom.SAGITTAL)


TRAINED_ON = (
    phantom.Head(person=1),
    phantom.Head(person=2, size=(1.04, 0.97, 1.02)),
    phantom.Head(person=3, size=(0.96, 1.03, 0.98), fat_mm=7.0),
)
PATIENT = phantom.Head(person=9, size=(1.01, 1.01, 0.99))


def drawn(head: phantom.Head) -> Volume:
    """A person, with noise and coil bias."""
    return phantom.draw(GRID, head, seed=head.person)[0]
