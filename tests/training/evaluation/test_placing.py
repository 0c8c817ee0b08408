"""Same voxels or not, and one volume laid onto another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import phantom
from mr2ct.volume import Volume
from mr2ct_training.evaluation.placing import difference, laid_onto, mask_laid_onto

GRID = phantom.grid_around((0, 0, 0), (20, 24, 18), (4.0, 3.0, 5.0), phantom.SAGITTAL)


def test_grids_are_the_same_within_a_hundredth_of_a_millimetre() -> None:
    x, y, z = GRID.origin
    assert difference(GRID, GRID) == ""
    assert difference(GRID, replace(GRID, origin=(x, y, z + 0.009))) == ""
    assert difference(GRID, replace(GRID, origin=(x, y, z + 0.5))) == "voxels up to 0.50 mm away"
    # 23 steps of 0.001 mm
    assert difference(GRID, replace(GRID, spacing=(4.0, 3.001, 5.0))) == "voxels up to 0.02 mm away"
    assert difference(GRID, replace(GRID, size=(20, 24, 19))) == "20 x 24 x 18 voxels, not 20 x 24 x 19"


def test_the_same_size_the_other_way_round_is_another_grid() -> None:
    i, j, k = GRID.axes.T
    turned = phantom.grid_around((0, 0, 0), GRID.size, GRID.spacing, np.column_stack([-i, -j, k]))
    assert difference(GRID, turned).startswith("voxels up to ")


def test_a_ct_laid_onto_another_grid_has_its_values_there_and_air_beyond() -> None:
    k, j, i = np.indices(GRID.shape)
    points = GRID.points(np.stack([i, j, k], axis=-1).astype(float))
    ct = Volume((2 * points[..., 0] - points[..., 1] + 30).astype(np.float32), GRID)
    onto = phantom.grid_around((0, 0, 0), (60, 20, 20), (2.0, 2.5, 3.0))
    laid = laid_onto(ct, onto)
    k, j, i = np.indices(onto.shape)
    x, y, z = np.moveaxis(onto.points(np.stack([i, j, k], axis=-1).astype(float)), -1, 0)
    within = (abs(x) < 42) & (abs(y) < 37) & (abs(z) < 34)
    assert laid.grid == onto and within.any() and (laid.voxels[abs(x) > 46] == -1000).all()
    assert laid.voxels[within] == pytest.approx((2 * x - y + 30)[within], abs=1e-3)


def test_a_mask_is_laid_where_at_least_half_of_it_falls() -> None:
    mask = np.zeros(GRID.shape, bool)
    mask[:, :, :10] = True
    assert mask_laid_onto(mask, GRID, GRID) is mask
    half = replace(GRID, spacing=(2.0, 3.0, 5.0), size=(39, 24, 18))
    laid = mask_laid_onto(mask, GRID, half)
    assert laid[0, 0, :].nonzero()[0].tolist() == list(range(20))  # voxel 19 lies half-way
