"""Whose an instance is, read from its bytes without trusting them.

Nothing that comes over the network becomes a path: folders and files are named by sha256. Two instances belong together
when patient, study and series are the same, byte for byte: a SeriesInstanceUID that two patients share, by a scanner's
fault or a copy's, makes two series. Names are compared as the bytes they are, so no character set matters.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from mr2ct.errors import VolumeError

# what can become a CT
MR_SOP_CLASSES = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
# PS3.5 section 9.1: digits and dots, 64 at most. Leading zeros, which it forbids, are common and harm nobody.
VALID_UID = re.compile(r"[0-9][0-9.]{0,63}")
# what tells one patient's series from another's: Patient Identification and the UIDs above the instance
SERIES_OF_A_PATIENT = (
    0x00100020,  # PatientID
    0x00100021,  # IssuerOfPatientID
    0x00100010,  # PatientName
    0x00100030,  # PatientBirthDate
    0x0020000D,  # StudyInstanceUID
    0x0020000E,  # SeriesInstanceUID
)
PIXEL_DATA = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF  # PS3.5 section 7.1


@dataclass(frozen=True)
class Identity:
    """key: 64 hex digits, the same for all instances of one series of one patient.  name: 64 hex digits, of the
    SOPInstanceUID.  series, instance: the UIDs, checked, for the log.
    """

    key: str
    name: str
    series: str
    instance: str


def identify(data: bytes, transfer_syntax: UID) -> Identity:
    """The identity of an encoded data set without file meta, which must be whole.

    Raises VolumeError when it cannot be parsed, ends early, has no pixels or no valid UIDs.
    """
    try:
        dataset = read_dataset(BytesIO(data), transfer_syntax.is_implicit_VR, transfer_syntax.is_little_endian)
        _refuse_truncated(dataset, transfer_syntax)
        return identity_of(dataset)
    except VolumeError:
        raise
    except Exception as error:  # whatever a parser does with bytes from anywhere; its text may quote a patient's name
        raise VolumeError(f"a data set that cannot be parsed ({type(error).__name__}); send the file again") from error


def identity_of(dataset: Dataset) -> Identity:
    """The identity of a parsed data set. Raises VolumeError without valid UIDs."""
    _uid(dataset, 0x0020000D, "StudyInstanceUID")
    series = _uid(dataset, 0x0020000E, "SeriesInstanceUID")
    instance = _uid(dataset, 0x00080018, "SOPInstanceUID")
    key = hashlib.sha256()
    for tag in SERIES_OF_A_PATIENT:
        value = _raw(dataset, tag)
        key.update(len(value).to_bytes(4) + value)
    return Identity(key.hexdigest(), hashlib.sha256(instance.encode()).hexdigest(), series, instance)


def series_uid(folder: Path) -> str:
    """The SeriesInstanceUID of the first file in a folder of instances that were identified before."""
    for file in sorted(folder.iterdir()):
        return str(dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID)
    raise VolumeError(f"{folder}: no instance in it")


def _uid(dataset: Dataset, tag: int, name: str) -> str:
    text = _raw(dataset, tag).decode("latin-1")
    if VALID_UID.fullmatch(text) is None:
        raise VolumeError(f"a data set {'without a' if not text else 'whose'} {name}{' is no UID' if text else ''}")
    return text


def _raw(dataset: Dataset, tag: int) -> bytes:
    """An element's bytes as they were sent, without padding; empty when it is missing."""
    element: DataElement | RawDataElement | None = dataset.get_item(tag) if tag in dataset else None
    value = None if element is None else element.value
    if isinstance(value, str):
        value = value.encode()
    return value.strip(b" \0") if isinstance(value, bytes) else b""


def _refuse_truncated(dataset: Dataset, transfer_syntax: UID) -> None:
    for element in dataset.values():
        if isinstance(element, RawDataElement) and element.length != UNDEFINED_LENGTH:
            held = len(element.value or b"")
            if held < element.length:
                raise VolumeError(
                    f"a truncated data set: {element.tag} has {held} of {element.length} bytes; send the file again"
                )
    if PIXEL_DATA not in dataset:
        raise VolumeError("a data set without pixels: it was cut off, or is no image")
    if not transfer_syntax.is_encapsulated:
        frames = int(dataset.get("NumberOfFrames") or 1)
        pixels = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * frames
        needed = pixels * dataset.BitsAllocated // 8
        held = len(dataset.get_item(PIXEL_DATA).value or b"")
        if held < needed:
            raise VolumeError(f"a truncated data set: pixels have {held} of {needed} bytes; send the file again")
