"""Whose an instance is follows from its bytes, and from nothing that could be a path."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from mr2ct.errors import VolumeError
from mr2ct.node.identity import Identity, identify
from mr_files import ROOT, mr_instance

SERIES = f"{ROOT}.1"


def encoded(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """A data set as it comes in a C-STORE request."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax.is_implicit_VR
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def identity(**attributes: object) -> Identity:
    return identify(encoded(mr_instance(SERIES, 1, **attributes)), ExplicitVRLittleEndian)


def test_instances_of_a_series_share_a_key_and_not_a_name() -> None:
    one, two = (
        identify(encoded(mr_instance(SERIES, number)), ExplicitVRLittleEndian) for number in (1, 2)
    )  # fmt: skip
    assert one.key == two.key
    assert one.name != two.name
    assert re.fullmatch(r"[0-9a-f]{64}", one.key)
    assert re.fullmatch(r"[0-9a-f]{64}", one.name)


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "PID-4712"},
        {"PatientName": "Muster^Erik"},
        {"PatientBirthDate": "19700102"},
        {"IssuerOfPatientID": "B"},
        {"StudyInstanceUID": f"{ROOT}.2"},
        {"SeriesInstanceUID": f"{ROOT}.3"},
        {"PatientID": ""},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_patient_study_or_series_is_another_key(other: dict[str, object]) -> None:
    assert identity(**other).key != identity().key


def test_a_value_that_moves_to_its_neighbour_is_another_key() -> None:
    assert identity(PatientID="AB", IssuerOfPatientID="").key != identity(PatientID="A", IssuerOfPatientID="B").key


def test_the_encoding_does_not_matter() -> None:
    header = mr_instance(SERIES, 1)
    assert identify(encoded(header, ImplicitVRLittleEndian), ImplicitVRLittleEndian) == identity()


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "", "1" * 65, "1.2\n3", "evil\\1.2"])
def test_what_is_no_uid_is_refused(uid: str) -> None:
    header = mr_instance(SERIES, 1)
    header["SeriesInstanceUID"]._value = uid  # past pydicom's own check
    data = encoded(header)
    with pytest.raises(VolumeError, match=r"a data set (without a|whose) SeriesInstanceUID"):
        identify(data, ExplicitVRLittleEndian)


@settings(max_examples=50)
@given(st.data())
def test_a_data_set_that_was_cut_anywhere_is_refused(data: st.DataObject) -> None:
    whole = encoded(mr_instance(SERIES, 1))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(VolumeError) as told:
        identify(whole[:cut], ExplicitVRLittleEndian)
    assert "\n" not in str(told.value)
    assert "Muster" not in str(told.value)


@settings(max_examples=50)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        with pytest.raises(VolumeError):
            identify(data, syntax)


def test_compressed_pixels_are_taken_whole_and_refused_cut() -> None:
    header = mr_instance(SERIES, 1)
    header.PixelData = encapsulate([b"\1" * 100])
    header["PixelData"].is_undefined_length = True
    data = encoded(header)
    assert identify(data, RLELossless).key == identity().key
    with pytest.raises(VolumeError):
        identify(data[:-20], RLELossless)
