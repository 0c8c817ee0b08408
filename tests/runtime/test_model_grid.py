"""The grid a model sees a head on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import phantom
from mr2ct.card import PAPER_SLICES
from mr2ct.grid import Grid
from mr2ct.model_grid import VERTEX_MARGIN_MM, from_model_grid, head_box, place, to_model_grid
from mr2ct.volume import Volume

FIELD_MM = 288 * 0.87


def ball(grid: Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
    """(k, j, i): an ellipsoid, LPS mm."""
    k, j, i = np.indices(grid.shape)
    offset = (grid.points(np.stack([i, j, k], axis=-1)) - centre) / radii
    return np.asarray((offset**2).sum(axis=-1) <= 1)


def test_the_papers_volume_keeps_its_183_slices_where_they_are() -> None:
    grid = phantom.paper_grid()
    model_grid = place(grid, ball(grid, (0, 10, 0), (75, 95, 110)), PAPER_SLICES).grid
    assert model_grid.size == (256, 256, 183)
    assert model_grid.spacing == pytest.approx((0.97875, 0.97875, 1.0))
    for k in (0, 91, 182):
        own = grid.points(np.array([0.0, 0.0, k]))[0]
        assert model_grid.points(np.array([0.0, 0.0, k]))[0] == pytest.approx(own, abs=1e-9)


def test_slices_are_sagittal_with_anterior_left_and_superior_up() -> None:
    grid = phantom.paper_grid()
    axes = place(grid, ball(grid, (0, 0, 0), (75, 95, 110)), PAPER_SLICES).grid.axes
    assert axes.T.tolist() == [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]
    assert np.linalg.det(axes) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(
    orientation=st.integers(0, 47),
    angles=st.tuples(*[st.floats(-30, 30)] * 3),
    spacing=st.tuples(*[st.floats(3, 7)] * 3),
    centre=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_the_grid_is_centred_on_the_head_and_covers_the_volume_from_left_to_right(
    orientation: int,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float],
) -> None:
    axes = phantom.oblique(*angles) @ phantom.orientations()[orientation]
    size = np.ceil(280 / np.array(spacing)).astype(int).tolist()
    grid = phantom.grid_around(centre, (size[0], size[1], size[2]), spacing, axes)
    x, y, z = centre
    head = ball(grid, (x, y + 9, z - 7), (70, 90, 100))
    placement = place(grid, head, PAPER_SLICES)
    assert placement.beyond == {}
    assert placement.grid.centre[1:] == pytest.approx([y + 9, z - 7], abs=max(spacing))
    k, j, i = np.nonzero(np.ones(grid.shape, bool))
    points = grid.points(np.column_stack([i, j, k])[::97])
    half = placement.grid.size[2] / 2
    assert np.abs(points[:, 0] - placement.grid.centre[0]).max() <= half + 0.05


@settings(max_examples=30, deadline=None)
@given(orientation=st.integers(0, 47), angles=st.tuples(*[st.floats(-40, 40)] * 3), seed=st.integers(0, 99))
def test_head_box_is_the_box_of_every_head_voxel(
    orientation: int, angles: tuple[float, float, float], seed: int
) -> None:
    axes = phantom.oblique(*angles) @ phantom.orientations()[orientation]
    grid = phantom.grid_around((4, 5, 6), (7, 9, 8), (1.5, 2.5, 2.0), axes)
    head = np.random.default_rng(seed).random(grid.shape) < 0.05
    head[3, 3, 3] = True
    points = grid.points(np.argwhere(head)[:, ::-1].astype(float))
    low, high = head_box(grid, head)
    assert low == pytest.approx(points.min(axis=0))
    assert high == pytest.approx(points.max(axis=0))


def test_a_tall_head_keeps_its_vertex_and_loses_neck() -> None:
    grid = phantom.grid_around((0, 0, 0), (60, 70, 100), (3.0, 3.0, 3.0), phantom.AXIAL)
    head = ball(grid, (0, 0, 0), (70, 90, 140))
    placement = place(grid, head, PAPER_SLICES)
    low, high = head_box(grid, head)
    top = placement.grid.centre[2] + FIELD_MM / 2
    assert top == pytest.approx(high[2] + VERTEX_MARGIN_MM)
    assert placement.beyond == {"inferior": pytest.approx(high[2] - low[2] + VERTEX_MARGIN_MM - FIELD_MM)}


def test_a_long_head_is_cut_on_both_sides_and_both_are_told() -> None:
    grid = phantom.grid_around((0, 0, 0), (60, 100, 70), (3.0, 3.0, 3.0), phantom.AXIAL)
    beyond = place(grid, ball(grid, (0, 0, 0), (70, 140, 90)), PAPER_SLICES).beyond
    assert set(beyond) == {"anterior", "posterior"}
    assert sum(beyond.values()) == pytest.approx(276 - FIELD_MM, abs=6)


def test_slices_of_the_models_own_spacing_are_not_blended() -> None:
    grid = phantom.paper_grid()
    voxels = np.zeros(grid.shape, np.float32)
    voxels[77] = 1000
    head = ball(grid, (0, 0, 0), (75, 95, 110))
    seen = to_model_grid(Volume(voxels, grid), place(grid, head, PAPER_SLICES).grid, outside=0)
    middle = seen[:, 100:150, 100:150]
    assert np.flatnonzero(middle.max(axis=(1, 2)) > 1).tolist() == [77]
    assert middle[77] == pytest.approx(1000, abs=0.1)


def test_fine_voxels_are_averaged_and_not_skipped() -> None:
    """A checkerboard of 0.3 mm is grey to a model with 1 mm pixels, whatever the phase."""
    grid = phantom.grid_around((0, 0, 0), (151, 150, 149), (0.3, 0.3, 0.3), phantom.AXIAL)
    voxels = (np.indices(grid.shape).sum(axis=0) % 2 * 1000).astype(np.int16)
    model_grid = place(grid, np.ones(grid.shape, bool), PAPER_SLICES).grid
    seen = to_model_grid(Volume(voxels, grid), model_grid, outside=500)
    assert np.abs(seen - 500).max() < 40
    plain = to_model_grid(Volume(np.full(grid.shape, 7, np.int16), grid), model_grid, outside=7)
    assert plain == pytest.approx(7)


@pytest.mark.parametrize("spacing", [0.3, 0.45, 1.0, 2.9])
def test_a_ramp_stays_a_ramp_at_any_spacing(spacing: float) -> None:
    """A linear function survives linear interpolation and block averages exactly: nothing moves, by any fraction."""
    n = int(100 / spacing)
    grid = phantom.grid_around((3, -4, 5), (n, n + 1, n - 1), (spacing,) * 3, phantom.AXIAL)
    k, j, i = np.indices(grid.shape, dtype=np.float32)
    x, y, z = np.moveaxis(grid.points(np.stack([i, j, k], axis=-1)), -1, 0)
    ramp = (2 * x + 3 * y - z).astype(np.float32)
    model_grid = place(grid, np.ones(grid.shape, bool), PAPER_SLICES).grid
    seen = to_model_grid(Volume(ramp, grid), model_grid, outside=-9999)
    kk, jj, ii = np.indices(model_grid.shape, dtype=np.float32)
    points = model_grid.points(np.stack([ii, jj, kk], axis=-1))
    well_inside = (np.abs(points - grid.centre) < 50 - 3 * spacing - 1).all(axis=-1)
    wanted = points @ np.array([2.0, 3.0, -1.0])
    assert np.abs(seen - wanted)[well_inside].max() < 0.01
    back = from_model_grid(wanted.astype(np.float32), model_grid, grid, outside=0)
    between = np.abs(x - model_grid.centre[0]) <= (model_grid.size[2] - 1) / 2  # of the outer slices
    assert np.abs(back - ramp)[between].max() < 0.01
    assert np.abs(back - ramp).max() < 1.01  # and at most half a slice, 0.5 mm x 2 a mm, held on to beyond
