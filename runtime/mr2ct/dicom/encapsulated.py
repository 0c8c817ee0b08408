"""Compressed pixels: the fragments of a frame, and its cells decoded.

Encapsulation: PS3.5, section A.4. The decoder is GDCM, which SimpleITK carries, so that every installation decodes
alike; what it cannot decode goes to a decoder of pydicom's if one is installed.
"""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID

from mr2ct.dicom.elements import clean, raw
from mr2ct.dicom.files import MAGIC, PREAMBLE
from mr2ct.dicom.parsing import UNDEFINED, DicomFile
from mr2ct.dicom.pixel_format import PixelFormat
from mr2ct.errors import VolumeError

ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
SECONDARY_CAPTURE, INSTANCE = b"1.2.840.10008.5.1.4.1.1.7", b"2.25.1"
JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
# what GDCM decodes: JPEG Baseline, Extended and Lossless (two), JPEG-LS and near-lossless, JPEG 2000 (two), RLE
BY_GDCM = (*(JPEG + n for n in ("50", "51", "57", "70", "80", "81", "90", "91")), RLE)
ALWAYS_LOSSY = tuple(JPEG + n for n in ("50", "51", "81"))  # Baseline, Extended, near-lossless JPEG-LS
BY_PYDICOM = tuple(JPEG + n for n in ("201", "202", "203"))  # High-Throughput JPEG 2000


class Encapsulated:
    """The fragments of an open file's compressed pixels. Raises VolumeError where they are cut short or do not fit."""

    def __init__(self, stream: BinaryIO, file: DicomFile, frames: int) -> None:
        """stream: behind the header of the PixelData element. frames: of the file."""
        self.stream, self.file = stream, file
        table, *places = self._fragments()
        self.frames = self._by_frame(places, self._offsets(*table), frames)

    def frame(self, number: int) -> bytes:
        """The compressed bytes of a frame, from 0."""
        parts = []
        for place, length in self.frames[number]:
            self.stream.seek(place)
            parts.append(self.stream.read(length))
        return b"".join(parts)

    def _fragments(self) -> list[tuple[int, int]]:
        """First byte and length of each item: the offset table, then the fragments."""
        begin = self.stream.tell()
        end = self.stream.seek(0, 2)
        places: list[tuple[int, int]] = []
        while True:
            self.stream.seek(begin)
            start = self.stream.read(8)
            length = struct.unpack("<I", start[4:])[0] if len(start) == 8 else 0
            if start[:4] == SEQUENCE_END and len(start) == 8 and places:
                return places
            if start[:4] != ITEM or begin + 8 + length > end:
                raise VolumeError(f"{self.file.where}: its compressed pixels are cut short; send it again")
            places.append((begin + 8, length))
            begin += 8 + length

    def _offsets(self, place: int, length: int) -> tuple[int, ...]:
        """Of each frame's first item, from the end of the table; none where there is no table."""
        self.stream.seek(place)
        basic = self.stream.read(length - length % 4)
        extended = raw(self.file.header, "ExtendedOffsetTable")
        if basic:
            return struct.unpack(f"<{len(basic) // 4}I", basic)
        return struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8])

    def _by_frame(
        self, places: list[tuple[int, int]], offsets: tuple[int, ...], frames: int
    ) -> list[list[tuple[int, int]]]:
        if frames == 1:
            return [places]
        if len(places) == frames:
            return [[place] for place in places]
        if len(offsets) == frames and places:
            zero = places[0][0] - 8
            first = {place - 8 - zero: n for n, (place, _) in enumerate(places)}
            bounds = [first.get(offset, -1) for offset in offsets]
            if bounds[0] == 0 and all(a < b for a, b in pairwise(bounds)):
                ends = [*bounds[1:], len(places)]
                return [places[a:b] for a, b in zip(bounds, ends, strict=True)]
        raise VolumeError(f"{self.file.where}: {len(places)} compressed pieces for {frames} frames; send it again")


def decoded(data: bytes, file: DicomFile, of: PixelFormat, folder: Path) -> NDArray[Any]:
    """The cells (rows, columns) of a compressed frame. Raises VolumeError without a decoder, or where it fails.

    folder: for a temporary file, since GDCM reads files only.
    """
    if of.high + 1 != of.stored:
        raise VolumeError(f"{file.where}: HighBit {of.high} of compressed pixels; send the series uncompressed")
    decoder = None if file.syntax in BY_GDCM else _decoder(file)
    frame = _alone(data, file.syntax, of)
    try:
        cells = _by_gdcm(frame, folder) if decoder is None else decoder.as_array(dcmread(BytesIO(frame)), index=0)[0]
    except Exception as error:  # of several libraries, several kinds each
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        raise VolumeError(f"{file.where}: its compressed pixels are damaged; send it again") from error
    if cells.shape != (of.rows, of.columns) or cells.dtype.itemsize * 8 > of.allocated or cells.dtype.kind not in "iu":
        raise VolumeError(f"{file.where}: its compressed pixels are not what its header says; send it again")
    wide: NDArray[Any] = np.ascontiguousarray(cells).astype(of.dtype, copy=False)
    return wide


def _alone(data: bytes, syntax: str, of: PixelFormat) -> bytes:
    """A DICOM file of this frame and nothing else, no rescale among it."""
    meta = _element(0x0002, 0x0002, b"UI", SECONDARY_CAPTURE) + _element(0x0002, 0x0003, b"UI", INSTANCE)
    meta += _element(0x0002, 0x0010, b"UI", syntax.encode())
    header = _element(0x0008, 0x0016, b"UI", SECONDARY_CAPTURE) + _element(0x0008, 0x0018, b"UI", INSTANCE)
    header += _element(0x0028, 0x0002, b"US", b"\1\0") + _element(0x0028, 0x0004, b"CS", b"MONOCHROME2 ")
    for number, value in ((0x0010, of.rows), (0x0011, of.columns), (0x0100, of.allocated), (0x0101, of.stored)):
        header += _element(0x0028, number, b"US", struct.pack("<H", value))
    header += _element(0x0028, 0x0102, b"US", struct.pack("<H", of.high))
    header += _element(0x0028, 0x0103, b"US", struct.pack("<H", of.signed))
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, UNDEFINED) + ITEM + bytes(4)
    pixels += ITEM + struct.pack("<I", len(data) + len(data) % 2) + data + bytes(len(data) % 2)
    length = _element(0x0002, 0x0000, b"UL", struct.pack("<I", len(meta)))
    return bytes(PREAMBLE) + MAGIC + length + meta + header + pixels + SEQUENCE_END + bytes(4)


def _element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    """An explicit little-endian element of up to 65534 bytes (PS3.5, section 7.1.2)."""
    value += bytes(len(value) % 2)
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def _by_gdcm(frame: bytes, folder: Path) -> NDArray[Any]:
    path = folder / "frame.dcm"
    path.write_bytes(frame)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    cells: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    return cells[0] if cells.ndim == 3 else cells


def _decoder(file: DicomFile) -> Decoder:
    name = clean(UID(file.syntax, validation_mode=IGNORE).name)
    if file.syntax not in BY_PYDICOM:
        raise VolumeError(f"{file.where}: no decoder for its transfer syntax ({name}); send the series uncompressed")
    decoder = get_decoder(UID(file.syntax))
    if not decoder.is_available:
        raise VolumeError(
            f"{file.where}: no decoder for its transfer syntax ({name}) is installed; pip install pylibjpeg "
            "pylibjpeg-openjpeg, or send the series uncompressed"
        )
    return decoder
