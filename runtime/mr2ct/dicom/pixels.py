"""Stored numbers of images become values of voxels.

Native pixels: PS3.5, section A.1 to A.3. Each image is read once, into its place in the volume.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mr2ct.dicom.elements import clean, short
from mr2ct.dicom.encapsulated import Encapsulated, decoded
from mr2ct.dicom.frames import Frame
from mr2ct.dicom.parsing import BIG_ENDIAN, IMPLICIT, UNCOMPRESSED, UNDEFINED, DicomFile
from mr2ct.dicom.pixel_format import PixelFormat
from mr2ct.errors import VolumeError

MOST_VOXEL_BYTES = 2 << 30  # of the volume in memory; 512 x 512 x 512 float32 are a quarter of it
EXACT_IN_FLOAT32 = 24  # bits: float32 has a mantissa of 24


def read_voxels(frames: Sequence[Frame], of: PixelFormat, where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """(k, j, i) values of frames in the order of k, and remarks.

    Stored integers where nothing rescales them, else float32 (float64 above 24 bits). Padding (PixelPaddingValue) that
    lies outside the range of all others, and is not 0, becomes the lowest of them. Raises VolumeError for damaged or
    missing pixels, and for more than MOST_VOXEL_BYTES.
    """
    plain = all(frame.slope == 1 and frame.intercept == 0 for frame in frames)
    dtype = of.dtype if plain else np.dtype(np.float32 if of.stored <= EXACT_IN_FLOAT32 else np.float64)
    wanted = len(frames) * of.rows * of.columns * dtype.itemsize
    if wanted > MOST_VOXEL_BYTES:
        raise VolumeError(
            f"{where}: {of.columns} x {of.rows} x {len(frames)} voxels need {wanted / 2**30:.3g} GiB, up to "
            f"{MOST_VOXEL_BYTES >> 30} are read; choose a series of one head"
        )
    by_file: dict[DicomFile, list[int]] = {}
    for k, frame in enumerate(frames):
        by_file.setdefault(frame.file, []).append(k)
    for file, slices in by_file.items():
        if file.is_native and file.size - file.pixels_at < len(slices) * of.frame_bytes:
            raise VolumeError(f"{file.where}: its pixels are cut short; send it again")
    voxels = np.empty((len(frames), of.rows, of.columns), dtype)
    padding = np.zeros(voxels.shape, bool) if any(_padding(f.file, of) for f in frames) else None
    compressed = any(file.syntax not in UNCOMPRESSED for file in by_file)
    with TemporaryDirectory(prefix="mr2ct-") if compressed else nullcontext("") as folder:
        for file, slices in by_file.items():
            pad = _padding(file, of)
            with file.at_pixels(64 + len(slices) * of.frame_bytes) as stream:
                source = _source(stream, file, of, len(slices), Path(folder))
                for k in slices:
                    stored = of.values(source(frames[k].number))
                    if padding is not None and pad:
                        padding[k] = stored == pad
                    voxels[k] = stored if plain else stored * np.float64(frames[k].slope) + frames[k].intercept
    return voxels, _without_padding(voxels, padding)


def _source(
    stream: BinaryIO, file: DicomFile, of: PixelFormat, frames: int, folder: Path
) -> Callable[[int], NDArray[Any]]:
    """What gives the cells (j, i) of a frame of a file, whose stream is at its pixels."""
    order = ">" if file.syntax == BIG_ENDIAN else "<"
    start = stream.read(8)
    kind = b"" if file.syntax == IMPLICIT else start[4:6]
    if kind in (b"OB", b"OW"):
        start += stream.read(4)
    elif kind:
        raise VolumeError(f"{file.where}: damaged PixelData (value representation {clean(repr(kind))}); send it again")
    if len(start) < 8:
        raise VolumeError(f"{file.where}: its pixels are cut short; send it again")
    length = struct.unpack(order + "I", start[-4:])[0]
    if (length == UNDEFINED) == (file.syntax in UNCOMPRESSED):
        raise VolumeError(
            f"{file.where}: PixelData is not of its transfer syntax ({clean(file.syntax)}); send it again"
        )
    if length == UNDEFINED:
        compressed = Encapsulated(stream, file, frames)
        return lambda number: decoded(compressed.frame(number), file, of, folder)
    wanted, least = frames * of.frame_bytes, min(of.rows, of.columns) * of.allocated // 8
    if not wanted <= length < wanted + least:  # a few bytes too many are padding, a row or column is another image
        raise VolumeError(f"{file.where}: {length} bytes of pixels, {wanted} are needed; send it again")
    begin = stream.tell()
    words = order == ">" and of.allocated == 8 and kind == b"OW"  # two cells a word, the first in its lower byte

    def native(number: int) -> NDArray[Any]:
        first = number * of.frame_bytes
        odd = first % 2 if words else 0
        stream.seek(begin + first - odd)
        data = stream.read(of.frame_bytes + odd + (odd + of.frame_bytes) % 2 * words)
        if words:
            data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()[odd:]
        if len(data) < of.frame_bytes:
            raise VolumeError(f"{file.where}: its pixels are cut short; send it again")
        cells = np.frombuffer(data, f"{order}u{of.allocated // 8}", of.rows * of.columns)
        return cells.astype(cells.dtype.newbyteorder("="), copy=False).reshape(of.rows, of.columns)

    return native


def _padding(file: DicomFile, of: PixelFormat) -> int | None:
    """The stored value of voxels that were not measured, if the header names one."""
    return short(file.header, "PixelPaddingValue", signed=of.signed)


def _without_padding(voxels: NDArray[Any], padding: NDArray[np.bool_] | None) -> tuple[str, ...]:
    if padding is None or not padding.any() or padding.all():
        return ()
    lowest, highest = voxels.min(where=~padding, initial=voxels.max()), voxels.max(where=~padding, initial=voxels.min())
    pad = voxels[padding]
    if (pad == 0).all() or not ((pad < lowest) | (pad > highest)).all():
        return ()
    voxels[padding] = lowest
    return (f"{pad.size} voxels of padding were set to the lowest other value, {lowest:g}",)
