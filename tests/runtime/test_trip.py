"""mr2ct-run in the clinic: DICOM in and out, the gate, the cycle check and the report, as they are called there."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from pydicom import dcmread

import phantom
from mr2ct import choose_backend, read_volume, write_volume
from mr2ct.cli import main
from mr2ct.dicom.axial import axial
from mr2ct.dicom.reading import read_mr_series
from mr2ct.errors import DeviceError
from mr2ct.gate.limiting import limits_of
from mr2ct.gate.measuring import measure
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.model import Model
from mr2ct.trip import make_synthetic_ct
from mr2ct.volume import Volume
from runtime.dicom.drawn_series import write_series
from small_models import halving_model, write_model

GRID = phantom.grid_around((4, -9, 15), (78, 80, 60), (3.2, 3.1, 3.4), phantom.oblique(8, 3, -6) @ phantom.SAGITTAL)


def drawn(grid: Grid) -> Volume:
    mr = phantom.smooth(grid)
    return Volume(np.rint(mr.voxels).astype(np.int16), grid)


@pytest.fixture(scope="module")
def mr() -> Volume:
    return drawn(GRID)


@pytest.fixture(scope="module")
def series(mr: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("pacs") / "t1", mr.grid, mr.voxels)


@pytest.fixture(scope="module")
def gated(mr: Volume, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A trained identity whose training set was this head."""
    limits = limits_of([measure(mr, head_mask(mr))], fixed_units=True)
    return write_model(tmp_path_factory.mktemp("gated"), gate=limits)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refused(result: Result, code: int) -> str:
    """The one line on stderr of a command that ended with that code and wrote nothing else."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line and not line.startswith("note: ")]
    assert line.startswith("mr2ct-run: ")
    return line


def read_back(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    (uid,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
    return reader.Execute()


def hu(folder: Path) -> NDArray[np.int16]:
    voxels: NDArray[np.int16] = sitk.GetArrayFromImage(read_back(folder))
    return voxels


def test_a_dicom_series_becomes_one_and_has_the_hu_of_the_nifti_way(
    series: Path, identity_model: Model, tmp_path: Path
) -> None:
    write_volume(read_mr_series(series).volume, tmp_path / "t1.nii.gz")
    by_nifti = run(tmp_path / "t1.nii.gz", "--model", identity_model.folder, "-o", tmp_path / "t1_sct.nii.gz")
    result = run(series, "--model", identity_model.folder, "-o", tmp_path / "ct", "--json", tmp_path / "run.json")
    assert (by_nifti.exit_code, result.exit_code) == (0, 0), by_nifti.output + result.output
    expected = axial(read_volume(tmp_path / "t1_sct.nii.gz"))
    image = read_back(tmp_path / "ct")
    assert np.array_equal(sitk.GetArrayFromImage(image), expected.voxels)
    corner = np.array(expected.grid.size) - 1.0
    for index in (np.zeros(3), corner):
        place = np.array(image.TransformContinuousIndexToPhysicalPoint(index.tolist()))
        assert np.abs(place - expected.grid.points(index)).max() < 1e-3  # mm; NIfTI has float32 geometry
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["input"]["series"] == str(read_mr_series(series).header.SeriesInstanceUID)
    assert len(told["input"]["sha256"]) == len(told["output"]["sha256"]) == len(told["engine"]["sha256"]) == 64


def test_beside_a_folder_its_ct_lies_and_is_never_replaced_unasked(
    series: Path, identity_model: Model, tmp_path: Path
) -> None:
    here = Path(shutil.copytree(series, tmp_path / "t1"))
    assert run(here, "--model", identity_model.folder, "--also-nifti").exit_code == 0
    first = sorted((file.name, file.read_bytes()) for file in (tmp_path / "t1_sct").iterdir())
    assert np.array_equal(axial(read_volume(tmp_path / "t1_sct.nii.gz")).voxels, hu(tmp_path / "t1_sct"))
    assert "holds files already" in refused(run(here, "--model", identity_model.folder), 6)
    assert run(here, "--model", identity_model.folder, "--overwrite").exit_code == 0
    assert sorted((file.name, file.read_bytes()) for file in (tmp_path / "t1_sct").iterdir()) == first
    assert sorted(place.name for place in tmp_path.iterdir()) == ["t1", "t1_sct", "t1_sct.nii.gz"]


def test_a_nifti_of_that_series_becomes_a_series_of_its_patient_and_another_does_not(
    series: Path, mr: Volume, identity_model: Model, tmp_path: Path
) -> None:
    flipped = sitk.Flip(mr.grid.image(mr.voxels), [False, True, True])
    write_volume(Volume.of(flipped), tmp_path / "t1.nii.gz")
    result = run(tmp_path / "t1.nii.gz", "--model", identity_model.folder, "--dicom-from", series)
    assert result.exit_code == 0, result.output
    assert run(series, "--model", identity_model.folder, "-o", tmp_path / "ct").exit_code == 0
    assert np.array_equal(hu(tmp_path / "t1_sct"), hu(tmp_path / "ct"))
    assert dcmread(tmp_path / "t1_sct" / "IM0001.dcm").PatientName == "Doe^Jane"

    moved = Volume(mr.voxels, Grid(GRID.size, GRID.spacing, (0.0, 0.0, 0.0), GRID.direction))
    write_volume(moved, tmp_path / "moved.nii.gz")
    line = refused(run(tmp_path / "moved.nii.gz", "--model", identity_model.folder, "--dicom-from", series), 3)
    assert "mm" in line
    assert not (tmp_path / "moved_sct").exists()


def test_a_series_may_be_written_as_a_volume_and_a_volume_not_as_a_series_of_nobody(
    series: Path, mr: Volume, identity_model: Model, tmp_path: Path
) -> None:
    assert run(series, "--model", identity_model.folder, "-o", tmp_path / "ct.mha").exit_code == 0
    assert read_volume(tmp_path / "ct.mha").grid == read_mr_series(series).volume.grid
    usage = run(series, "--model", identity_model.folder, "-o", tmp_path / "ct.nrrd", "--also-nifti")
    assert usage.exit_code == 2
    write_volume(mr, tmp_path / "t1.nii.gz")
    line = refused(run(tmp_path / "t1.nii.gz", "--model", identity_model.folder, "-o", tmp_path / "ct"), 6)
    assert "no writer for this kind of file" in line


def test_of_two_series_one_is_named(series: Path, identity_model: Model, tmp_path: Path) -> None:
    here = Path(shutil.copytree(series, tmp_path / "pacs" / "one").parent)
    for file in sorted(series.iterdir()):
        header = dcmread(file)
        header.SeriesInstanceUID += ".1"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID + ".1"
        header.save_as(here / f"other-{file.name}")
    line = refused(run(here, "--model", identity_model.folder), 3)
    uid = str(header.SeriesInstanceUID)
    assert uid in line
    assert "--series" in line
    result = run(here, "--model", identity_model.folder, "--series", uid, "-o", tmp_path / "ct")
    assert result.exit_code == 0, result.output
    (referenced,) = dcmread(tmp_path / "ct" / "IM0001.dcm").ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == uid


def test_what_the_gate_refuses_runs_by_force_only_and_everything_says_so(
    mr: Volume, gated: Model, tmp_path: Path
) -> None:
    upside_down = mr.voxels[:, ::-1]  # rows run to inferior
    folder = write_series(tmp_path / "t1", mr.grid, np.ascontiguousarray(upside_down))
    line = refused(run(folder, "--model", gated.folder), 7)
    assert "--force" in line
    assert not (tmp_path / "t1_sct").exists()
    page = tmp_path / "report.html"
    result = run(
        folder, "--model", gated.folder, "--force", "--report", page, "--json", tmp_path / "run.json"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "OUTSIDE VALIDATED USE" in result.stderr
    header = dcmread(tmp_path / "t1_sct" / "IM0001.dcm")
    for stamped in (header.SeriesDescription, header.ImageComments, header.DerivationDescription, page.read_text()):
        assert "OUTSIDE VALIDATED USE" in stamped
    told = json.loads((tmp_path / "run.json").read_text())["gate"]
    assert told["accepted"] is False
    assert (tmp_path / "report.png").stat().st_size > 1000


def test_what_the_gate_knows_passes_it_without_a_word(series: Path, gated: Model, tmp_path: Path) -> None:
    result = run(series, "--model", gated.folder, "-o", tmp_path / "ct", "--json", tmp_path / "run.json")
    assert result.exit_code == 0, result.output
    assert "OUTSIDE" not in result.stderr
    assert json.loads((tmp_path / "run.json").read_text())["gate"]["accepted"] is True
    assert "RESEARCH ONLY" in dcmread(tmp_path / "ct" / "IM0001.dcm").SeriesDescription


def test_the_cycle_check_tells_a_number_and_writes_a_map(series: Path, tmp_path: Path) -> None:
    model = halving_model(tmp_path / "model", off=0.02)
    result = run(
        series, "--model", model.folder, "-o", tmp_path / "ct", "--cycle-map", tmp_path / "map.nii.gz",
        "--json", tmp_path / "run.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "run.json").read_text())["cycle"]
    error = read_volume(tmp_path / "map.nii.gz")
    assert error.grid.size == GRID.size
    assert "cycle check: " in result.stdout
    assert 0 < told["mean_percent"] <= told["p95_percent"]
    assert error.voxels.max() == pytest.approx(told["mean_percent"], rel=0.05)  # the error is the same everywhere


def test_a_model_without_a_way_back_is_told_before_any_work(
    series: Path, identity_model: Model, tmp_path: Path
) -> None:
    line = refused(run(series, "--model", identity_model.folder, "-o", tmp_path / "ct", "--cycle-check"), 4)
    assert "ct_to_mr" in line
    assert list(tmp_path.iterdir()) == []


def test_the_tag_that_marks_it_synthetic_can_be_left_out(series: Path, identity_model: Model, tmp_path: Path) -> None:
    for option, there in ((), True), (("--unmarked",), False):
        out = tmp_path / f"ct{there}"
        assert run(series, "--model", identity_model.folder, "-o", out, *option).exit_code == 0
        assert ("SyntheticData" in dcmread(out / "IM0001.dcm")) is there


def test_the_engine_is_opened_where_ctrl_c_is_heard_and_what_it_raises_is_raised(
    series: Path, identity_model: Model, tmp_path: Path
) -> None:
    threads = []

    def engine() -> object:
        threads.append(threading.current_thread())
        raise DeviceError("no such engine")

    with pytest.raises(DeviceError, match="no such engine"):
        make_synthetic_ct(series, tmp_path / "ct", identity_model, engine)  # type: ignore[arg-type]
    assert threads == [threading.main_thread()]
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_kept_makes_one_series_after_the_other(
    series: Path, identity_model: Model, tmp_path: Path
) -> None:
    with choose_backend(identity_model, "cpu") as choice:
        for name in ("one", "two"):
            make_synthetic_ct(series, tmp_path / name, identity_model, choice)
    assert np.array_equal(hu(tmp_path / "one"), hu(tmp_path / "two"))
