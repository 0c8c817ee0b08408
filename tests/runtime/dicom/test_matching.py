"""A NIfTI volume is taken for a DICOM series only where it lies where that does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_drawn import SAGITTAL, draw_mr_series, some_ct
from mr2ct.dicom.axial import Reordering, reorderings
from mr2ct.dicom.matching import SAME_PLACE_MM, refuse_another_place
from mr2ct.dicom.series import MrSeries
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from runtime.volumes import grid_of, turned


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> MrSeries:
    """A sagittal MR."""
    return draw_mr_series(tmp_path_factory.mktemp("drawn") / "mr")


def refused(grid: Grid, series: MrSeries) -> str:
    """What is said of a volume on that grid: one line with a way out."""
    with pytest.raises(VolumeError) as caught:
        refuse_another_place(Volume(np.zeros(grid.shape, np.int16), grid), series)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert message.endswith("neither resampled nor cropped nor registered")
    return message


@pytest.mark.parametrize("turn", list(reorderings()))
def test_the_series_own_grid_is_accepted_in_every_order_and_direction_of_its_axes(
    turn: Reordering, series: MrSeries
) -> None:
    ct = some_ct()
    refuse_another_place(Volume(turn.voxels(ct.voxels), turn.grid(ct.grid)), series)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_series_that_itk_converted_is_accepted(tmp_path: Path, suffix: str) -> None:
    oblique = grid_of((6, 5, 4), (0.859375, 0.859375, 0.9), (76.8780090856, -112.2371568, 96.3892684), turned(1, -2, 3))
    series = draw_mr_series(tmp_path / "mr", oblique)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(list(map(str, series.files)))
    sitk.WriteImage(reader.Execute(), str(tmp_path / f"mr{suffix}"))
    volume = read_volume(tmp_path / f"mr{suffix}")
    refuse_another_place(volume, series)
    write_volume(volume, tmp_path / "again.nii")
    refuse_another_place(read_volume(tmp_path / "again.nii"), series)


def moved(mm: float) -> Grid:
    """The series' grid, that far to the Left."""
    x, y, z = SAGITTAL.origin
    return replace(SAGITTAL, origin=(x + mm, y, z))


def test_another_place_is_refused_and_told_in_millimetres(series: MrSeries) -> None:
    refuse_another_place(some_ct(moved(SAME_PLACE_MM * 0.9)), series)
    assert "up to 0.0111 mm apart, 0.01 mm are allowed" in refused(moved(0.0111), series)
    assert "up to 3 mm apart" in refused(moved(3), series)
    assert "series 1.2.826.0.1.3680043.8.498.2" in refused(moved(3), series)


def test_another_size_is_refused_and_told_along_the_axes_of_the_series(series: MrSeries) -> None:
    cropped = SAGITTAL.slab(range(3))
    turn = Reordering((2, 0, 1), (True, False, True))
    assert "6 x 5 x 3 voxels along the axes of the series, which has 6 x 5 x 4" in refused(turn.grid(cropped), series)


def test_another_spacing_and_a_turned_head_are_refused(series: MrSeries) -> None:
    i, j, k = SAGITTAL.spacing
    assert "mm apart" in refused(replace(SAGITTAL, spacing=(i, j, k * 1.01)), series)
    turn = (turned(0, 0, 0.01) @ SAGITTAL.axes).ravel().tolist()
    assert "mm apart" in refused(replace(SAGITTAL, direction=tuple(turn)), series)


def test_a_grid_that_is_nowhere_is_refused(series: MrSeries) -> None:
    assert "nan mm apart" in refused(moved(float("nan")), series)
