"""Slices of any orientation, in any order, lie where their headers say; what is no regular lattice is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from mr2ct.dicom.reading import read_mr_series
from mr2ct.grid import Grid
from runtime.dicom.drawn_series import enhanced, position, refusal, save, slices, write_series
from runtime.volumes import ORIENTATIONS, TILTED, Array, grid_of, some_voxels, turned

WITHIN_MM = 0.001
STRAIGHT = grid_of((5, 4, 6), (0.9, 1.1, 1.3), (-90.5, 81.25, -7.0), np.eye(3))


def itk(folder: Path) -> sitk.Image:
    """What SimpleITK's own series reader makes of a folder."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def from_headers(folder: Path) -> tuple[Array, Array]:
    """LPS mm and stored value of every voxel, straight from PS3.3 C.7.6.2.1-1, in the order of the volume's sorting."""
    points, values = [], []
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = map(float, header.PixelSpacing)
        j, i = np.meshgrid(range(header.Rows), range(header.Columns), indexing="ij")
        origin = np.array(header.ImagePositionPatient, float)
        points.append(origin + row * (between_columns * i[..., None]) + column * (between_rows * j[..., None]))
        values.append(header.pixel_array)
    return np.array(points).reshape(-1, 3), np.array(values).ravel()


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.1, -0.2, 0.3)], ids=["straight", "oblique"])
def test_every_voxel_of_48_orientations_lies_where_its_header_says(tmp_path: Path, tilt: tuple[float, ...]) -> None:
    for n, axes in enumerate(ORIENTATIONS):
        grid = grid_of((4, 3, 3), (0.87, 0.93, 1.1), (-101.3, 77.77, 1 / 3), turned(*tilt) @ axes)
        folder = write_series(tmp_path / str(n), grid)
        series = read_mr_series(folder)
        volume = series.volume
        k, j, i = np.indices(volume.voxels.shape)
        ours = volume.grid.points(np.stack([i, j, k], axis=-1).astype(float)).reshape(-1, 3)
        theirs, values = from_headers(folder)
        sorting, other = np.lexsort(ours.round(2).T), np.lexsort(theirs.round(2).T)
        assert np.abs(ours[sorting] - theirs[other]).max() < WITHIN_MM
        assert np.array_equal(volume.voxels.ravel()[sorting], values[other])
        assert np.linalg.det(volume.grid.axes) == pytest.approx(1.0, abs=1e-12)  # k along row x column
        image = itk(folder)
        assert np.allclose(volume.grid.origin, image.GetOrigin(), atol=1e-9)
        assert np.allclose(volume.grid.spacing, image.GetSpacing(), atol=1e-9)
        assert np.allclose(volume.grid.direction, image.GetDirection(), atol=1e-9)
        assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image))
        assert [str(h.SOPInstanceUID) for h in series.headers] == [uid for _, uid in series.source]


def test_an_enhanced_object_is_the_volume_of_the_same_single_frames(tmp_path: Path) -> None:
    for n, axes in enumerate(ORIENTATIONS[::5]):
        grid = grid_of((4, 3, 5), (0.87, 0.93, 1.1), (-101.3, 77.77, 1 / 3), turned(0.2, 0.1, -0.3) @ axes)
        single = read_mr_series(write_series(tmp_path / f"single{n}", grid)).volume
        save(enhanced(grid, order=[3, 0, 4, 2, 1]), tmp_path / f"enhanced{n}" / "one.dcm")
        series = read_mr_series(tmp_path / f"enhanced{n}")
        assert series.volume.grid == single.grid
        assert np.array_equal(series.volume.voxels, single.voxels)
        assert len(series.headers) == len(series.source) == len(series.files) == 1


@pytest.mark.heads
def test_a_real_series_is_its_nifti_and_what_itk_reads(heads: Path) -> None:
    folder = heads / "dicom" / "mr_fnndsc_sag"
    series = read_mr_series(folder)
    volume, image = series.volume, itk(folder)
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image))
    assert np.allclose(volume.grid.direction, image.GetDirection(), atol=1e-9)
    assert np.allclose(volume.grid.origin, image.GetOrigin(), atol=1e-9)
    assert np.allclose(volume.grid.spacing, image.GetSpacing(), atol=1e-9)
    nifti = Grid.of(converted := sitk.ReadImage(str(heads / "mr" / "fnndsc_sag.nii.gz")))
    corners = np.array([(0, 0, 0), (255, 255, 191), (255, 0, 0), (0, 255, 191)], float)
    assert np.abs(nifti.points(corners) - volume.grid.points(corners)).max() < WITHIN_MM
    assert np.array_equal(sitk.GetArrayFromImage(converted), volume.voxels)
    assert len(series.files) == len(series.headers) == len(series.source) == 192
    assert series.header.Manufacturer == "SIEMENS"


