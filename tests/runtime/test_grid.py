"""Where voxels lie."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

import phantom
from mr2ct.grid import Grid
from mr2ct.volume import Volume

place = st.tuples(*[st.floats(-300, 300)] * 3)


@given(
    orientation=st.integers(0, 47),
    angles=st.tuples(*[st.floats(-45, 45)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    centre=place,
    index=st.tuples(*[st.floats(-5, 40)] * 3),
)
def test_points_are_where_itk_has_them(
    orientation: int,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float],
    index: tuple[float, float, float],
) -> None:
    axes = phantom.oblique(*angles) @ phantom.orientations()[orientation]
    grid = phantom.grid_around(centre, (9, 10, 11), spacing, axes)
    image = grid.image(np.zeros(grid.shape, np.uint8))
    assert Grid.of(image) == grid
    itk = image.TransformContinuousIndexToPhysicalPoint(index)
    assert grid.points(np.array(index)) == pytest.approx(itk, abs=1e-9)
    assert grid.centre == pytest.approx(centre, abs=1e-9)


def test_extent_is_the_box_around_the_outer_faces() -> None:
    grid = phantom.grid_around((0, 0, 0), (10, 20, 30), (1.0, 2.0, 3.0), np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]))
    assert grid.extent.tolist() == [90, 10, 40]


def test_voxels_of_another_shape_are_no_volume() -> None:
    grid = phantom.grid_around((0, 0, 0), (2, 3, 4), (1, 1, 1))
    with pytest.raises(ValueError, match="do not lie on a grid"):
        Volume(np.zeros((2, 3, 4)), grid)


def test_a_volume_and_an_itk_image_are_the_same_thing() -> None:
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    image.SetSpacing((0.3, 1.7, 2.1))
    image.SetOrigin((-5.5, 3.25, 7))
    again = Volume.of(image).image()
    assert Grid.of(again) == Grid.of(image)
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))
