"""Faults of a synthetic CT are found where they were put."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from head_faults import CENTRE_MM, _vault, against, slice_to_slice

SIZE = 104
SCALP, SKULL, BRAIN = 48, 42, 35  # radii, mm


def ball(size: int = SIZE, larger: float = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """HU of a head that is a ball, and mm from its middle."""
    z, y, x = (axis - (size - 1) / 2 for axis in np.ogrid[:size, :size, :size])
    r = np.sqrt(z**2 + y**2 + x**2) / larger
    hu = np.select([r < BRAIN, r < SKULL, r < SCALP], [35.0, 1100.0, 40.0], -1000.0)
    return hu.astype(np.float32), (r * larger).astype(np.float32)


def test_the_true_ct_has_no_fault_and_bone_in_the_brain_or_a_hole_is_one() -> None:
    ct, r = ball()
    none = against(ct, ct)
    assert (none["mae_hu"], none["inside_skull_mae_hu"], none["bone_dice"]) == (0, 0, 1)
    assert (none["inside_skull_bone_percent"], none["vault_missed_percent"]) == (0, 0)
    ventricle = np.where(r < 10, np.float32(900), ct)
    assert against(ventricle, ct)["inside_skull_bone_percent"] == pytest.approx(100 * (10 / 33) ** 3, rel=0.15)
    left = np.where((np.arange(SIZE) < SIZE // 2)[:, None, None] & (ct > 250), np.float32(40), ct)
    assert against(left, ct)["vault_missed_percent"] == pytest.approx(50, abs=3)


def test_a_hole_in_the_vault_has_its_width() -> None:
    ct, r = ball(150, 1.5)
    vertex = int(np.flatnonzero((ct > -500).any(axis=(0, 2)))[0])
    closed = _vault(ct, ct > -500, vertex)
    assert (closed["rays_without_bone_percent"], closed["largest_hole_mm"]) == (0, 0)
    assert closed["bone_median_mm"] == pytest.approx(1.5 * (SKULL - BRAIN), rel=0.15)
    j = np.arange(150)[None, :, None]
    across = np.sqrt(np.maximum(r**2 - (j - 74.5) ** 2, 0))
    hole = np.where((j < vertex + CENTRE_MM // 2) & (across < 15) & (ct > 250), np.float32(40), ct)
    assert _vault(hole, ct > -500, vertex)["largest_hole_mm"] == pytest.approx(30, rel=0.2)


def test_slices_that_jump_are_told_from_anatomy_that_changes() -> None:
    ct, _ = ball()
    assert slice_to_slice(ct, ct > -500) == pytest.approx(1, abs=0.02)
    jumps = ct + 60 * (np.arange(SIZE) % 2)[:, None, None]
    assert slice_to_slice(jumps.astype(np.float32), ct > -500) > 1.5
    turned = np.moveaxis(jumps, 0, 2).astype(np.float32)
    assert slice_to_slice(turned, np.moveaxis(ct > -500, 0, 2)) < 0.7
