"""Planes are upright, on the right side and in mm, however a file keeps its voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from mr2ct_training.evaluation import planes
from mr2ct_training.evaluation.planes import (
    ACROSS,
    CUTS,
    MARGIN_MM,
    TOWARDS,
    cut_hu,
    cut_mask,
    cut_values,
    view_of,
)

SIZES = (30, 36, 40)  # voxels along the patient's x, y, z
SPACING = (5.0, 4.5, 4.0)  # mm, likewise
BALL = (20.0, 10.0, 30.0)  # LPS mm: to the Left, Posterior, Superior of the middle


def grid_along(axes: NDArray[np.float64]) -> Grid:
    i, j, k = (int(np.abs(axes[:, a]).argmax()) for a in range(3))
    size, spacing = (SIZES[i], SIZES[j], SIZES[k]), (SPACING[i], SPACING[j], SPACING[k])
    return phantom.grid_around((0, 0, 0), size, spacing, axes)


def head(grid: Grid) -> NDArray[np.bool_]:
    """A ball of 55 mm around the origin."""
    x, y, z = phantom.positions(grid)
    inside: NDArray[np.bool_] = x * x + y * y + z * z < 55**2
    return inside


@pytest.mark.parametrize("axes", phantom.orientations(), ids=lambda axes: "".join(str(int(n)) for n in axes.ravel()))
def test_every_pixel_is_where_it_should_be_in_every_orientation(axes: NDArray[np.float64]) -> None:
    grid = grid_along(axes)
    view = view_of(head(grid), grid)
    ramps = [cut_values(Volume(c, grid), view, 0) for c in phantom.positions(grid)]
    for cut in CUTS:
        rows, columns = ramps[0][cut].shape
        across = ramps[ACROSS[cut]][cut]
        assert np.ptp(across) < 1e-3 and abs(across[0, 0]) < 5  # one plane, near the middle of the ball
        for (axis, sign), direction, count in zip(TOWARDS[cut], (1, 0), (columns, rows), strict=True):
            steps = np.diff(ramps[axis][cut], axis=direction)
            assert np.abs(steps - sign * planes.PIXEL_MM).max() < 1e-3
            assert (count - 1) * planes.PIXEL_MM == pytest.approx(110 + 2 * MARGIN_MM, abs=2 * max(SPACING))


@pytest.mark.parametrize(
    "axes",
    [phantom.SAGITTAL, -np.eye(3), phantom.oblique(9, -7, 11) @ phantom.SAGITTAL],
    ids=["sagittal", "turned", "oblique"],
)
def test_what_lies_left_posterior_superior_is_drawn_there(axes: NDArray[np.float64]) -> None:
    grid = grid_along(np.array(axes, float))
    x, y, z = phantom.positions(grid)
    ball = (x - BALL[0]) ** 2 + (y - BALL[1]) ** 2 + (z - BALL[2]) ** 2 < 14**2
    view = view_of(head(grid), grid)
    through = {cut: _through(plane, ACROSS[cut]) for cut, plane in view.items()}
    drawn = cut_hu(Volume(np.where(ball, 900, 0).astype(np.int16), grid), through)
    # mm to the right and downwards from the middle: 10 posterior, 20 to the patient's left, 30 up
    for cut, place in {"sagittal": (10, -30), "axial": (20, 10), "coronal": (20, -30)}.items():
        plane = drawn[cut]  # type: ignore[index]
        rows, columns = (c.mean() - (n - 1) / 2 for c, n in zip(np.nonzero(plane > 450), plane.shape, strict=True))
        assert np.array([columns, rows]) * planes.PIXEL_MM == pytest.approx(place, abs=3)


def _through(plane: Grid, axis: int) -> Grid:
    origin = list(plane.origin)
    origin[axis] = BALL[axis]
    return replace(plane, origin=(origin[0], origin[1], origin[2]))


def test_planes_lie_where_the_mask_fills_most_and_on_slices_of_the_volume() -> None:
    grid = phantom.grid_around((0, 0, 0), (40, 40, 40), (4.0, 4.0, 4.0))
    x, y, z = phantom.positions(grid)
    mask = (abs(x) < 50) & (abs(y) < 50) & (abs(z) < 50) & ((abs(x - 20) < 11) | (abs(y) < 20))
    view = view_of(mask, grid)
    assert view["sagittal"].origin[0] == pytest.approx(20, abs=3)
    index = (np.array(view["sagittal"].origin) - grid.origin) / 4.0
    assert index[0] == pytest.approx(round(index[0]))


def test_a_mask_of_one_voxel_has_planes() -> None:
    grid = grid_along(np.eye(3))
    mask = np.zeros(grid.shape, bool)
    mask[7, 8, 9] = True
    drawn = cut_mask(mask, grid, view_of(mask, grid))
    assert all(plane.dtype == bool and plane.any() and not plane.all() for plane in drawn.values())


def test_beyond_the_volume_there_is_air() -> None:
    grid = grid_along(np.eye(3))
    everywhere = np.ones(grid.shape, bool)
    plane = cut_hu(Volume(np.zeros(grid.shape, np.float32), grid), view_of(everywhere, grid))["axial"]
    assert plane.dtype == np.int16 and plane[0, 0] == -1000 and plane[plane.shape[0] // 2, plane.shape[1] // 2] == 0
