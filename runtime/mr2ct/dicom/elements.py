"""What a header says, out of the bytes of its elements.

pydicom's own conversion warns and raises in many ways, by settings of the whole process; here a value that the standard
does not allow is None or "", and the caller says what is missing. Value representations: DICOM PS3.5, section 6.2.
"""

from __future__ import annotations

import math
import struct

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

CHARACTER_SETS = {"ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8", "GB18030": "gb18030", "ISO_IR 13": "shift_jis"}
LONGEST_TEXT = 4096  # bytes; what is longer is no text that is told or compared here
LONGEST_NUMBER = 64  # bytes; a decimal string has up to 16, files in the wild have up to about 24


def clean(text: str, most: int = 80) -> str:
    """Text of a file as part of a one-line message: printable, up to `most` characters."""
    shown = " ".join("".join(c if c.isprintable() else "?" for c in text).split())
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def raw(header: Dataset, keyword: str) -> bytes:
    """The bytes of an element; none where it is absent or a sequence."""
    element = _element(header, keyword)
    value = element.value if isinstance(element, RawDataElement) else None
    return value if isinstance(value, bytes) else b""


def has(header: Dataset, keyword: str) -> bool:
    """Whether there is such an element, empty or not."""
    return _element(header, keyword) is not None


def text(header: Dataset, keyword: str) -> str:
    """The text of an element, clean; in a character set that is not known, without what is not ASCII."""
    name = raw(header, "SpecificCharacterSet").decode("ascii", "replace").split("\\")[0].strip(" \0")
    return clean(raw(header, keyword)[:LONGEST_TEXT].decode(CHARACTER_SETS.get(name, "ascii"), "replace").strip(" \0"))


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a code string (CS), in capitals: ("ORIGINAL", "PRIMARY", "M")."""
    values = (
        clean(word.strip(" \0").upper())
        for word in raw(header, keyword)[:LONGEST_TEXT].decode("ascii", "replace").split("\\")
    )
    return tuple(word for word in values if word)


def uid(header: Dataset, keyword: str) -> str:
    """A unique identifier, clean; "" where there is none."""
    return clean(raw(header, keyword)[:LONGEST_TEXT].decode("ascii", "replace").strip(" \0"))


def decimals(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers of a decimal or integer string (DS, IS), as float64; else None."""
    parts = raw(header, keyword)[:LONGEST_TEXT].split(b"\\")
    if len(parts) != count or max(map(len, parts)) > LONGEST_NUMBER:
        return None
    try:
        values = tuple(float(part.strip(b" \0").replace(b"_", b"?")) for part in parts)
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def decimal(header: Dataset, keyword: str) -> float | None:
    """The first finite number of a decimal or integer string; None where there is none."""
    first = raw(header, keyword)[:LONGEST_TEXT].split(b"\\")[0]
    try:
        value = float(first.strip(b" \0").replace(b"_", b"?")) if len(first) <= LONGEST_NUMBER else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def double(header: Dataset, keyword: str) -> float | None:
    """The first finite number of a binary element (FD); None where there is none."""
    return _unpacked(header, keyword, "d")


def short(header: Dataset, keyword: str, *, signed: bool = False) -> int | None:
    """The first number of a 16-bit element (US, SS); None where there is none."""
    value = _unpacked(header, keyword, "h" if signed else "H")
    return None if value is None else int(value)


def items(header: Dataset, keyword: str) -> Sequence:
    """The items of a sequence, none where it is absent. May raise what pydicom raises on damaged ones.

    The header keeps the bytes: header[tag] would convert others beside it.
    """
    element = _element(header, keyword)
    if element is None:
        return Sequence()
    value = (convert_raw_data_element(element) if isinstance(element, RawDataElement) else element).value
    return value if isinstance(value, Sequence) else Sequence()


def _element(header: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"no DICOM keyword: {keyword}")
    return header.get_item(tag)


def _unpacked(header: Dataset, keyword: str, code: str) -> float | None:
    element = _element(header, keyword)
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return None
    if len(element.value) < struct.calcsize(code):
        return None
    value = float(struct.unpack_from(("<" if element.is_little_endian else ">") + code, element.value)[0])
    return value if math.isfinite(value) else None
