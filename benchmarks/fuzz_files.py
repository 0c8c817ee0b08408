"""Small sound volume files of every format that is read, and what damage makes of them."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

SHAPE = (4, 12, 10)  # k, j, i
MR_IMAGE, ENHANCED_MR = UID("1.2.840.10008.5.1.4.1.1.4"), UID("1.2.840.10008.5.1.4.1.1.4.1")
JPEG_2000 = UID("1.2.840.10008.1.2.4.90")
NATIVE = {
    "explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian, "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}  # fmt: skip
DCMTK = {"JPEG Lossless": ["dcmcjpeg", "+e1"], "JPEG Extended": ["dcmcjpeg", "+ee"], "JPEG-LS": ["dcmcjpls"]}
SIZES = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
NUMBERS = (
    b"0",
    b"-1",
    b"nan",
    b"inf",
    b"1e400",
    b"1e-400",
    b"99999999999",
    b"65536",
    b"2147483648",
    b"",
    b"0x10",
    b"1_0",
)


@dataclass(frozen=True)
class Seed:
    """A sound file: kind, for the statistics; its content by file name; victim, the name of the one that is damaged."""

    kind: str
    files: dict[str, bytes]
    victim: str
    is_dicom: bool


def voxels() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """(k, j, i) numbers of 12 bits."""
    k, j, i = np.indices(SHAPE)
    return (2000 + 1500 * np.sin(i / 3 + k) * np.cos(j / 4)).astype(np.uint16)


def seeds(folder: Path) -> tuple[list[Seed], list[str]]:
    """All sound files, made in a folder, and which kinds cannot be made here."""
    made, absent = [*_volumes(folder)], []
    for kind, syntax in NATIVE.items():
        made += _dicom(folder / kind, f"DICOM {kind}", lambda header, syntax=syntax: _native(header, syntax))
    made += _dicom(folder / "rle", "DICOM RLE", _rle)
    made += _dicom(folder / "j2k", "DICOM JPEG 2000", lambda header: _jpeg_2000(header, folder), enhanced=False)
    for kind, command in DCMTK.items():
        if shutil.which(command[0]) is None:
            absent.append(f"DICOM {kind} (needs dcmtk)")
        else:
            made += _dicom(folder / kind, f"DICOM {kind}", _plain, command=command)
    return made, absent


def _volumes(folder: Path) -> list[Seed]:
    folder.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels())
    image.SetSpacing((0.9, 1.1, 1.3))
    image.SetOrigin((-90.5, 81.25, -7.0))
    made = []
    for suffix in (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"):
        for packed in (False, True) if suffix not in (".nii", ".nii.gz") else (False,):
            here = folder / f"{suffix[1:]}{packed}"
            here.mkdir()
            sitk.WriteImage(image, str(here / f"mr{suffix}"), useCompression=packed)
            files = {path.name: path.read_bytes() for path in here.iterdir()}
            made.append(Seed(f"{suffix}{' compressed' if packed else ''}", files, f"mr{suffix}", False))
    return made


def _dicom(
    folder: Path, kind: str, encode: Callable[[Dataset], None], command: list[str] | None = None, enhanced: bool = True
) -> list[Seed]:
    made = []
    for name, headers in (("", _slices()), ("enhanced ", [_enhanced()])):
        if name and not enhanced:
            continue
        here = folder / (name.strip() or "single")
        here.mkdir(parents=True)
        for n, header in enumerate(headers):
            encode(header)
            path = here / f"{n}.dcm"
            header.save_as(path, enforce_file_format=True)
            if command:
                subprocess.run([*command, str(path), str(path)], check=True, capture_output=True, timeout=20)
        files = {path.name: path.read_bytes() for path in here.iterdir()}
        made.append(Seed(f"{kind} {name}".strip(), files, sorted(files)[0], True))
    return made


def _common(sop_class: UID, uid: str, data: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = sop_class
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = UID(uid)
    header.SpecificCharacterSet, header.PatientName, header.PatientID = "ISO_IR 100", "Müller^Eva", "p1"
    header.Modality, header.SeriesInstanceUID, header.StudyInstanceUID = "MR", "1.2.3", "1.2"
    header.FrameOfReferenceUID, header.SeriesDescription = "1.2.4", "T1 MPRAGE"
    header.Rows, header.Columns, header.SamplesPerPixel = SHAPE[1], SHAPE[2], 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.RescaleSlope, header.RescaleIntercept = "1.5", "-3"
    header.PixelData = data.tobytes()
    header["PixelData"].VR = "OW"
    return header


def _slices() -> list[Dataset]:
    made = []
    for k, plane in enumerate(voxels()):
        header = _common(MR_IMAGE, f"1.2.3.{k + 1}", plane)
        header.ImagePositionPatient, header.PixelSpacing = ["-90.5", "81.25", f"{1.3 * k:.2f}"], ["1.1", "0.9"]
        header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        header.RepetitionTime, header.EchoTime, header.InstanceNumber = "2000", "2.5", k + 1
        made.append(header)
    return made


def _enhanced() -> Dataset:
    header = _common(ENHANCED_MR, "1.2.3.9", voxels())
    header.NumberOfFrames = SHAPE[0]
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = ["1.1", "0.9"], ["1", "0", "0", "0", "1", "0"]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in range(SHAPE[0]):
        frame, place, transform = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = ["-90.5", "81.25", f"{1.3 * k:.2f}"]
        transform.RescaleSlope, transform.RescaleIntercept = "1.5", "-3"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [transform]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    return header


def _native(header: Dataset, syntax: UID) -> None:
    header.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()


def _plain(_header: Dataset) -> None:
    """Leaves it to dcmtk."""


def _rle(header: Dataset) -> None:
    header.compress(RLELossless, generate_instance_uid=False)


def _jpeg_2000(header: Dataset, folder: Path) -> None:
    path = folder / "itk.dcm"
    plane = np.frombuffer(header.PixelData, "<u2").reshape(SHAPE[1:])
    sitk.WriteImage(sitk.GetImageFromArray(plane), str(path), useCompression=True, imageIO="GDCMImageIO")
    header.file_meta.TransferSyntaxUID = JPEG_2000
    header.PixelData = pydicom.dcmread(path).PixelData
    header["PixelData"].VR = "OB"
    path.unlink()


def damaged(seed: Seed, others: list[Seed], random: Random) -> bytes:
    """The victim of a sound file, damaged; half of the packed ones inside, and packed again."""
    content = seed.files[seed.victim]
    if seed.kind == ".nii.gz" and random.random() < 0.5:
        return gzip.compress(_damage(gzip.decompress(content), others, random), 1, mtime=0)
    if seed.kind.startswith("DICOM deflated") and random.random() < 0.5:
        start = content.index(b"1.2.840.10008.1.2.1.99")
        begin = 144 + int.from_bytes(content[140:144], "little")  # behind the group length, which counts from there
        assert begin > start
        inside = _damage(zlib.decompress(content[begin:], -zlib.MAX_WBITS), others, random)
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return content[:begin] + packer.compress(inside) + packer.flush()
    return _damage(content, others, random)


def _damage(content: bytes, others: list[Seed], random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        content = random.choice(
            (_flipped, _flipped, _cut, _spliced, _sized, _sized, _renumbered, _renumbered, _crossed)
        )(content, others, random)
    return content


def _place(content: bytes, random: Random) -> int:
    """A byte; every second one early in the file, where headers are."""
    most = max(1, len(content))
    return random.randrange(min(most, 600) if random.random() < 0.5 else most)


def _flipped(content: bytes, _others: list[Seed], random: Random) -> bytes:
    bad = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 32)) if bad else 0):
        bad[_place(content, random)] ^= 1 << random.randrange(8)
    return bytes(bad)


def _cut(content: bytes, _others: list[Seed], random: Random) -> bytes:
    return content[: _place(content, random)]


def _spliced(content: bytes, _others: list[Seed], random: Random) -> bytes:
    """A block of it put somewhere else in it, left out, or over other bytes."""
    start, place = _place(content, random), _place(content, random)
    block = content[start : start + random.choice((1, 4, 16, 128, 2048))]
    if random.random() < 0.3:
        return content[:start] + content[start + len(block) :]
    return content[:place] + block + content[place + (len(block) if random.random() < 0.5 else 0) :]


def _sized(content: bytes, _others: list[Seed], random: Random) -> bytes:
    """A 16- or 32-bit number of it made another, as sizes and lengths are."""
    width, order = random.choice((2, 4)), random.choice(("little", "little", "big"))
    place = _place(content, random) // 2 * 2
    value = (random.choice(SIZES) % 256**width).to_bytes(width, order)  # type: ignore[arg-type]
    return content[:place] + value + content[place + width :]


def _renumbered(content: bytes, _others: list[Seed], random: Random) -> bytes:
    """A number written in letters made another."""
    places = [match.span() for match in re.finditer(rb"[-+]?\d[\d.eE+-]*", content[:4000])]
    if not places:
        return content
    start, end = random.choice(places)
    value = random.choice(NUMBERS)
    if random.random() < 0.7:  # lengths stay as they are
        value = value[: end - start].ljust(end - start)
    return content[:start] + value + content[end:]


def _crossed(content: bytes, others: list[Seed], random: Random) -> bytes:
    """The start of it and the end of another file."""
    other = random.choice(others)
    return content[: _place(content, random)] + other.files[other.victim][_place(content, random) :]
