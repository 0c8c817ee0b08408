"""Jumps between sagittal slices, in whatever order a file keeps them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom
from mr2ct.grid import Grid
from mr2ct_training.evaluation.continuity import continuity, sagittal_axis

SIZES = {0: 20, 1: 14, 2: 17}  # voxels along the patient's x, y, z
SPACING = {0: 2.0, 1: 3.0, 2: 2.5}


def grid_along(axes: NDArray[np.float64]) -> Grid:
    """A grid of the same voxels whatever the order of its axes; its middle, a border of slices, is x = 1."""
    nearest = [int(np.abs(axes[:, a]).argmax()) for a in range(3)]
    i, j, k = nearest
    spacing = (SPACING[i], SPACING[j], SPACING[k])
    return phantom.grid_around((1.0, 0, 0), (SIZES[i], SIZES[j], SIZES[k]), spacing, axes)


def x_of(grid: Grid) -> NDArray[np.float64]:
    k, j, i = np.indices(grid.shape)
    x: NDArray[np.float64] = grid.points(np.stack([i, j, k], axis=-1).astype(float))[..., 0]
    return x


@pytest.mark.parametrize("axes", phantom.orientations(), ids=lambda axes: "".join(str(int(n)) for n in axes.ravel()))
def test_a_jump_is_found_where_it_is_in_every_orientation(axes: NDArray[np.float64]) -> None:
    grid = grid_along(axes)
    x = x_of(grid)
    reference = 3 * x  # 6 HU from slice to slice
    synthetic = reference + np.where(x > 7, 50, 0)  # slices lie at ..., 6, 8, ... mm
    found = continuity(synthetic, reference, np.ones(grid.shape, bool), grid)
    assert sagittal_axis(grid) == 2 - int(np.abs(axes[0]).argmax())
    assert len(found.x_mm) == 19 and list(found.x_mm) == pytest.approx(sorted(found.x_mm))
    assert found.largest_excess == pytest.approx((50, 7))
    assert found.largest_step == pytest.approx((50, 7))
    assert found.ratio == pytest.approx((18 * 6 + 56) / (19 * 6))
    assert found.values() == pytest.approx(
        {"jump_ratio_in_mask": 164 / 114, "jump_excess_hu_in_mask": 50, "step_hu_in_mask": 50}
    )


def test_a_tilted_volume_is_measured_along_its_own_nearest_axis() -> None:
    grid = grid_along(phantom.oblique(10, -8, 12) @ phantom.SAGITTAL)
    assert sagittal_axis(grid) == 0
    reference = np.random.default_rng(1).normal(0, 20, grid.shape)
    synthetic = reference.copy()
    synthetic[:5] -= 80  # the slices of SAGITTAL run from left to right: the five leftmost
    found = continuity(synthetic, reference, np.ones(grid.shape, bool), grid)
    middle = np.array([(grid.size[0] - 1) / 2, (grid.size[1] - 1) / 2, 4.5])
    assert found.largest_step == pytest.approx((-80, grid.points(middle)[0]))
    assert found.values()["step_hu_in_mask"] == pytest.approx(80)


def test_what_is_as_it_should_be_has_a_ratio_of_one_and_what_is_smooth_less() -> None:
    grid = grid_along(np.eye(3))
    reference = np.random.default_rng(2).normal(0, 20, grid.shape)
    everywhere = np.ones(grid.shape, bool)
    same = continuity(reference, reference, everywhere, grid)
    assert same.ratio == 1 and same.largest_excess == (0, same.x_mm[0])
    smooth = continuity(reference / 4, reference, everywhere, grid)
    assert smooth.ratio == pytest.approx(0.25)


def test_only_voxels_of_the_mask_in_both_slices_count() -> None:
    grid = grid_along(np.eye(3))
    reference = x_of(grid)
    synthetic, mask = reference.copy(), np.zeros(grid.shape, bool)
    mask[:, 2:9, :] = True
    synthetic[:, 9:, ::2] = 3000
    mask[:, :, -1] = False
    mask[4, 4, -1] = True  # 1 of 119 voxels: too few for a pair of slices to count
    synthetic[4, 4, -1] = 3000
    found = continuity(synthetic, reference, mask, grid)
    assert len(found.x_mm) == 18 and found.ratio == pytest.approx(1)


def test_without_two_slices_in_the_mask_nothing_is_said() -> None:
    grid = grid_along(np.eye(3))
    mask = np.zeros(grid.shape, bool)
    mask[:, :, 3] = True
    found = continuity(x_of(grid), x_of(grid), mask, grid)
    assert found.x_mm == () and found.ratio is None and found.largest_excess is None
    assert set(found.values().values()) == {None}
    flat = continuity(x_of(grid), np.zeros(grid.shape), np.ones(grid.shape, bool), grid)
    assert flat.ratio is None and flat.largest_excess is not None
