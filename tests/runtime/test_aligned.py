"""Matrix products along the axes are ITK's linear interpolation, wherever two grids' axes are parallel."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import phantom
from mr2ct.aligned import LONGEST_AXIS, are_aligned, resample_aligned
from mr2ct.grid import Grid

Array = NDArray[np.float32]
SIZES = st.tuples(*[st.integers(1, 9)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 4)] * 3)
ORIENTATIONS = st.integers(0, 47)
ANGLES = st.floats(-30, 30)


def by_itk(voxels: Array, source: Grid, target: Grid, outside: float) -> Array:
    resampled = sitk.Resample(
        source.image(voxels), target.size, sitk.Transform(), sitk.sitkLinear, target.origin, target.spacing,
        target.direction, outside, sitk.sitkFloat32,
    )  # fmt: skip
    values: Array = sitk.GetArrayFromImage(resampled)
    return values


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    turned=st.tuples(ANGLES, ANGLES, ANGLES),
    shift=st.tuples(*[st.floats(-6, 6)] * 3),
)
def test_any_two_aligned_grids_give_what_itk_gives(
    data: st.DataObject, turned: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    """Of any of the 48 orientations against each other, and oblique in the patient."""
    both = [
        phantom.grid_around(
            centre,
            data.draw(SIZES),
            data.draw(SPACINGS),
            phantom.oblique(*turned) @ phantom.orientations()[orientation],
        )
        for centre, orientation in ((shift, data.draw(ORIENTATIONS)), ((0.0, 0.0, 0.0), data.draw(ORIENTATIONS)))
    ]
    source, target = both
    voxels = np.random.default_rng(0).uniform(-1000, 3000, source.shape).astype(np.float32)
    assert are_aligned(source, target)
    ours, theirs = (make(voxels, source, target, -5000) for make in (resample_aligned, by_itk))
    assert ours.dtype == np.float32
    edge = np.abs(ours - theirs) > 1  # a centre on the very end of the source's reach may be in or out
    np.testing.assert_allclose(ours[~edge], theirs[~edge], rtol=0, atol=2e-3)
    assert edge.sum() <= reaches_end(source, target)


def reaches_end(source: Grid, target: Grid) -> int:
    """How many target centres lie within a millionth of a voxel of the end of the source's reach."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in target.shape], indexing="ij")
    points = target.points(np.stack([i, j, k], axis=-1).astype(float))
    index = ((points - np.array(source.origin)) @ source.axes) / np.array(source.spacing)
    near = np.minimum(np.abs(index + 0.5), np.abs(index - (np.array(source.size) - 0.5))) < 1e-6
    return int(near.any(axis=-1).sum())


@pytest.mark.parametrize("orientation", range(0, 48, 7))
def test_onto_its_own_grid_nothing_changes(orientation: int) -> None:
    grid = phantom.grid_around((1, 2, 3), (5, 7, 6), (0.7, 1.3, 2.1), phantom.orientations()[orientation])
    voxels = np.random.default_rng(1).integers(-1000, 3000, grid.shape).astype(np.int16)
    same = resample_aligned(voxels, grid, grid, 0)
    assert np.array_equal(same, voxels)
    same[...] = 0  # and it is another array
    assert voxels.any()


def test_the_source_is_not_changed_and_may_be_of_any_type() -> None:
    source = phantom.grid_around((0, 0, 0), (6, 6, 6), (1, 1, 1))
    target = phantom.grid_around((0.25, 0, 0), (4, 4, 4), (1, 1, 1))
    for dtype in (np.uint8, np.int16, np.uint16, np.float32, np.float64):
        voxels = np.arange(216).reshape(6, 6, 6).astype(dtype)
        voxels.flags.writeable = False
        assert resample_aligned(voxels, source, target, 0)[0, 0, 0] == pytest.approx(voxels[1, 1, 1] + 0.25)


def test_grids_that_are_turned_or_too_long_are_not_taken() -> None:
    grid = phantom.grid_around((0, 0, 0), (6, 6, 6), (1, 1, 1))
    assert are_aligned(grid, grid)
    assert not are_aligned(grid, phantom.grid_around((0, 0, 0), (6, 6, 6), (1, 1, 1), phantom.oblique(0.01)))
    long = phantom.grid_around((0, 0, 0), (LONGEST_AXIS + 1, 2, 2), (1, 1, 1))
    assert not are_aligned(long, grid)
    assert are_aligned(grid, long)
