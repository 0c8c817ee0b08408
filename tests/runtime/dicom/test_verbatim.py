"""What the MR says of its patient reads in the CT as it reads in the MR, in every character set and in none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_drawn import PROVENANCE, draw_mr_series, read_ct, read_drawn, some_ct
from mr2ct.dicom.ct_series import write_ct_series
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import verbatim
from mr2ct.errors import VolumeError

# PS3.5, annexes H to K, and what hospitals send
NAMES = {
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 101": "Wałęsa^Łukasz",
    "ISO_IR 109": "Ĉapelisto^Ŝi",
    "ISO_IR 110": "Bērziņš^Āris",
    "ISO_IR 144": "Люкceмбypг^Роза",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 126": "Διονυσιος^Σολωμος",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 148": "Çavuşoğlu^Gülşen",
    "ISO_IR 166": "สมชาย^ใจดี",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "ISO_IR 192": "Wang^XiaoDong=王^小東=",
    "GB18030": "Wang^XiaoDong=王^小东=",
    "GBK": "Wang^XiaoDong=王^小东=",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "\\ISO 2022 IR 58": "Zhang^XiaoDong=张^小东=",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "Jérôme^Роза",
}


def ct_of(series: MrSeries, tmp_path: Path) -> Dataset:
    """The first slice of the CT of that MR."""
    write_ct_series(some_ct(series.volume.grid), series, PROVENANCE, tmp_path / "ct")
    return read_ct(tmp_path / "ct")[0]


@pytest.mark.parametrize("charset", NAMES)
@pytest.mark.parametrize("touched", [False, True], ids=["raw", "decoded"])
def test_a_name_in_any_character_set_arrives_in_it(tmp_path: Path, charset: str, touched: bool) -> None:
    names, values = charset.split("\\"), NAMES[charset].replace("^", " ").replace("=", " ")
    series = draw_mr_series(
        tmp_path / "mr",
        SpecificCharacterSet=names if len(names) > 1 else names[0],
        PatientName=NAMES[charset],
        StudyDescription=values,
        PatientComments=values,
        InstitutionName=values,
    )
    if touched:
        for element in series.header:
            str(element.value)
    ct = ct_of(series, tmp_path)
    assert str(ct.PatientName) == NAMES[charset].rstrip("=")
    assert ct.SpecificCharacterSet == series.header.SpecificCharacterSet
    assert ct.StudyDescription == ct.PatientComments == values
    assert ct.ContributingEquipmentSequence[0].InstitutionName == values
    again = dcmread(series.files[0])
    for keyword in ("PatientName", "StudyDescription", "PatientComments"):  # bytes, as they were
        assert verbatim(ct, Tag(keyword), ct.SpecificCharacterSet) == verbatim(again, Tag(keyword), "ISO_IR 6")


def with_bytes(tmp_path: Path, value: bytes, **attributes: str) -> MrSeries:
    """An MR whose PatientID, PatientName and StudyDescription are these bytes, whatever its character set."""
    mark = "X" * len(value)
    draw_mr_series(tmp_path / "mr", **{**attributes, "PatientID": mark, "PatientName": mark, "StudyDescription": mark})
    for file in (tmp_path / "mr").iterdir():
        file.write_bytes(file.read_bytes().replace(mark.encode(), value))
    return read_drawn(tmp_path / "mr")


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        (None, b"M\xfcller^Zo\xeb "),  # Latin 1, unsaid
        ("ISO_IR 192", b"M\xfcller^Zo\xeb "),  # Latin 1, said to be UTF-8
        ("ISO_IR 6", b"\xe5\xb1\xb1\xe7\x94\xb0"),  # UTF-8, said to be ASCII
        ("no such set", b"M\xfcller^Zo\xeb "),
        ("ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$Bxx\x1b(B"),  # a set that is no first value
        ("ISO_IR 100", b"a^b=c^d=e^f "),
        ("ISO_IR 100", b"<b>&amp;^'\" "),
        ("ISO_IR 100", b"\x00\x01\x7f\x80  "),
    ],
)
def test_bytes_that_are_not_text_of_their_character_set_arrive_as_they_are(
    tmp_path: Path, charset: str | None, value: bytes
) -> None:
    series = with_bytes(tmp_path, value, **({} if charset is None else {"SpecificCharacterSet": charset}))
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    for file in (tmp_path / "ct").iterdir():
        assert file.read_bytes().count(value) == 3
        assert dcmread(file).get("SpecificCharacterSet") == charset


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_text_that_lost_something_when_it_was_decoded_is_refused_and_named(tmp_path: Path) -> None:
    series = with_bytes(tmp_path, b"M\xfcller^Zo\xeb ", SpecificCharacterSet="ISO_IR 192")
    assert "\ufffd" in series.header.StudyDescription
    assert "\ufffd" in str(series.header.PatientName)  # of which pydicom keeps the bytes
    with pytest.raises(VolumeError, match=r"StudyDescription cannot be read in the character set ISO_IR 192; correct"):
        ct_of(series, tmp_path)
    assert not (tmp_path / "ct").exists()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian])
def test_sequences_arrive_whole_from_any_transfer_syntax(tmp_path: Path, syntax: str) -> None:
    other, code, private = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "Köpfchen"
    other.PatientID, other.TypeOfPatientID, other.IssuerOfPatientID = "77 ", "TEXT", "Straße"
    other.IssuerOfPatientIDQualifiersSequence = [private]
    private.UniversalEntityID, private.UniversalEntityIDType = "1.2.3", "ISO"
    private.private_block(0x11, "NOBODY", create=True).add_new(1, "LO", "secret")
    series = draw_mr_series(
        tmp_path / "mr",
        SpecificCharacterSet="ISO_IR 100",
        OtherPatientIDsSequence=[other],
        ProcedureCodeSequence=[code],
        PatientAge="054Y",
        PatientWeight="70.5",
    )
    for file in series.files:
        mr = dcmread(file)
        mr.file_meta.TransferSyntaxUID = syntax
        explicit = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
        buffer = BytesIO()
        for element in mr:
            element.value  # noqa: B018 - decoded, so that it may be encoded otherwise
        del mr.PixelData  # of the other byte order
        mr.save_as(buffer, enforce_file_format=True, **({} if syntax == ExplicitVRLittleEndian else explicit))
        file.write_bytes(buffer.getvalue())
    headers = tuple(dcmread(file) for file in series.files)
    ct = ct_of(MrSeries(series.folder, series.files, series.volume, headers, series.source), tmp_path)
    (there,) = ct.OtherPatientIDsSequence
    assert (there.PatientID, there.IssuerOfPatientID) == ("77", "Straße")
    (qualifier,) = there.IssuerOfPatientIDQualifiersSequence
    assert qualifier.UniversalEntityID == "1.2.3"
    assert len(qualifier) == 2  # the private elements stay behind
    assert ct.ProcedureCodeSequence[0].CodeMeaning == "Köpfchen"
    assert (ct.PatientAge, ct.PatientWeight) == ("054Y", 70.5)
    assert list(ct.ContributingEquipmentSequence[0].SoftwareVersions) == ["P1", "P2"]


def test_an_element_of_unknown_vr_gets_that_of_the_dictionary(tmp_path: Path) -> None:
    series = draw_mr_series(tmp_path / "mr")
    for file in series.files:
        content = file.read_bytes()
        at = content.index(b"\x10\x00\x20\x00LO")
        length = content[at + 6 : at + 8]
        file.write_bytes(content[: at + 4] + b"UN\0\0" + length + b"\0\0" + content[at + 8 :])
    assert ct_of(read_drawn(tmp_path / "mr"), tmp_path).PatientID == "4711"
