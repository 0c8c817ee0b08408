"""Of a folder of several series the T1-weighted MR is taken, or the series are told to choose from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from mr2ct.dicom.listing import list_series
from mr2ct.dicom.reading import read_mr_series
from mr2ct.grid import Grid
from runtime.dicom.drawn_series import ENHANCED_MR, LEGACY_MR, SERIES, enhanced, refusal, save, write_series
from runtime.volumes import TILTED, grid_of, some_voxels

HEAD = grid_of((3, 2, 14), (2, 2, 5), (0, 0, 0), np.eye(3))
CT_IMAGE, CAPTURE = UID("1.2.840.10008.5.1.4.1.1.2"), UID("1.2.840.10008.5.1.4.1.1.7")


def series(folder: Path, number: int, grid: Grid = HEAD, **values: object) -> str:
    """The UID of a series written into a folder, some elements of all its images changed."""
    uid = f"1.2.3.{number}"

    def change(header: Dataset, k: int) -> None:
        header.SeriesInstanceUID = uid
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid}.{k}")
        for keyword, value in values.items():
            setattr(header, keyword, value)

    write_series(folder / str(number), grid, change=change)
    return uid


T2 = {"SeriesDescription": "AX T2 TSE", "EchoTime": "96", "RepetitionTime": "5200", "InversionTime": None}
FLAIR = {"SeriesDescription": "AX FLAIR", "EchoTime": "90", "RepetitionTime": "9000", "InversionTime": "2500"}
SCOUT = {"SeriesDescription": "3 plane", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "InversionTime": None}
CT = {"Modality": "CT", "SOPClassUID": CT_IMAGE, "SeriesDescription": "planning"}
TOF = {"SeriesDescription": "TOF 3D", "EchoTime": "3.6", "RepetitionTime": "22", "InversionTime": None}


def test_among_the_series_of_an_examination_the_t1_is_taken(tmp_path: Path) -> None:
    for n, others in enumerate((T2, FLAIR, SCOUT, CT, TOF), 2):
        series(tmp_path, n, **others)
    wanted = series(tmp_path, 1)
    read = read_mr_series(tmp_path)
    assert read.header.SeriesInstanceUID == wanted
    assert read.volume.remarks == (f"took series {wanted} 'T1 MPRAGE' of 6",)


def test_the_only_mr_beside_a_ct_is_taken(tmp_path: Path) -> None:
    series(tmp_path, 1, **CT)
    wanted = series(tmp_path, 2, SeriesDescription="unnamed", EchoTime=None, RepetitionTime=None, InversionTime=None)
    assert read_mr_series(tmp_path).header.SeriesInstanceUID == wanted


def test_several_t1s_are_told_to_choose_from(tmp_path: Path) -> None:
    uids = [series(tmp_path, 1), series(tmp_path, 2, SeriesDescription="T1 MPRAGE GD")]
    other = series(tmp_path, 3, **T2)
    line = refusal(tmp_path)
    assert all(uid in line for uid in uids)
    assert other not in line
    assert "'T1 MPRAGE GD' MR, 14 images, TR 2000 TE 2.52 TI 900 GR/IR" in line
    for uid in (*uids, other):
        assert read_mr_series(tmp_path, uid).header.SeriesInstanceUID == uid


def test_where_none_looks_t1_weighted_all_mr_are_told(tmp_path: Path) -> None:
    uids = [series(tmp_path, 1, **T2), series(tmp_path, 2, **FLAIR)]
    line = refusal(tmp_path)
    assert "none of 2 MR series looks T1-weighted" in line
    assert all(uid in line for uid in uids)


def test_of_very_many_series_some_are_told(tmp_path: Path) -> None:
    small = grid_of((2, 2, 2), (1, 1, 1), (0, 0, 0), np.eye(3))
    for n in range(20):
        series(tmp_path, n, small)
    assert "; and 8 more" in refusal(tmp_path)


def test_a_series_that_was_picked_is_read_whatever_it_looks_like_with_a_remark(tmp_path: Path) -> None:
    picked = series(tmp_path, 1, **T2)
    (remark,) = read_mr_series(tmp_path, picked).volume.remarks
    assert "does not look T1-weighted" in remark
    assert "TR 5200 TE 96" in remark


def test_an_unknown_uid_is_told_with_those_there_are(tmp_path: Path) -> None:
    uid = series(tmp_path, 1)
    line = refusal(tmp_path, "1.2\n\x1b.4")
    assert "no series 1.2??.4" in line
    assert uid in line


def test_the_facts_of_a_folder(tmp_path: Path) -> None:
    series(tmp_path, 1, **T2)
    series(tmp_path, 2, **CT)
    series(tmp_path, 3, SeriesDescription="T1\x1b[31m\nSchädel", SpecificCharacterSet="ISO_IR 100")
    save(enhanced(HEAD), tmp_path / "enhanced.dcm")
    told = {facts.uid: facts for facts in list_series(tmp_path)}
    assert list(told) == ["1.2.3.1", "1.2.3.3", SERIES, "1.2.3.2"]
    assert told["1.2.3.1"].t1 is False
    assert told["1.2.3.2"].unfit == "is CT, not MR"
    assert told["1.2.3.3"].description == "T1?[31m?Schädel"
    one = told[SERIES]
    assert (one.images, one.echo_ms, one.repetition_ms, one.inversion_ms, one.t1) == (14, 2.52, 2000.0, 900.0, True)
    assert (one.modality, one.sequence, one.unfit) == ("MR", ("GR",), "")
    assert all(str(facts).isprintable() for facts in told.values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (CT, "is CT, not MR"),
        ({"Modality": "PT"}, "is PT, not MR"),
        ({"Modality": ""}, None),
        ({"SOPClassUID": CAPTURE}, "secondary capture"),
        ({"SOPClassUID": "1.2.3"}, "SOP class 1.2.3"),
        (SCOUT, "is a localizer"),
    ],
)
@pytest.mark.parametrize("picked", [True, False])
def test_what_is_no_mr_volume_is_refused_also_when_picked(
    tmp_path: Path, values: dict[str, object], words: str | None, picked: bool
) -> None:
    uid = series(tmp_path, 1, **values)
    if words is None:
        assert read_mr_series(tmp_path, uid if picked else None).header.SeriesInstanceUID == uid
    else:
        assert words in refusal(tmp_path, uid if picked else None)


@pytest.mark.parametrize("sop_class", [ENHANCED_MR, LEGACY_MR], ids=["enhanced", "legacy converted"])
def test_both_kinds_of_enhanced_mr_are_read(tmp_path: Path, sop_class: UID) -> None:
    header = enhanced()
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = sop_class
    save(header, tmp_path / "one.dcm")
    read = read_mr_series(tmp_path)
    assert np.array_equal(read.volume.voxels, some_voxels(TILTED))
    assert read.source == ((sop_class, header.SOPInstanceUID),)


Change = Callable[[Dataset, int], None]


def differing(keyword: str, *values: object) -> Change:
    """Gives an element values in turn."""
    return lambda header, k: setattr(header, keyword, values[k % len(values)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (differing("PatientID", "p1", "p2"), "images of 2 patients"),
        (differing("StudyInstanceUID", "1.2", "1.3"), "several studies"),
        (differing("FrameOfReferenceUID", "1.2", "1.3"), "several frames of reference"),
        (differing("Modality", "MR", "CT"), "is CT and MR, not MR"),
        (differing("ImagesInAcquisition", "192"), "192 images of its acquisition"),
        (differing("ImagesInAcquisition", "4"), "3 of 4 images are there"),
        (differing("NumberOfSeriesRelatedInstances", "6"), "3 of 6 images are there"),
    ],
)
def test_a_series_of_several_things_or_not_all_there_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    write_series(tmp_path, change=change)
    if "of its acquisition" in words:
        assert words in read_mr_series(tmp_path).volume.remarks[0]
    else:
        assert words in refusal(tmp_path)
        assert words in refusal(tmp_path, SERIES)


def test_series_of_two_patients_are_refused_until_one_is_picked(tmp_path: Path) -> None:
    series(tmp_path, 1, PatientID="", PatientName="Doe^Jane")
    other = series(tmp_path, 2, PatientID="", PatientName="Doe^John")
    assert "images of 2 patients" in refusal(tmp_path)
    assert read_mr_series(tmp_path, other).header.SeriesInstanceUID == other


@pytest.mark.parametrize(
    ("keyword", "values", "told"),
    [
        ("EchoTime", ("2.5", "5"), "EchoTime 2.5 and 5"),
        ("TemporalPositionIdentifier", ("1", "2"), "TemporalPositionIdentifier 1 and 2"),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "ImageType M and P"),
        ("DiffusionBValue", (0.0, 1000.0), "DiffusionBValue 0 and 1000"),
        ("InstanceNumber", (1, 2), "the headers do not tell them apart"),
    ],
)
def test_several_images_at_one_place_are_told_with_what_differs(
    tmp_path: Path, keyword: str, values: tuple[object, ...], told: str
) -> None:
    for n, value in enumerate(values):

        def change(header: Dataset, k: int, n: int = n, value: object = value) -> None:
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.{n}.{k}")
            setattr(header, keyword, value)

        write_series(tmp_path / str(n), change=change)
    line = refusal(tmp_path)
    assert "6 images at 3 places" in line
    assert told in line


def test_echoes_of_an_enhanced_object_are_told(tmp_path: Path) -> None:
    header = enhanced()
    for n, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        echo = Dataset()
        echo.EffectiveEchoTime = 2.5 * (n + 1)
        frame.MREchoSequence = [echo]
        frame.PlanePositionSequence[0].ImagePositionPatient = ["1", "2", "3"]
    save(header, tmp_path / "one.dcm")
    line = refusal(tmp_path)
    assert "3 images at 1 places" in line
    assert "EffectiveEchoTime 2.5 and 5" in line


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    victim = sorted(write_series(tmp_path).iterdir())[0]
    (tmp_path / "copy.dcm").write_bytes(victim.read_bytes())
    line = refusal(tmp_path)
    assert "copy.dcm" in line
    assert victim.name in line
    assert "the same slice" in line
