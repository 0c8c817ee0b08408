"""How an image's numbers are stored: the cells of its pixels and the bits of them that count.

A stored value is the BitsStored bits below HighBit, signed or not (PS3.5, section 8.1.1); what other bits of a cell
hold, overlays of old, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.dicom.elements import clean, short, words
from mr2ct.dicom.parsing import PIXELS, DicomFile
from mr2ct.errors import VolumeError

LONGEST_SIDE = 4096  # rows or columns; MR scanners make up to 1024 or 2048


@dataclass(frozen=True)
class PixelFormat:
    """How an image is stored: rows x columns cells of `allocated` bits, `stored` of them used up to bit `high`."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @classmethod
    def of(cls, file: DicomFile) -> PixelFormat:
        """The format in a header. Raises VolumeError for what is missing, impossible, or not one number a voxel."""
        header, where = file.header, file.where
        if file.pixels != PIXELS[-1]:
            kind = "floating-point pixels, which no MR image has" if file.pixels else "no pixels; it is cut short"
            raise VolumeError(f"{where}: {kind}; send it again")
        samples, photometric = short(header, "SamplesPerPixel"), words(header, "PhotometricInterpretation")
        if photometric == ("MONOCHROME1",):
            raise VolumeError(
                f"{where}: MONOCHROME1, dark where intensity is high; it is a picture, choose the scanner's own series"
            )
        if samples not in (None, 1) or photometric != ("MONOCHROME2",):
            kind = clean("\\".join(photometric)) or "none"
            raise VolumeError(
                f"{where}: a picture in colour or unknown (PhotometricInterpretation {kind}, SamplesPerPixel "
                f"{samples}); choose the scanner's own series"
            )
        numbers = {}
        for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
            if (number := short(header, keyword)) is None:
                raise VolumeError(f"{where}: no {keyword}, so its pixels cannot be read; send it again")
            numbers[keyword] = number
        rows, columns, allocated, stored, high, signed = numbers.values()
        if not (2 <= rows <= LONGEST_SIDE and 2 <= columns <= LONGEST_SIDE):
            raise VolumeError(f"{where}: {columns} columns x {rows} rows; 2 to {LONGEST_SIDE} of each are read")
        if allocated not in (8, 16, 32) or not 1 <= stored <= high + 1 <= allocated or signed > 1:
            raise VolumeError(
                f"{where}: impossible pixels (BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}, "
                f"PixelRepresentation {signed}); send it again"
            )
        return cls(rows, columns, allocated, stored, high, signed == 1)

    @property
    def frame_bytes(self) -> int:
        """Bytes of an image that is not compressed."""
        return self.rows * self.columns * self.allocated // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of stored values."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    def values(self, cells: NDArray[Any]) -> NDArray[Any]:
        """The stored values of cells, both of `allocated` bits: other bits cut off, the sign carried up."""
        unsigned = cells.view(f"u{self.allocated // 8}")
        left, right = self.allocated - 1 - self.high, self.allocated - self.stored
        if not right:
            return unsigned.view(self.dtype)
        values: NDArray[Any] = (unsigned << unsigned.dtype.type(left)).view(self.dtype) >> self.dtype.type(right)
        return values


def one_format(files: Sequence[DicomFile], where: str) -> PixelFormat:
    """The format of all files; VolumeError where they differ."""
    first = PixelFormat.of(files[0])
    for file in files[1:]:
        other = PixelFormat.of(file)
        if other != first:
            raise VolumeError(
                f"{where}: images of different kinds, {_kind(first)} in {files[0].short} and {_kind(other)} in "
                f"{file.short}; choose a series of one kind"
            )
    return first


def _kind(of: PixelFormat) -> str:
    return f"{of.columns} x {of.rows} of {'' if of.signed else 'un'}signed {of.stored} of {of.allocated} bits"
