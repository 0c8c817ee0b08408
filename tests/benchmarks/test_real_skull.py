"""A skull that is where it should be agrees, wherever its own grid begins; one that was moved is found again."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from mr2ct.grid import Grid
from mr2ct.volume import Volume
from real_skull import agreement, best_shift, on_grid

SPACING = (1.0, 0.9, 0.8)  # of k, j, i


def shell() -> np.ndarray:
    k, j, i = (mm * (np.arange(60) - 29.5) for mm in SPACING)
    radius = np.sqrt(k[:, None, None] ** 2 + j[:, None] ** 2 + i**2)
    inside: np.ndarray = (radius > 14) & (radius < 19)
    return inside


def test_the_same_agrees_and_a_shift_is_as_many_millimetres() -> None:
    same = agreement(shell(), shell(), SPACING)
    assert same == {"bone_dice": 1, "surface_mean_mm": 0, "surface_p95_mm": 0}
    moved = agreement(shell(), np.roll(shell(), 3, 0), SPACING)
    assert 0.5 < moved["bone_dice"] < 0.9
    assert 0.5 < moved["surface_mean_mm"] < moved["surface_p95_mm"] <= 3.001


def test_the_shift_that_fits_best_is_found_along_every_axis() -> None:
    assert best_shift(shell(), np.roll(shell(), (2, -3, 4), (0, 1, 2)), SPACING) == (-2, 3, -4)
    assert best_shift(shell(), shell(), SPACING) == (0, 0, 0)


def test_a_mask_that_is_stored_the_other_way_round_lies_where_it_was() -> None:
    turned = Grid((60, 60, 60), (0.8, 0.9, 1.0), (10.0, 20.0, 30.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    mask = shell() & (np.arange(60) < 20)
    mr = Volume(np.zeros((60, 60, 60), np.float32), turned)
    stored = sitk.DICOMOrient(turned.image(mask.astype(np.uint8)), "LPS")
    assert not np.array_equal(sitk.GetArrayFromImage(stored) > 0, mask)
    assert np.array_equal(on_grid(stored, mr), mask)
