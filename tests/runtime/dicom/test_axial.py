"""Axes in another order and direction: every voxel keeps its patient coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from dicom_drawn import voxel_places
from mr2ct.dicom.axial import axial, nearest, reorderings
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from runtime.volumes import GRIDS, ORIENTATIONS, Array, grid_of, quick, turned


def numbered(grid: Grid) -> Volume:
    """A volume in which no two voxels are alike."""
    return Volume(np.arange(np.prod(grid.size), dtype=np.int16).reshape(grid.shape), grid)


@pytest.mark.parametrize("axes", ORIENTATIONS, ids=str)
def test_each_of_48_orientations_becomes_axial_and_no_voxel_moves(axes: Array) -> None:
    volume = numbered(grid_of((4, 3, 2), (0.7, 1.1, 1.9), (-17.5, 3.25, 91.0), axes))
    slices = axial(volume)
    assert np.array_equal(slices.grid.axes, np.eye(3))
    assert np.abs(voxel_places(slices) - voxel_places(volume)).max() < 1e-12


@quick
@given(GRIDS)
def test_any_oblique_grid_is_right_handed_after_it_and_no_voxel_moves(grid: Grid) -> None:
    volume = numbered(grid)
    slices = axial(volume)
    assert np.linalg.det(slices.grid.axes) == pytest.approx(1)
    assert np.abs(voxel_places(slices) - voxel_places(volume)).max() < 1e-9


@quick
@given(GRIDS)
def test_no_quarter_turn_would_bring_the_axes_nearer_to_left_posterior_superior(grid: Grid) -> None:
    axes = axial(numbered(grid)).grid.axes
    for quarter in ORIENTATIONS:
        if np.linalg.det(quarter) > 0:
            assert np.trace(axes @ quarter) <= np.trace(axes) + 1e-5


def test_rounding_does_not_choose_between_two_orders_that_are_as_near() -> None:
    orders = set()
    for noise in np.linspace(-1e-9, 1e-9, 9):
        grid = grid_of((2, 2, 2), (1, 1, 1), (0, 0, 0), turned(np.pi / 4 + noise, 0, 0))
        orders.add(nearest(grid, np.eye(3), handed=True))
    assert len(orders) == 1


def test_the_voxels_are_a_view_and_nothing_is_copied() -> None:
    volume = numbered(grid_of((4, 3, 2), (1, 1, 1), (0, 0, 0), ORIENTATIONS[30]))
    assert np.shares_memory(axial(volume).voxels, volume.voxels)


def test_there_are_48_reorderings_and_the_first_changes_nothing() -> None:
    every = list(reorderings())
    grid = grid_of((4, 3, 2), (1, 2, 3), (5, 6, 7), turned(0.1, 0.2, 0.3))
    assert len(set(every)) == 48
    assert every[0].grid(grid) == grid
