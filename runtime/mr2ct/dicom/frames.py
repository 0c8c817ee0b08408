"""The images of a DICOM file: where each lies, what its numbers mean, where its pixels are.

Geometry: PS3.3, section C.7.6.2.1.1; the rescale of MR: PS3.3, section C.11.1, and for an enhanced object C.7.6.16.2.9.
Private scales (Philips 2005,100E and such) are left alone: values are what RescaleSlope and RescaleIntercept make them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mr2ct.dicom import enhanced
from mr2ct.dicom.elements import decimal, decimals, double, has, text, uid, words
from mr2ct.dicom.parsing import DicomFile
from mr2ct.errors import VolumeError

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
READABLE = (MR_IMAGE, ENHANCED_MR, LEGACY_ENHANCED_MR)
LARGEST = 1e6  # mm, or a rescale; what is larger is damaged. 32 bits rescaled by it stay within float32
# what may tell images at one place apart
DIFFERENCES = (
    "EchoTime", "EchoNumbers", "TemporalPositionIdentifier", "InversionTime", "FlipAngle", "TriggerTime",
    "AcquisitionNumber", "SOPInstanceUID",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One image.

    file, number: which file, and which frame of it, from 0.  where: the same, for a message.  position: LPS mm of the
    centre of its first voxel.  orientation: LPS unit vectors along a row and along a column.  spacing: mm between rows
    and between columns.  slope, intercept: a value is slope * stored + intercept.  differences: what may tell it from
    others at its place, by keyword.
    """

    file: DicomFile
    number: int
    where: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    slope: float
    intercept: float
    differences: Mapping[str, str]


def frames_of(file: DicomFile) -> list[Frame]:
    """The images of an MR file. Raises VolumeError where geometry or rescale is missing or damaged."""
    header = file.header
    if words(header, "AnatomicalOrientationType") == ("QUADRUPED",):
        raise VolumeError(f"{file.where}: of an animal (AnatomicalOrientationType QUADRUPED); a human head is needed")
    if has(header, "ModalityLUTSequence"):
        raise VolumeError(f"{file.where}: its values go through a table (ModalityLUTSequence); send the scanner's own")
    if uid(header, "SOPClassUID") != MR_IMAGE:
        return [
            _placed(file, number, list(groups.values()), enhanced.differences(groups))
            for number, groups in enumerate(enhanced.frame_groups(file))
        ]
    count = decimal(header, "NumberOfFrames")
    if count is not None and count != 1:
        raise VolumeError(f"{file.where}: {count:g} frames in an MR Image, which has one; convert it to Enhanced MR")
    b_value = double(header, "DiffusionBValue")
    told = {
        "ImageType": "\\".join(words(header, "ImageType")[2:]),
        "DiffusionBValue": "" if b_value is None else f"{b_value:g}",
        **{keyword: text(header, keyword) for keyword in DIFFERENCES},
    }
    return [_placed(file, None, [header], told)]


def _placed(file: DicomFile, number: int | None, headers: Sequence[Dataset], told: Mapping[str, str]) -> Frame:
    """A frame whose elements are in one of some headers. number: None where the file has one image only."""
    suffix = "" if number is None else f", frame {number + 1}"
    where = file.where + suffix
    position = _needed(headers, "ImagePositionPatient", 3, where)
    orientation = _needed(headers, "ImageOrientationPatient", 6, where)
    spacing = _needed(headers, "PixelSpacing", 2, where)
    if min(spacing) <= 0:
        raise VolumeError(f"{where}: PixelSpacing {spacing[0]:g} x {spacing[1]:g} mm; both need more than 0")
    slope = _rescale(headers, "RescaleSlope", 1.0, where)
    intercept = _rescale(headers, "RescaleIntercept", 0.0, where)
    if slope == 0:
        raise VolumeError(f"{where}: RescaleSlope is 0, which makes all voxels alike; send the series again")
    short = file.short + suffix
    return Frame(file, number or 0, short, position, orientation, spacing, slope, intercept, told)


def _needed(headers: Sequence[Dataset], keyword: str, count: int, where: str) -> tuple[float, ...]:
    for header in headers:
        if has(header, keyword):
            values = decimals(header, keyword, count)
            if values is None or max(map(abs, values)) > LARGEST:
                raise VolumeError(f"{where}: {keyword} is not {count} sound numbers; send the series again")
            return values
    raise VolumeError(f"{where}: no {keyword}, so where it lies is not known; send the scanner's own series")


def _rescale(headers: Sequence[Dataset], keyword: str, neutral: float, where: str) -> float:
    """RescaleSlope or RescaleIntercept, which MR may leave out or empty."""
    if not any(text(header, keyword) for header in headers):
        return neutral
    return _needed(headers, keyword, 1, where)[0]
