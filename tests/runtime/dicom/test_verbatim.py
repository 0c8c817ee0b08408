"""What the MR says of its patient reads in the CT as it reads in the MR, in every character set and in none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_drawn import PROVENANCE, draw_mr_series, read_ct, read_drawn, some_ct
from mr2ct.dicom.ct_series import write_ct_series
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import encoded
from mr2ct.errors import VolumeError

# SpecificCharacterSet, a name in it, and the name's bytes: by Python's codecs, with PS3.5's escapes (annexes H to K)
GB = b"\x1b$)A"
KS = b"\x1b$)C"
NAMES = [
    ("ISO_IR 100", "Buc^Jérôme", "Buc^Jérôme".encode("latin-1")),
    ("ISO_IR 101", "Wałęsa^Łukasz", "Wałęsa^Łukasz".encode("iso8859-2")),
    ("ISO_IR 109", "Ĉapelisto^Ŝi", "Ĉapelisto^Ŝi".encode("iso8859-3")),
    ("ISO_IR 110", "Bērziņš^Āris", "Bērziņš^Āris".encode("iso8859-4")),
    ("ISO_IR 144", "Щукин^Женя", "Щукин^Женя".encode("iso8859-5")),
    ("ISO_IR 127", "قباني^لنزار", "قباني^لنزار".encode("iso8859-6")),
    ("ISO_IR 126", "Διονυσιος^Σολωμος", "Διονυσιος^Σολωμος".encode("iso8859-7")),
    ("ISO_IR 138", "שרון^דבורה", "שרון^דבורה".encode("iso8859-8")),
    ("ISO_IR 148", "Çavuşoğlu^Gülşen", "Çavuşoğlu^Gülşen".encode("iso8859-9")),
    ("ISO_IR 166", "สมชาย^ใจดี", "สมชาย^ใจดี".encode("tis-620")),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis")),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東", "Wang^XiaoDong=王^小東".encode()),
    ("GB18030", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东".encode("gb18030")),
    ("GBK", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东".encode("gbk")),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太郎".encode("iso2022_jp")),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ=山", b"\xd4\xcf\xc0\xde=\x1b$B;3\x1b(J"),
    ("\\ISO 2022 IR 149", "Hong=洪=홍", b"Hong=" + KS + "洪".encode("euc_kr") + b"=" + KS + "홍".encode("euc_kr")),
    ("\\ISO 2022 IR 58", "Zhang^Xiao=张^小", b"Zhang^Xiao=" + GB + b"\xd5\xc5^" + GB + b"\xd0\xa1"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "Jérôme^Роза", b"J\xe9r\xf4me^\x1b-L\xc0\xde\xd7\xd0"),
]


def ct_of(series: MrSeries, tmp_path: Path) -> Dataset:
    """The first slice of the CT of that MR."""
    write_ct_series(some_ct(series.volume.grid), series, PROVENANCE, tmp_path / "ct")
    return read_ct(tmp_path / "ct")[0]


def with_bytes(tmp_path: Path, value: bytes, **attributes: Any) -> MrSeries:
    """An MR whose PatientID, PatientName and StudyDescription are these bytes, whatever its character set."""
    charset, mark = attributes.pop("SpecificCharacterSet", None), "X" * len(value)
    draw_mr_series(tmp_path / "mr", **attributes, PatientID=mark, PatientName=mark, StudyDescription=mark)
    said = b""
    if charset is not None:
        said = encoded(DataElement(0x00080005, "CS", charset, validation_mode=IGNORE))
    for file in (tmp_path / "mr").iterdir():
        content = file.read_bytes().replace(mark.encode(), value)
        at = content.index(b"\x08\x00\x16\x00UI")  # of SOPClassUID, the first element
        file.write_bytes(content[:at] + said + content[at:])
    return read_drawn(tmp_path / "mr")


@pytest.mark.parametrize(("charset", "name", "value"), NAMES, ids=[charset for charset, _, _ in NAMES])
def test_a_name_in_any_character_set_arrives_in_it(tmp_path: Path, charset: str, name: str, value: bytes) -> None:
    series = with_bytes(tmp_path, value + b" " * (len(value) % 2), SpecificCharacterSet=charset.split("\\"))
    ct = ct_of(series, tmp_path)
    if "IR 58" not in charset:  # which pydicom decodes to escapes and all
        assert str(ct.PatientName) == name
    assert ct.PatientName == series.header.PatientName
    assert ct.SpecificCharacterSet == series.header.SpecificCharacterSet
    for file in (tmp_path / "ct").iterdir():
        assert file.read_bytes().count(value) == 3


@pytest.mark.parametrize(
    ("charset", "name"),
    [(charset, name) for charset, name, _ in NAMES if charset != "ISO_IR 13" and "2022" not in charset],
)
def test_text_that_was_decoded_before_arrives_too(tmp_path: Path, charset: str, name: str) -> None:
    text = name.replace("^", " ").replace("=", " ")
    series = draw_mr_series(
        tmp_path / "mr", SpecificCharacterSet=charset, PatientName=name, PatientComments=text, InstitutionName=text
    )
    for element in series.header:
        str(element.value)
    ct = ct_of(series, tmp_path)
    assert str(ct.PatientName) == name
    assert ct.PatientComments == ct.ContributingEquipmentSequence[0].InstitutionName == text


def test_headers_of_the_mr_are_not_decoded_in_their_place(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "head"
    series = draw_mr_series(tmp_path / "mr", ProcedureCodeSequence=[code])
    before = [{tag: header.get_item(tag) for tag in header.keys()} for header in series.headers]  # noqa: SIM118
    ct_of(series, tmp_path)
    after = [{tag: header.get_item(tag) for tag in header.keys()} for header in series.headers]  # noqa: SIM118
    assert before == after


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # as pydicom reads
@pytest.mark.parametrize(
    ("charset", "value"),
    [
        (None, b"M\xfcller^Zo\xeb "),  # Latin 1, unsaid
        ("ISO_IR 192", b"M\xfcller^Zo\xeb "),  # Latin 1, said to be UTF-8
        ("ISO_IR 6", b"\xe5\xb1\xb1\xe7\x94\xb0"),  # UTF-8, said to be ASCII
        ("NO SUCH SET", b"M\xfcller^Zo\xeb "),
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
    with pytest.raises(VolumeError, match=r"StudyDescription is no text of the character set that it is said"):
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
    private.add_new(0x00100BBA, "UN", b"from a later standard")
    series = draw_mr_series(
        tmp_path / "mr",
        SpecificCharacterSet="ISO_IR 100",
        OtherPatientIDsSequence=[other],
        ProcedureCodeSequence=[code],
        PatientAge="054Y",
        PatientWeight="70.5",
    )
    for file in series.files:
        mr = dcmread(file, stop_before_pixels=True)
        mr.file_meta.TransferSyntaxUID = syntax
        for element in mr.iterall():
            element.value  # noqa: B018 - decoded, so that it may be encoded otherwise
        dcmwrite(
            file, mr, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=True, enforce_file_format=False,
        )  # fmt: skip
    headers = tuple(dcmread(file) for file in series.files)
    ct = ct_of(MrSeries(series.folder, series.files, series.volume, headers, series.source), tmp_path)
    (there,) = ct.OtherPatientIDsSequence
    assert (there.PatientID, there.IssuerOfPatientID) == ("77", "Straße")
    (qualifier,) = there.IssuerOfPatientIDQualifiersSequence
    assert qualifier.UniversalEntityID == "1.2.3"
    assert qualifier[0x00100BBA].value.startswith(b"from a later standard")
    assert len(qualifier) == 3  # the private elements stay behind
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
