"""A synthetic CT as a DICOM series: what every reader of it sees, and what a validator says."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

import mr2ct
from dicom_drawn import (
    OUTSIDE,
    PATIENT,
    PROVENANCE,
    ROOT,
    SAGITTAL,
    draw_mr_series,
    hu,
    position,
    positions,
    read_ct,
    some_ct,
    sorted_by_value,
    voxel_places,
)
from mr2ct.dicom import ct_attributes, ct_sources
from mr2ct.dicom.axial import Reordering, reorderings
from mr2ct.dicom.ct_series import check_ct_series, write_ct_series
from mr2ct.dicom.series import MrSeries
from mr2ct.errors import OutputError, VolumeError
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from runtime.volumes import GRIDS, ORIENTATIONS, grid_of, quick, turned

TOLD_MM = 0.001
OBLIQUE = grid_of(
    (6, 5, 4), (0.859375, 0.859375, 0.9000000357), (-176.8780090856, 1 / 3, 96.38), turned(0.3, -0.2, 0.1)
)
# what no hospital's grid is, all at once: far away, oblique, with all the digits of a float
WORST = grid_of(
    (512, 512, 2),
    (0.9765432109876, 1.0123456789, 3.3333333333),
    (-98765.4321, 12345.678, 99999.9),
    turned(0.3, -0.2, 0.4),
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> MrSeries:
    """A sagittal MR."""
    return draw_mr_series(tmp_path_factory.mktemp("drawn") / "mr")


@pytest.fixture(scope="module")
def ct(series: MrSeries, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """Its CT, as pydicom reads it."""
    folder = tmp_path_factory.mktemp("written") / "ct"
    write_ct_series(some_ct(), series, PROVENANCE, folder)
    return read_ct(folder)


def read_by_itk(folder: Path) -> Volume:
    """The series as ITK sees it, files in the order that it finds."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return Volume.of(reader.Execute())


def written(tmp_path: Path, grid: Grid, turn: Reordering | None = None, **changes: Any) -> Path:
    """The folder of a CT of an MR on that grid, the CT's axes turned."""
    drawn = draw_mr_series(tmp_path / "mr", grid, **changes)
    volume = some_ct(grid)
    if turn is not None:
        volume = Volume(turn.voxels(volume.voxels), turn.grid(grid))
    write_ct_series(volume, drawn, PROVENANCE, tmp_path / "ct")
    return tmp_path / "ct"


def lies_where_it_should(folder: Path, grid: Grid) -> None:
    """Every HU is at its own patient coordinates, by the standard's equation and by ITK."""
    slices, expected = read_ct(folder), voxel_places(some_ct(grid))
    found = sorted_by_value(positions(slices), hu(slices))
    assert np.array_equal(found[:, 3], expected[:, 3])
    assert np.abs(found - expected).max() < TOLD_MM
    by_itk = read_by_itk(folder)
    assert np.array_equal(np.sort(by_itk.voxels.ravel()), expected[:, 3])
    assert np.abs(voxel_places(by_itk) - expected).max() < TOLD_MM


# where it lies


@pytest.mark.parametrize("axes", [axes for axes in ORIENTATIONS if np.linalg.det(axes) > 0], ids=str)
def test_an_mr_in_each_of_24_orientations_gives_axial_slices_where_it_lies(tmp_path: Path, axes: Any) -> None:
    grid = grid_of((4, 3, 2), (0.9, 1.3, 1.7), (-17.5, 3.25, 91.0), axes)
    folder = written(tmp_path, grid)
    lies_where_it_should(folder, grid)
    assert {tuple(one.ImageOrientationPatient) for one in read_ct(folder)} == {(1, 0, 0, 0, 1, 0)}


@pytest.mark.parametrize("turn", [one for one in reorderings() if sum(one.flipped) % 2], ids=str)
def test_a_ct_whose_axes_are_in_any_order_and_left_handed_lies_where_the_mr_does(
    tmp_path: Path, turn: Reordering
) -> None:
    lies_where_it_should(written(tmp_path, OBLIQUE, turn), OBLIQUE)


