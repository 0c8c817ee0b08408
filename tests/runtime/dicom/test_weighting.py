"""Protocols as scanners name and time them are told apart."""

from __future__ import annotations

import pytest

from mr2ct.dicom.weighting import t1_weighted


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "sequence", "description", "expected"),
    [
        (2.52, 2000.0, 900.0, ("GR", "IR"), "SAG MPRAGE 220 FOV", True),
        (3.2, 8.2, 450.0, ("GR",), "Sag FSPGR BRAVO", True),
        (4.6, 9.9, None, ("GR",), "3D T1 TFE", True),
        (3.7, 8.1, None, ("GR",), "", True),
        (9.0, 550.0, None, ("SE",), "ax", True),
        (24.0, 2500.0, 860.0, ("SE", "IR"), "T1 FLAIR", True),
        (None, None, None, (), "t1_fl3d_sag", True),
        (96.0, 5200.0, None, ("SE",), "AX T2 TSE", False),
        (12.0, 2500.0, None, ("SE",), "PD", False),
        (90.0, 9000.0, 2500.0, ("SE", "IR"), "FLAIR", False),
        (388.0, 5000.0, 1800.0, ("SE", "IR"), "SPACE", False),
        (28.0, 3700.0, 160.0, ("SE", "IR"), "ax", False),
        (20.0, 28.0, None, ("GR",), "", False),
        (3.6, 22.0, None, ("GR",), "TOF 3D multi-slab", False),
        (30.0, 2000.0, None, ("EP",), "rest", False),
        (None, None, None, (), "DTI 64", False),
        (None, None, None, (), "brain", None),
        (5.0, None, None, ("GR",), "brain", None),
    ],
)
def test_protocols(
    echo: float | None,
    repetition: float | None,
    inversion: float | None,
    sequence: tuple[str, ...],
    description: str,
    expected: bool | None,
) -> None:
    assert t1_weighted(echo, repetition, inversion, sequence, description) is expected
