"""A training set of three drawn heads, its limits, and a patient."""

from __future__ import annotations

import pytest

from gate_heads import PATIENT, TRAINED_ON, drawn
from mr2ct.gate.limiting import limits_of
from mr2ct.gate.limits import GateLimits
from mr2ct.gate.measured import Measured
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.volume import Volume


@pytest.fixture(scope="session")
def trained_on() -> list[Measured]:
    """Three people, of voxels of 2.8 mm."""
    volumes = [drawn(head) for head in TRAINED_ON]
    return [measure(volume, head_mask(volume)) for volume in volumes]


@pytest.fixture(scope="session")
def limits(trained_on: list[Measured]) -> GateLimits:
    return limits_of(trained_on, fixed_units=False)


@pytest.fixture(scope="session")
def patient() -> Volume:
    """Somebody else, with whom nothing is wrong."""
    return drawn(PATIENT)