@settings(quick, max_examples=15)
@given(GRIDS.filter(lambda grid: np.linalg.det(grid.axes) > 0), st.sampled_from(list(reorderings())))
def test_any_oblique_mr_gives_a_ct_where_it_lies(tmp_path: Path, grid: Grid, turn: Reordering) -> None:
    for name in ("mr", "ct"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    lies_where_it_should(written(tmp_path, grid, turn), grid)


def test_the_digits_of_decimal_strings_suffice_for_the_worst_grid_there_is(tmp_path: Path, series: MrSeries) -> None:
    far = replace(series, volume=Volume(np.zeros(WORST.shape, np.int16), WORST))
    write_ct_series(Volume(np.zeros(WORST.shape, np.int16), WORST), far, PROVENANCE, tmp_path / "ct")
    slices = read_ct(tmp_path / "ct")
    corners = [[i, j, k] for i in (0, 511) for j in (0, 511) for k in (0, 1)]
    assert len(slices) == 2
    found = [position(one, i, j) for one in slices for i in (0, one.Columns - 1) for j in (0, one.Rows - 1)]
    expected = WORST.points(np.array(corners, float))
    assert len(found) == len(corners)
    for corner in found:
        assert np.linalg.norm(expected - corner, axis=1).min() < TOLD_MM
    for one in slices:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert max(len(value.original_string) for value in one[keyword].value) <= 16


def test_slices_run_to_superior_with_one_gap_and_are_numbered_from_1(tmp_path: Path) -> None:
    slices = read_ct(written(tmp_path, OBLIQUE))
    assert [int(one.InstanceNumber) for one in slices] == list(range(1, len(slices) + 1))
    x, y = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    along = np.array([one.ImagePositionPatient for one in slices], float) @ np.cross(x, y)
    assert np.cross(x, y)[2] > 0
    assert np.ptp(np.diff(along)) < 1e-9
    for one, mm in zip(slices, along, strict=True):
        assert float(one.SpacingBetweenSlices) == float(one.SliceThickness) == pytest.approx(np.diff(along)[0])
        assert float(one.SliceLocation) == pytest.approx(mm)
    assert np.array_equal(np.abs(x @ y) < 1e-12, True)


# what it holds


def test_hu_come_back_as_they_were_over_the_whole_range(ct: list[Dataset]) -> None:
    back = hu(ct)
    assert (back.min(), back.max()) == (-1024, 3071)
    for one in ct:
        assert (one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation) == (16, 16, 15, 0)
        assert [one[k].value for k in ("RescaleIntercept", "RescaleSlope", "RescaleType")] == [-1024, 1, "HU"]
        assert (one.WindowCenter, one.WindowWidth) == (40, 400)


def test_the_rescale_does_not_depend_on_the_data(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(Volume(np.full(SAGITTAL.shape, -1000, np.int16), SAGITTAL), series, PROVENANCE, tmp_path / "ct")
    (one, *_) = read_ct(tmp_path / "ct")
    assert [one[k].value for k in ("RescaleIntercept", "RescaleSlope")] == [-1024, 1]
    assert (one.pixel_array == 24).all()


def test_patient_study_and_frame_of_reference_are_the_mr_s(ct: list[Dataset]) -> None:
    for one in ct:
        for keyword in (
            "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
            "StudyTime", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID", "PatientPosition",
            "BodyPartExamined", "AcquisitionDate", "AcquisitionTime",
        ):  # fmt: skip
            assert one[keyword].value == PATIENT[keyword], keyword
        assert one.PositionReferenceIndicator in ("", None)


def test_it_says_that_it_is_a_synthetic_axial_ct(ct: list[Dataset]) -> None:
    for one in ct:
        assert (one.SOPClassUID, one.Modality, one.SyntheticData) == (CTImageStorage, "CT", "YES")
        assert list(one.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert one.SeriesDescription == f"Synthetic CT mr2ct {mr2ct.__version__} RESEARCH ONLY"
        assert one.SeriesNumber == 9005
        assert (one.Manufacturer, one.ManufacturerModelName) == ("mr2ct", "head-t1 1.0")
        assert one.SoftwareVersions == mr2ct.__version__
        assert (one.BurnedInAnnotation, one.LossyImageCompression) == ("NO", "00")
        assert one.DerivationDescription.startswith("Synthetic CT out of an MR by mr2ct")
        assert (one["KVP"].value, one["AcquisitionNumber"].value) == (None, None)


def test_it_names_what_it_was_made_of_and_by_whom(series: MrSeries, ct: list[Dataset]) -> None:
    expected = [(MRImageStorage, f"{ROOT}4.{n}") for n in range(1, 5)]
    for one in ct:
        assert [(s.ReferencedSOPClassUID, s.ReferencedSOPInstanceUID) for s in one.SourceImageSequence] == expected
        for source in one.SourceImageSequence:
            (purpose,) = source.PurposeOfReferenceCodeSequence
            assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
        (of_series,) = one.ReferencedSeriesSequence
        assert of_series.SeriesInstanceUID == PATIENT["SeriesInstanceUID"]
        assert [s.ReferencedSOPInstanceUID for s in of_series.ReferencedInstanceSequence] == [u for _, u in expected]
        scanner, synthesizer = one.ContributingEquipmentSequence
        assert (scanner.Manufacturer, scanner.ManufacturerModelName) == ("Drawn Scanners", "Pencil 3T")
        assert list(scanner.SoftwareVersions) == ["P1", "P2"]
        assert synthesizer.Manufacturer == "mr2ct"
        assert "ab" * 32 in synthesizer.ContributionDescription
        assert [e.PurposeOfReferenceCodeSequence[0].CodeMeaning for e in (scanner, synthesizer)] == [
            "Acquisition Equipment", "Synthesizing Equipment",
        ]  # fmt: skip
    assert len(series.source) == 4


def test_codes_and_keywords_are_those_of_the_dictionaries() -> None:
    for ours, theirs in (
        (ct_sources.SOURCE_IMAGE, codes.DCM.SourceImageForImageProcessingOperation),
        (ct_sources.ACQUISITION_EQUIPMENT, codes.cid7005.AcquisitionEquipment),
        (ct_sources.SYNTHESIZING_EQUIPMENT, codes.cid7005.SynthesizingEquipment),
    ):
        assert ours == (theirs.value, theirs.meaning)
    for keyword in (*ct_attributes.COPIED, *ct_attributes.MUST_BE_THERE, *ct_sources.SCANNER):
        assert tag_for_keyword(keyword) is not None, keyword


def test_a_ct_outside_of_validated_use_says_so_in_every_slice(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(some_ct(), series, OUTSIDE, tmp_path / "ct")
    for one in read_ct(tmp_path / "ct"):
        for keyword in ("SeriesDescription", "ImageComments", "DerivationDescription"):
            assert one[keyword].value.startswith("OUTSIDE VALIDATED USE")
        assert "contrast distance 9.1 is over 3.0" in one.ImageComments


def test_the_synthetic_mark_can_be_left_out_and_nothing_else_is(
    tmp_path: Path, series: MrSeries, ct: list[Dataset]
) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct", mark_synthetic=False)
    for marked, unmarked in zip(ct, read_ct(tmp_path / "ct"), strict=True):
        assert set(marked.keys()) - set(unmarked.keys()) == {tag_for_keyword("SyntheticData")}
        assert marked.SOPInstanceUID != unmarked.SOPInstanceUID


def test_every_file_is_explicit_little_endian_with_its_own_uid_in_its_meta_information(ct: list[Dataset]) -> None:
    for one in ct:
        assert one.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.file_meta.MediaStorageSOPClassUID == one.SOPClassUID
        assert list(one.keys()) == sorted(one.keys())
        assert all(dictionary_has_tag(tag) for tag in one.keys())  # noqa: SIM118 - Dataset iterates over elements


# UIDs


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_rerun_writes_the_same_files(tmp_path: Path, series: MrSeries) -> None:
    for name in ("a", "b"):
        write_ct_series(some_ct(), series, PROVENANCE, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_order_in_which_a_volume_has_its_axes_changes_nothing(tmp_path: Path, series: MrSeries) -> None:
    volume, turn = some_ct(), Reordering((1, 2, 0), (True, False, False))
    write_ct_series(volume, series, PROVENANCE, tmp_path / "a")
    write_ct_series(Volume(turn.voxels(volume.voxels), turn.grid(volume.grid)), series, PROVENANCE, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_whatever_differs_in_a_file_is_another_series(tmp_path: Path, series: MrSeries, ct: list[Dataset]) -> None:
    another = some_ct()
    another.voxels[2, 2, 2] += 1
    (tmp_path / "other").mkdir()
    runs = {
        "hu": (another, series, PROVENANCE),
        "model": (some_ct(), series, replace(PROVENANCE, model_sha256="ef" * 32)),
        "precision": (some_ct(), series, replace(PROVENANCE, precision="fp16")),
        "engine": (some_ct(), series, replace(PROVENANCE, engine="OpenVINO")),
        "certificate": (some_ct(), series, replace(PROVENANCE, certificate=None)),
        "outside": (some_ct(), series, OUTSIDE),
        "patient": (some_ct(), draw_mr_series(tmp_path / "other" / "a", PatientID="4712"), PROVENANCE),
        "source": (some_ct(), replace(series, source=series.source[:3]), PROVENANCE),
    }
    uids = {(one.SeriesInstanceUID, one.SOPInstanceUID) for one in ct}
    for name, run in runs.items():
        write_ct_series(*run, tmp_path / name)
        uids |= {(one.SeriesInstanceUID, one.SOPInstanceUID) for one in read_ct(tmp_path / name)}
    assert len({series_uid for series_uid, _ in uids}) == 1 + len(runs)
    assert len({sop_uid for _, sop_uid in uids}) == len(ct) * (1 + len(runs))
    for pair in uids:
        for uid in pair:
            assert uid.is_valid
            assert uid.startswith("2.25.")


def test_files_of_the_mr_that_were_sent_again_give_the_same_series(
    tmp_path: Path, series: MrSeries, ct: list[Dataset]
) -> None:
    write_ct_series(some_ct(), series, replace(PROVENANCE, input_sha256="00" * 32), tmp_path / "ct")
    assert [one.SOPInstanceUID for one in read_ct(tmp_path / "ct")] == [one.SOPInstanceUID for one in ct]


# what an MR may lack


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_mr_without_what_its_ct_cannot_do_without_is_refused_before_the_work(
    tmp_path: Path, keyword: str, value: str | None
) -> None:
    drawn = draw_mr_series(tmp_path / "mr", **{keyword: value})
    for attempt in (
        lambda: check_ct_series(drawn, tmp_path / "ct", overwrite=False),
        lambda: write_ct_series(some_ct(), drawn, PROVENANCE, tmp_path / "ct"),
    ):
        with pytest.raises(VolumeError, match=rf"^series .*: {keyword} is missing, and .*; send the series") as caught:
            attempt()
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "ct").exists()


def test_slices_in_two_frames_of_reference_are_refused(tmp_path: Path, series: MrSeries) -> None:
    other = draw_mr_series(tmp_path / "mr", FrameOfReferenceUID=ROOT + "9")
    mixed = replace(series, headers=(*series.headers[:3], other.headers[3]))
    with pytest.raises(VolumeError, match="slices differ in FrameOfReferenceUID, and planning systems"):
        check_ct_series(mixed, tmp_path / "ct", overwrite=False)


def test_slices_without_a_uid_are_refused(tmp_path: Path, series: MrSeries) -> None:
    with pytest.raises(VolumeError, match="slices without SOPInstanceUID"):
        check_ct_series(replace(series, source=((MRImageStorage, ""),)), tmp_path / "ct", overwrite=False)


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, series: MrSeries) -> None:
    (tmp_path / "ct").write_bytes(b"")
    with pytest.raises(OutputError, match="is a file"):
        check_ct_series(series, tmp_path / "ct", overwrite=True)
    check_ct_series(series, tmp_path / "new", overwrite=False)


LOSSY = {
    "LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5", "LossyImageCompressionMethod": "ISO_10918_1"
}  # fmt: skip
BARE = dict.fromkeys(PATIENT) | {
    k: PATIENT[k] for k in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
}


def test_what_planning_systems_ask_for_is_there_even_where_the_mr_has_nothing(tmp_path: Path) -> None:
    drawn = draw_mr_series(tmp_path / "mr", **BARE)
    write_ct_series(some_ct(), drawn, PROVENANCE, tmp_path / "ct")
    for one in read_ct(tmp_path / "ct"):
        for keyword in ct_attributes.MUST_BE_THERE:
            assert one[keyword].is_empty
        assert one.SeriesNumber == 9000
        assert [equipment.Manufacturer for equipment in one.ContributingEquipmentSequence] == ["mr2ct"]
        assert one.BodyPartExamined == "HEAD"


@pytest.mark.parametrize(
    ("number", "expected"),
    [("501", 9501), (" 7 ", 9007), ("-3", 8997), ("5.5", 9000), ("x", 9000), ("2147483000", 9000)],
)
def test_the_series_number_follows_the_mr_s_where_that_is_a_number(tmp_path: Path, number: str, expected: int) -> None:
    drawn = draw_mr_series(tmp_path / "mr", SeriesNumber="0")
    for header in drawn.headers:
        raw = header.get_item("SeriesNumber")
        header[raw.tag] = raw._replace(value=number.encode(), length=len(number))
    write_ct_series(some_ct(), drawn, PROVENANCE, tmp_path / "ct")
    assert read_ct(tmp_path / "ct")[0].SeriesNumber == expected


def test_an_mr_that_was_compressed_with_loss_makes_a_ct_that_says_so(tmp_path: Path) -> None:
    (one, *_) = read_ct(written(tmp_path, SAGITTAL, **LOSSY))
    assert {keyword: str(one[keyword].value) for keyword in LOSSY} == LOSSY


@pytest.mark.parametrize("uid", ["1.2.03.4", "1.2." + "3" * 70, "anonymous-1", "1..2"])
def test_uids_that_break_the_rules_are_named_as_they_are(tmp_path: Path, series: MrSeries, uid: str) -> None:
    odd = replace(series, source=((MRImageStorage, uid),))
    write_ct_series(some_ct(), odd, PROVENANCE, tmp_path / "ct")
    content = (tmp_path / "ct" / "IM0001.dcm").read_bytes()
    assert content.count(uid.encode()) == 2  # as a source image and in its series


# what is no CT of that MR


@pytest.mark.parametrize("voxels", [np.float32([0.5]), np.int32([0]), np.int16([-1025]), np.int16([3072])], ids=str)
def test_voxels_that_are_no_hu_are_an_error_of_the_caller(tmp_path: Path, series: MrSeries, voxels: Any) -> None:
    with pytest.raises(ValueError, match=r"int16 HU|are outside"):
        write_ct_series(Volume(np.resize(voxels, SAGITTAL.shape), SAGITTAL), series, PROVENANCE, tmp_path / "ct")
    assert not (tmp_path / "ct").exists()


def test_a_ct_that_lies_elsewhere_than_the_mr_is_refused(tmp_path: Path, series: MrSeries) -> None:
    elsewhere = replace(SAGITTAL, origin=(0.0, 0.0, 0.0))
    with pytest.raises(VolumeError, match="mm apart"):
        write_ct_series(some_ct(elsewhere), series, PROVENANCE, tmp_path / "ct")
    assert not (tmp_path / "ct").exists()


# what other programs say

NOT_IN_ITS_DICTIONARY = "0x0008,0x001c"  # SyntheticData, younger than Debian's dicom3tools of 2022
FROM_THE_MR = "needed to build DICOMDIR"  # a patient's ID and the like, where the MR has none


def complaints(folder: Path) -> list[str]:
    """What dciodvfy (dicom3tools) says of the slices, but for the tag it is too old for."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy; apt-get install dicom3tools")
    lines = []
    for file in sorted(folder.iterdir()):
        done = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
        assert "CTImage" in done.stderr + done.stdout
        lines += [
            line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("Error", "Warning", "("))
        ]
    return [line for line in lines if NOT_IN_ITS_DICTIONARY not in line]


def test_a_validator_finds_nothing_to_say_of_a_ct_without_the_young_tag(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct", mark_synthetic=False)
    assert complaints(tmp_path / "ct") == []


@pytest.mark.parametrize(
    ("provenance", "grid", "changes"),
    [
        (PROVENANCE, SAGITTAL, {}),
        (OUTSIDE, OBLIQUE, {}),
        (replace(PROVENANCE, certificate=None), WORST.slab(range(1)), {}),
        (PROVENANCE, SAGITTAL, BARE),
        (PROVENANCE, SAGITTAL, {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田"}),
        (PROVENANCE, SAGITTAL, {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Zoë"}),
        (PROVENANCE, SAGITTAL, LOSSY),
    ],
    ids=["plain", "outside", "far", "bare", "Japanese", "UTF-8", "lossy"],
)  # fmt: skip
def test_a_validator_finds_no_error_in_any_kind_of_ct(
    tmp_path: Path, provenance: Any, grid: Grid, changes: dict[str, Any]
) -> None:
    drawn = draw_mr_series(tmp_path / "mr", replace(grid, size=(3, 3, 2)), **changes)
    write_ct_series(some_ct(drawn.volume.grid), drawn, provenance, tmp_path / "ct")
    said = complaints(tmp_path / "ct")
    assert [one for one in said if "Standard Extended SOP Class" not in one and FROM_THE_MR not in one] == []


def test_a_ct_of_an_enhanced_mr_names_the_one_object_and_is_valid(tmp_path: Path, series: MrSeries) -> None:
    enhanced = replace(series, headers=series.headers[:1], source=((EnhancedMRImageStorage, ROOT + "4.1"),))
    write_ct_series(some_ct(), enhanced, PROVENANCE, tmp_path / "ct", mark_synthetic=False)
    assert complaints(tmp_path / "ct") == []
    (source,) = read_ct(tmp_path / "ct")[0].SourceImageSequence
    assert source.ReferencedSOPClassUID == EnhancedMRImageStorage


def test_a_validator_of_studies_finds_mr_and_ct_to_be_of_one_patient_study_and_frame(
    tmp_path: Path, series: MrSeries
) -> None:
    if shutil.which("dcentvfy") is None:
        pytest.skip("no dcentvfy; apt-get install dicom3tools")
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    files = [*series.files, *sorted((tmp_path / "ct").iterdir())]
    done = subprocess.run(["dcentvfy", *files], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def test_dcmtk_reads_every_slice(tmp_path: Path, series: MrSeries) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("no dcmdump; apt-get install dcmtk")
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    done = subprocess.run(
        ["dcmdump", *sorted((tmp_path / "ct").iterdir())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("[DERIVED\\SECONDARY\\AXIAL]") == 5


# a real head


@pytest.mark.heads
def test_a_real_oblique_series_gives_a_ct_where_its_head_lies(tmp_path: Path, heads: Path) -> None:
    folder = heads / "dicom" / "mr_fnndsc_sag"
    reader = sitk.ImageSeriesReader()
    files = reader.GetGDCMSeriesFileNames(str(folder))[84:108]  # of 192: 24 through the middle, to be fast
    reader.SetFileNames(files)
    mr = Volume.of(reader.Execute())
    headers = tuple(dcmread(file, stop_before_pixels=True) for file in files)
    source = tuple((header.SOPClassUID, header.SOPInstanceUID) for header in headers)
    real = MrSeries(folder, tuple(sorted(map(Path, files))), mr, headers, source)
    volume = Volume(np.clip(mr.voxels.astype(np.int16) * 8 - 1000, -1024, 3071).astype(np.int16), mr.grid)
    write_ct_series(volume, real, PROVENANCE, tmp_path / "ct")

    by_itk = read_by_itk(tmp_path / "ct")
    back = sitk.Resample(by_itk.image(), mr.image(), sitk.Transform(), sitk.sitkNearestNeighbor, -9999.0)
    assert np.array_equal(sitk.GetArrayViewFromImage(back), volume.voxels)
    corners = np.array([[i, j, k] for i in (0, 255) for j in (0, 255) for k in (0, 23)], float)
    index = np.array(
        [by_itk.image().TransformPhysicalPointToContinuousIndex(p) for p in mr.grid.points(corners).tolist()]
    )
    assert np.abs(index - np.rint(index)).max() * max(by_itk.grid.spacing) < TOLD_MM
    slices = read_ct(tmp_path / "ct")
    assert len(slices) == 256
    assert np.array_equal(hu(slices), by_itk.voxels)
    assert len(slices[0].SourceImageSequence) == 24
