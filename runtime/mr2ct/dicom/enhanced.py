"""Enhanced MR: one file of many frames, whose geometry is in functional groups.

A group is in each frame's own sequence or, where all frames share it, in the shared one: PS3.3, section C.7.6.16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pydicom.dataset import Dataset

from mr2ct.dicom.elements import decimal, double, has, items, raw, words
from mr2ct.dicom.parsing import DicomFile
from mr2ct.errors import VolumeError

Groups: TypeAlias = Mapping[str, Dataset]
# sequences of the functional groups that are read
PLACE = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
RESCALE = "PixelValueTransformationSequence"
ACQUISITION = (
    "FrameContentSequence", "MRImageFrameTypeSequence", "MREchoSequence", "MRTimingAndRelatedParametersSequence",
    "MRModifierSequence", "MRDiffusionSequence",
)  # fmt: skip
MOST_FRAMES = 5_000  # a head has some hundred slices
MOST_ITEMS = 40 * MOST_FRAMES  # of all sequences of the frames
ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little, big endian


def frame_groups(file: DicomFile) -> Iterator[Groups]:
    """For each frame the item of each functional group, by the name of its sequence.

    Raises VolumeError where their number is not NumberOfFrames, or what tells a frame's place is damaged.
    """
    try:
        shared = _items_of(_first(file.header, "SharedFunctionalGroupsSequence"))
        frames = _per_frame(file.header)
    except Exception as error:  # pydicom raises a dozen kinds on damaged sequences
        raise VolumeError(f"{file.where}: damaged functional groups ({type(error).__name__}); send it again") from error
    count = decimal(file.header, "NumberOfFrames")
    if count is None or count != len(frames) or not 1 <= count <= MOST_FRAMES:
        told = "no" if count is None else f"{count:g}"
        raise VolumeError(
            f"{file.where}: NumberOfFrames is {told}, its functional groups describe {len(frames)} "
            f"(up to {MOST_FRAMES} are read); send it again"
        )
    for number, frame in enumerate(frames, 1):
        try:
            own = _items_of(frame)
        except Exception as error:
            raise VolumeError(
                f"{file.where}, frame {number}: damaged functional groups ({type(error).__name__}); send it again"
            ) from error
        yield {**shared, **own}


def first_groups(header: Dataset) -> Groups:
    """The groups of the first frame, as far as they can be read: hints of how the images were made."""
    try:
        shared = _items_of(_first(header, "SharedFunctionalGroupsSequence"))
        return {**shared, **_items_of(_per_frame(header)[0])}
    except Exception:  # reading says what is damaged; a hint is not needed
        return {}


def differences(groups: Groups) -> dict[str, str]:
    """What may tell a frame from others at its place, by the names of DIFFERENCES in frames.py."""
    nothing = Dataset()
    kind = groups.get("MRImageFrameTypeSequence", nothing)
    content = groups.get("FrameContentSequence", nothing)
    told = {
        "FrameType": "\\".join(words(kind, "FrameType")[2:]),
        "ComplexImageComponent": "\\".join(words(kind, "ComplexImageComponent")),
        "EffectiveEchoTime": _number(double(groups.get("MREchoSequence", nothing), "EffectiveEchoTime")),
        "InversionTimes": _number(double(groups.get("MRModifierSequence", nothing), "InversionTimes")),
        "FlipAngle": _number(decimal(groups.get("MRTimingAndRelatedParametersSequence", nothing), "FlipAngle")),
        "DiffusionBValue": _number(double(groups.get("MRDiffusionSequence", nothing), "DiffusionBValue")),
        "TemporalPositionIndex": _whole(content, "TemporalPositionIndex"),
        "StackID": "\\".join(words(content, "StackID")),
        "DimensionIndexValues": raw(content, "DimensionIndexValues").hex(),
    }
    return {name: text for name, text in told.items() if text}


def _per_frame(header: Dataset) -> list[Dataset]:
    keyword = "PerFrameFunctionalGroupsSequence"
    if max(raw(header, keyword).count(item) for item in ITEMS) > MOST_ITEMS:
        raise ValueError("more functional groups than MOST_FRAMES have")
    return list(items(header, keyword))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _whole(header: Dataset, keyword: str) -> str:
    value = raw(header, keyword)
    return str(int.from_bytes(value, "little")) if value else ""


def _first(header: Dataset, keyword: str) -> Dataset:
    sequence = items(header, keyword)
    return sequence[0] if len(sequence) else Dataset()


def _items_of(groups: Dataset) -> dict[str, Dataset]:
    return {name: _first(groups, name) for name in (*PLACE, RESCALE, *ACQUISITION) if has(groups, name)}