def test_directions_a_little_off_right_angles_become_right_angled(tmp_path: Path) -> None:
    def rounded(header: Dataset, _k: int) -> None:
        header.ImageOrientationPatient = [f"{float(n):.5f}" for n in header.ImageOrientationPatient]

    axes = read_mr_series(write_series(tmp_path, TILTED, change=rounded)).volume.grid.axes
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-14
    assert np.abs(axes - TILTED.axes).max() < 1e-5


def test_gaps_as_rounded_as_two_decimals_are_one_gap(tmp_path: Path) -> None:
    def rounded(header: Dataset, k: int) -> None:
        header.ImagePositionPatient = [f"{float(n):.2f}" for n in position(STRAIGHT, k)]

    assert read_mr_series(write_series(tmp_path, STRAIGHT, change=rounded)).volume.grid.spacing[2] == pytest.approx(1.3)


def moved(k: int, by: tuple[float, float, float]) -> Array:
    """Where slice k of STRAIGHT lies, moved by some mm."""
    return STRAIGHT.points(np.array([0.0, 0.0, float(k)])) + by


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([moved(k, (0, 0, 0)) for k in (0, 1, 2, 4, 5)], "slice 4 is missing between"),
        ([moved(k, (0, 0, 0)) for k in (0, 1, 4, 5, 6)], "slices 3 to 4 are missing between"),
        ([moved(k, (0, 0, 0.4 if k > 3 else 0)) for k in range(6)], "irregular gap of 1.7 mm between"),
        ([moved(k, (0, 0, 0.004 * k * k)) for k in range(6)], "gaps change along the series"),
        ([moved(k, (0, 0.1 * k, 0)) for k in range(6)], "4.4 degrees off their normal"),
        ([moved(k, (0.3 if k == 2 else 0, 0, 0)) for k in range(6)], "lies 0.3 mm beside"),
        ([moved(k, (0, 0, 0)) for k in (0, 1, 2, 2, 3)], "at 4 places"),
        ([moved(3, (0, 0, 0))], "one image"),
    ],
)
@pytest.mark.parametrize("kind", ["single", "enhanced"])
def test_places_that_are_no_lattice_are_refused(tmp_path: Path, places: list[Array], words: str, kind: str) -> None:
    def put(header: Dataset, k: int) -> None:
        header.ImagePositionPatient = [f"{n:.10f}" for n in places[k]]

    grid = grid_of((5, 4, len(places)), STRAIGHT.spacing, STRAIGHT.origin, np.eye(3))
    if kind == "single":
        write_series(tmp_path, grid, change=put)
    else:
        header = enhanced(grid)
        for k, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
            put(frame.PlanePositionSequence[0], k)
        save(header, tmp_path / "one.dcm")
    line = refusal(tmp_path)
    assert words in line
    assert "1.2.826.0.1.3680043.10.1.7" in line
    if "between" in words or "beside" in words:
        assert ("one.dcm, frame" if kind == "enhanced" else "im0") in line


def test_orientations_that_differ_are_refused_as_of_a_localizer(tmp_path: Path) -> None:
    def turn(header: Dataset, k: int) -> None:
        header.ImageOrientationPatient = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]][k]

    assert "mixed orientations" in refusal(write_series(tmp_path, TILTED, change=turn))


@pytest.mark.parametrize("off", [(1.001, 0, 0, 0, 1, 0), (1, 0, 0, 0.01, 1, 0), (0, 0, 0, 0, 0, 0)])
def test_directions_that_are_no_right_angled_unit_vectors_are_refused(tmp_path: Path, off: tuple[float, ...]) -> None:
    def skew(header: Dataset, _k: int) -> None:
        header.ImageOrientationPatient = list(off)

    assert "right angles" in refusal(write_series(tmp_path, TILTED, change=skew))


def test_slices_of_several_resolutions_are_refused(tmp_path: Path) -> None:
    def widen(header: Dataset, k: int) -> None:
        header.PixelSpacing = [0.9, 0.9 + 0.01 * (k == 1)]

    assert "0.9 x 0.91 mm" in refusal(write_series(tmp_path, TILTED, change=widen))


def test_the_order_of_files_and_numbers_does_not_matter(tmp_path: Path) -> None:
    headers = list(slices(STRAIGHT))
    for n, k in enumerate((4, 1, 5, 0, 3, 2)):
        save(headers[k], tmp_path / f"{n}")
    volume = read_mr_series(tmp_path).volume
    assert np.array_equal(volume.voxels, some_voxels(STRAIGHT))
    assert volume.grid.origin == pytest.approx(STRAIGHT.origin)
