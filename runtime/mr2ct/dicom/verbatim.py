"""What the MR says of its patient and study, byte for byte.

Text is not decoded on the way: with the MR's SpecificCharacterSet beside it, it reads in the CT as it reads in the MR,
whatever that character set is and whether or not the text keeps to it. Systems that compare names byte by byte see one
patient. The MR's headers stay as they are: pydicom's `header[tag]` would decode the element in its place.
"""

from __future__ import annotations

import struct

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, EXPLICIT_VR_LENGTH_32, STR_VR, VR, PersonName

from mr2ct.dicom.ct_text import one_line
from mr2ct.errors import VolumeError

REPLACED = "\ufffd"  # what a decoder puts where bytes were no text
ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000), little endian; PS3.5, 7.5

CharacterSet = list[str]  # the values of SpecificCharacterSet (0008,0005), none where there is none


def encoded(element: DataElement | RawDataElement, charset: CharacterSet | None = None) -> bytes:
    """An element in explicit VR little endian. charset: of its text; text without one is ASCII."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, charset)
    return buffer.getvalue()


def is_empty(element: bytes) -> bool:
    """Whether an encoded element has no value."""
    return len(element) == _head_length(element[4:6].decode("ascii"))


def plain(header: Dataset, keyword: str) -> str:
    """An element that is ASCII: a UID, a code string, a number. "" where there is none."""
    if keyword not in header:
        return ""
    value = header.get_item(keyword).value
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip(" \0")
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value or "")


def character_set(header: Dataset, outer: CharacterSet | None = None) -> CharacterSet:
    """The header's own; of an item of a sequence that has none, the outer data set's."""
    if "SpecificCharacterSet" not in header:
        return outer or []
    return [name.strip() for name in plain(header, "SpecificCharacterSet").split("\\")]


def verbatim(header: Dataset, keyword: str) -> bytes | None:
    """The element of that keyword, in explicit VR little endian; None where the header has none.

    Of a sequence without the private elements in its items. Raises VolumeError for text that was decoded before this
    and lost something by that.
    """
    if keyword not in header:
        return None
    try:
        return _element(header, Tag(keyword), character_set(header))
    except UnicodeError as error:
        raise VolumeError(
            f"series {one_line(plain(header, 'SeriesInstanceUID'))}: {keyword} is no text of the character set that it "
            "is said to be of; correct SpecificCharacterSet (0008,0005) and send the series again"
        ) from error


def ascii_elements(**values: str) -> dict[int, bytes]:
    """Elements by keyword as bytes by tag; a UID that breaks DICOM's rules is written as it is."""
    return {
        Tag(keyword): _of_bytes(Tag(keyword), dictionary_VR(keyword), value.encode("ascii", "replace"))
        for keyword, value in values.items()
    }


def sequence(tag: BaseTag, items: list[dict[int, bytes]]) -> bytes:
    """A sequence of items, each its encoded elements by tag, with lengths and not with delimiters (PS3.5, 7.5)."""
    contents = [b"".join(item[tag] for tag in sorted(item)) for item in items]
    return _of_bytes(tag, VR.SQ, b"".join(ITEM + struct.pack("<L", len(one)) + one for one in contents))


def _element(header: Dataset, tag: BaseTag, charset: CharacterSet) -> bytes:
    element = header.get_item(tag)
    vr = str(element.VR or VR.UN)
    if vr == VR.UN and dictionary_has_tag(tag):
        vr = dictionary_VR(tag)
    if isinstance(element, RawDataElement):
        if vr in STR_VR or vr == VR.UN:
            return _of_bytes(tag, vr, element.value or b"")
        element = convert_raw_data_element(element, encoding=charset, ds=header)
    if vr == VR.SQ:
        return sequence(tag, [_item(item, charset) for item in element.value or ()])
    names = [value for value in _values(element) if isinstance(value, PersonName) and value.original_string is not None]
    if vr == VR.PN and len(names) == element.VM:  # pydicom keeps the bytes of a name
        return _of_bytes(tag, vr, b"\\".join(name.original_string for name in names))
    content = encoded(element, charset)
    if vr in CUSTOMIZABLE_CHARSET_VR and not _says(content, element, charset):
        raise UnicodeError
    return content


def _item(item: Dataset, outer: CharacterSet) -> dict[int, bytes]:
    charset = character_set(item, outer)
    return {tag: _element(item, tag, charset) for tag in sorted(item.keys()) if not tag.is_private}


def _of_bytes(tag: BaseTag, vr: str, value: bytes) -> bytes:
    """The element of a value that is bytes already; an odd one is padded (PS3.5, 6.2)."""
    if len(value) % 2:
        value += b"\0" if vr == VR.UI else b" "
    return encoded(_raw(tag, vr, value))


def _raw(tag: BaseTag, vr: str, value: bytes) -> RawDataElement:
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def _says(content: bytes, element: DataElement, charset: CharacterSet) -> bool:
    """Whether the bytes of a text element decode to its value again, and nothing was replaced in it before."""
    raw = _raw(element.tag, str(element.VR), content[_head_length(str(element.VR)) :])
    again = convert_raw_data_element(raw, encoding=convert_encodings(charset))
    texts = [str(value).rstrip("\0 ") for value in _values(element)]
    return texts == [str(value).rstrip("\0 ") for value in _values(again)] and REPLACED not in "".join(texts)


def _head_length(vr: str) -> int:
    """Bytes of tag, VR and length; PS3.5, 7.1.2."""
    return 12 if vr in EXPLICIT_VR_LENGTH_32 else 8


def _values(element: DataElement) -> list[object]:
    if element.is_empty:
        return []
    return list(element.value) if isinstance(element.value, MultiValue | list) else [element.value]
