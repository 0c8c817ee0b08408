"""A DICOM file's header, and where its pixels are.

Files are held in memory only up to their pixels, and lengths in them are believed only as far as the file reaches.
"""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from mr2ct.dicom.elements import LONGEST_TEXT, clean, uid
from mr2ct.dicom.files import MAGIC, PREAMBLE, told
from mr2ct.errors import VolumeError

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage: a DICOMDIR
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # Float Pixel Data, Double Float Pixel Data, Pixel Data
CHARACTER_SET = 0x00080005
FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)  # shared, per frame: of an enhanced object
UNDEFINED = 0xFFFFFFFF
FIRST_READ = 1 << 18  # bytes; most headers are below 0.1 MB
LONGEST_HEADER = 1 << 23  # bytes; an enhanced object has some kB of header a frame
MOST_READS = 400_000  # of a header, two or three an element; pydicom takes 10 us for each: 4 s
LONGEST_VALUE = 1 << 22  # bytes; what is longer is raw data or a document, never something read here


@dataclass(frozen=True)
class DicomFile:
    """A file's header and where its pixels are.

    size, modified_ns: when the header was read.  syntax: TransferSyntaxUID.  header: without pixels and without private
    elements, nothing of it converted yet.  pixels: tag of the pixels' element, 0 where there is none.  pixels_at: its
    first byte, in the inflated data of a deflated file.
    """

    path: Path
    size: int
    modified_ns: int
    syntax: str
    header: Dataset = field(repr=False, compare=False)
    pixels: int
    pixels_at: int

    @property
    def where(self) -> str:
        """The path, for a message."""
        return told(self.path)

    @property
    def is_native(self) -> bool:
        """Whether its pixels are neither compressed nor deflated."""
        return self.syntax in UNCOMPRESSED and self.syntax != DEFLATED

    @property
    def short(self) -> str:
        """The file's name, for a message that names its folder."""
        return clean(self.path.name)

    @contextmanager
    def at_pixels(self, wanted: int) -> Iterator[BinaryIO]:
        """The open file at its pixels' element; of a deflated one, the inflated data up to `wanted` bytes behind it.

        Raises VolumeError when the file is not the one whose header was read.
        """
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
                raise VolumeError(f"{self.where}: changed while it was read; wait until the series has arrived")
            if self.syntax == DEFLATED:
                inflated = io.BytesIO(_Stream(file, *_meta(file.read(FIRST_READ))).first(self.pixels_at + wanted))
                inflated.seek(self.pixels_at)
                yield inflated
            else:
                file.seek(self.pixels_at)
                yield file


def parse_file(path: Path) -> DicomFile | None:
    """The header of a file with DICOM's magic; None for a directory of media. Raises VolumeError where it is damaged.

    pydicom warns of much; call it in quiet().
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise VolumeError(f"{told(path)}: not a file any more")
        try:
            syntax, header, pixels, pixels_at = _parse(file, status.st_size, FIRST_READ)
        except (
            Exception
        ) as error:  # pydicom raises a dozen kinds on damaged files, RecursionError and OSError among them
            if isinstance(error, (VolumeError, MemoryError)) or (isinstance(error, OSError) and error.errno):
                raise
            raise VolumeError(f"{told(path)}: damaged DICOM header ({type(error).__name__}); send it again") from error
    if syntax is None:
        return None
    return DicomFile(path, status.st_size, status.st_mtime_ns, syntax, header, pixels, pixels_at)


class _CutShortError(Exception):
    """The header goes on behind the bytes that were read."""


class _Counted(io.BytesIO):
    """Bytes that may be read so often: a few MB can hold millions of empty items, a minute and GiBs of objects."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise ValueError("too many elements")
        return super().read(size)


class _Stream:
    """The data set of an open file, from its start, inflated where it is deflated."""

    def __init__(self, file: BinaryIO, meta: Dataset, meta_end: int) -> None:
        self.file, self.start = file, meta_end
        self.deflated = uid(meta, "TransferSyntaxUID") == DEFLATED

    def first(self, count: int) -> bytes:
        """Up to `count` bytes of the file, of a deflated one as if it were not."""
        self.file.seek(0)
        if not self.deflated:
            return self.file.read(count)
        meta, packed = self.file.read(self.start), self.file.read()
        return meta + zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max(1, count - len(meta)))


def _meta(start: bytes) -> tuple[Dataset, int]:
    """The file meta information, always explicit little endian (PS3.10, section 7.1), and where it ends."""
    buffer = io.BytesIO(start)
    buffer.seek(PREAMBLE + len(MAGIC))
    meta = read_dataset(buffer, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    return meta, buffer.tell()


def _parse(file: BinaryIO, size: int, count: int) -> tuple[str | None, Dataset, int, int]:
    """Transfer syntax (None of a directory), header, tag and place of the pixels, from the first `count` bytes."""
    meta, begin = _meta(file.read(count))
    syntax = uid(meta, "TransferSyntaxUID")
    if uid(meta, "MediaStorageSOPClassUID") == DIRECTORY:
        return None, meta, 0, 0
    if not syntax:
        raise VolumeError(f"{told(Path(file.name))}: damaged DICOM header, it names no transfer syntax; send it again")
    stream = _Stream(file, meta, begin)
    while True:
        start = stream.first(count)
        ends = len(start) < count  # all of it is here
        try:
            header, pixels, pixels_at = _until_pixels(start, begin, syntax, ends, size)
        except Exception as error:  # also where pydicom minds that the bytes end within a sequence
            if not ends and count < LONGEST_HEADER:
                count = LONGEST_HEADER
                continue
            if not isinstance(error, _CutShortError):
                raise
            why = "cut short" if ends else f"its header is longer than {LONGEST_HEADER >> 20} MiB"
            raise VolumeError(f"{told(Path(file.name))}: {why}; send it again") from error
        return syntax, header, pixels, pixels_at


def _until_pixels(start: bytes, begin: int, syntax: str, ends: bool, size: int) -> tuple[Dataset, int, int]:
    buffer = _Counted(start)
    buffer.seek(begin)
    reached = 0

    def stop(tag: BaseTag, _vr: str | None, length: int) -> bool:
        nonlocal reached
        if tag == CHARACTER_SET and length > LONGEST_TEXT:
            raise ValueError("no character set has such a name")
        left = len(start) - buffer.tell()
        if tag in PIXELS:
            reached = int(tag)
            return True
        if length == UNDEFINED or length <= left:
            return False
        beyond = ends or (syntax != DEFLATED and length > size - buffer.tell())
        if beyond or length <= LONGEST_VALUE or tag in FUNCTIONAL_GROUPS:
            raise _CutShortError
        return True  # nothing that is read here is behind it

    header = read_dataset(buffer, syntax == IMPLICIT, syntax != BIG_ENDIAN, stop_when=stop)
    at = buffer.tell()
    if not reached and not ends and at >= len(start) - 8:  # the next element begins where the bytes end
        raise _CutShortError
    tags = list(header.keys())
    for tag in tags:
        if tag.is_private:  # half of many headers, and never asked for
            del header[tag]
    return header, reached, at
