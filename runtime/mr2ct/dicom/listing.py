"""The series of a folder, as facts to choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from mr2ct.dicom.elements import decimal, double, raw, text, uid, words
from mr2ct.dicom.enhanced import MOST_FRAMES, first_groups
from mr2ct.dicom.files import Found, find_files, quiet, told, unreadable
from mr2ct.dicom.frames import MR_IMAGE, READABLE
from mr2ct.dicom.parsing import DicomFile, parse_file
from mr2ct.dicom.weighting import t1_weighted
from mr2ct.errors import VolumeError

ENOUGH_IMAGES = 12  # a head of 130 mm and more in slices of 10 mm; a localizer has 3 to 9, of three orientations
KINDS = {  # SOP classes that come along with MR and are not read
    "1.2.840.10008.5.1.4.1.1.4.2": "MR spectroscopy",
    "1.2.840.10008.5.1.4.1.1.4.3": "a colour MR",
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture, a picture",
    "1.2.840.10008.5.1.4.1.1.66": "raw data",
}


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers of a series say of it.

    uid: SeriesInstanceUID.  modality: "MR", "CT", ...  description: SeriesDescription, printable.  images: how many,
    frames counted.  echo_ms, repetition_ms, inversion_ms: of the first image, None where it does not tell.  sequence:
    ScanningSequence, ("GR", "IR").  t1: whether that looks T1-weighted, None where nothing tells.  unfit: why it is no
    MR volume of a head, "" where nothing speaks against it.
    """

    uid: str
    modality: str
    description: str
    images: int
    echo_ms: float | None
    repetition_ms: float | None
    inversion_ms: float | None
    sequence: tuple[str, ...]
    t1: bool | None
    unfit: str

    def __str__(self) -> str:
        """Part of a line: UID, description, number of images, how it was acquired."""
        times = (("TR", self.repetition_ms), ("TE", self.echo_ms), ("TI", self.inversion_ms))
        how = [f"{name} {ms:g}" for name, ms in times if ms] + (["/".join(self.sequence)] if self.sequence else [])
        acquired = f", {' '.join(how)}" if how else ""
        reason = f" ({self.unfit})" if self.unfit else ""
        return f"{self.uid} '{self.description}' {self.modality}, {self.images} images{acquired}{reason}"


@dataclass(frozen=True)
class Contents:
    """A folder, what was found in it, and its DICOM files by SeriesInstanceUID, in the order of their names."""

    folder: Path
    found: Found
    series: dict[str, list[DicomFile]]

    @property
    def where(self) -> str:
        """The folder, for a message."""
        return told(self.folder)


def list_series(folder: str | Path) -> tuple[SeriesFacts, ...]:
    """The series of a folder and the folders in it, MR first, then by UID; of any modality.

    Raises VolumeError when there is no DICOM file, or one that is damaged, which it names.
    """
    contents = look_into(Path(folder))
    with quiet():
        facts = [facts_of(files) for files in contents.series.values()]
    return tuple(sorted(facts, key=lambda series: (series.modality != "MR", series.uid)))


def look_into(folder: Path) -> Contents:
    """The headers of all DICOM files of a folder. Raises VolumeError, which names the file, where one is damaged."""
    try:
        if not folder.is_dir():
            what = "a file; give the folder of a series" if folder.exists() else "no such folder"
            raise VolumeError(f"{told(folder)}: {what}")
        found = find_files(folder)
        if not found.paths:
            raise VolumeError(f"{told(folder)}: no DICOM file in it{_what_else(found)}")
        series: dict[str, list[DicomFile]] = {}
        with quiet():
            for path in found.paths:
                if (file := parse_file(path)) is not None:
                    series.setdefault(_series_of(file), []).append(file)
    except OSError as error:
        raise unreadable(error, folder) from error
    return Contents(folder, found, series)


def _series_of(file: DicomFile) -> str:
    series = uid(file.header, "SeriesInstanceUID")
    if not series:
        raise VolumeError(f"{file.where}: damaged DICOM header, no SeriesInstanceUID; send it again or move it away")
    return series


def _what_else(found: Found) -> str:
    if found.naked:
        return (
            f"; {len(found.naked)} files look like DICOM without the file format's preamble ({told(found.naked[0])}), "
            "dcmtk's dcmconv writes it"
        )
    return f", but {found.others} others" if found.others else ""


def facts_of(files: Sequence[DicomFile]) -> SeriesFacts:
    """What the headers of one series' files say."""
    first = files[0].header
    groups = {} if uid(first, "SOPClassUID") == MR_IMAGE else dict(first_groups(first))
    nothing = Dataset()
    echo = decimal(first, "EchoTime") or double(groups.get("MREchoSequence", nothing), "EffectiveEchoTime")
    timing = groups.get("MRTimingAndRelatedParametersSequence", nothing)
    repetition = decimal(first, "RepetitionTime") or decimal(timing, "RepetitionTime")
    inversion = decimal(first, "InversionTime") or double(groups.get("MRModifierSequence", nothing), "InversionTimes")
    description = text(first, "SeriesDescription")
    sequence = words(first, "ScanningSequence") or _enhanced_sequence(first)
    kind = "\\".join(words(first, "ImageType")[2:])
    named = " ".join((description, text(first, "ProtocolName"), text(first, "SequenceName"), kind))
    return SeriesFacts(
        uid(first, "SeriesInstanceUID"),
        _modality(files),
        description,
        sum(_images(file.header) for file in files),
        echo,
        repetition,
        inversion,
        sequence,
        t1_weighted(echo, repetition, inversion, sequence, named),
        _unfit(files),
    )


def _images(header: Dataset) -> int:
    """NumberOfFrames as far as it can be true, 1 where there is none."""
    return int(min(max(decimal(header, "NumberOfFrames") or 1.0, 1.0), float(MOST_FRAMES)))


def _enhanced_sequence(header: Dataset) -> tuple[str, ...]:
    """ScanningSequence of an enhanced object, by its EchoPulseSequence (PS3.3, section C.8.13.4)."""
    return {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(
        "".join(words(header, "EchoPulseSequence")), ()
    )


def _modality(files: Sequence[DicomFile]) -> str:
    told_by = {"\\".join(words(file.header, "Modality")) for file in files}
    if told_by == {""} and all(uid(file.header, "SOPClassUID") in READABLE for file in files):
        return "MR"  # a required element, which some tools lose
    return " and ".join(sorted(modality or "unknown" for modality in told_by))


def _unfit(files: Sequence[DicomFile]) -> str:
    if (modality := _modality(files)) != "MR":
        return f"is {modality}, not MR"
    for file in files:
        if (sop_class := uid(file.header, "SOPClassUID")) not in READABLE:
            return f"is {KINDS.get(sop_class, f'of SOP class {sop_class or None}')}, not an MR image"
    if any("LOCALIZER" in words(file.header, "ImageType") for file in files):
        return "is a localizer"
    if len({raw(file.header, "FrameOfReferenceUID") for file in files}) > 1:
        return "has images of several frames of reference, which lie apart"
    return ""
