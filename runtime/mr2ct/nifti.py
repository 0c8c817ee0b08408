"""NIfTI-1 files, read so that damage shows and written so that geometry survives to the last bit.

ITK reads a truncated .nii.gz as if it were whole and turns NaN into 0 without a word (seen with SimpleITK 2.5.7), and
an oblique direction it writes comes back changed by 4e-9. So the bytes are read here, where both can be told, and the
geometry fields of a volume that came from a NIfTI file are copied literally into the one that is written. What the
fields mean (qform or sform, RAS to LPS) is left to ITK, so that every ITK tool agrees with us.
Format: nifti1.h, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from mr2ct.errors import VolumeError

HEADER_BYTES = 348
LONGEST_AXIS = 32767  # voxels; sizes are 16-bit integers
VOXELS_AT = 352  # bytes into a file without extensions, as ITK writes it
REAL_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
OTHER_TYPES = {1: "1-bit", 1536: "float128", 128: "RGB", 2304: "RGBA", **dict.fromkeys((32, 1792, 2048), "complex")}
# zlib cannot expand further, so a header that asks for more is damaged; https://zlib.net/zlib_tech.html
DEFLATE_RATIO = 1032
# the last is a class, whatever its package's types say
BROKEN = (EOFError, igzip.BadGzipFile, cast("type[Exception]", IsalError))
# offset and bytes of what places the voxels: pixdim[0..3], qform_code .. srow_z
GEOMETRY_FIELDS = ((76, 16), (252, 76))


@dataclass(frozen=True)
class NiftiHeader:
    """The 348 bytes of a NIfTI-1 header and the fields of it that this project reads."""

    raw: bytes
    order: str  # "<" little or ">" big endian

    @classmethod
    def parse(cls, raw: bytes, path: Path) -> NiftiHeader:
        """The header at the start of raw. Raises VolumeError for anything that is not single-file NIfTI-1."""
        if len(raw) < HEADER_BYTES:
            raise VolumeError(f"{path}: {len(raw)} bytes are too few for a NIfTI header (348); the file is cut short")
        sizes = {order: struct.unpack(order + "i", raw[:4])[0] for order in "<>"}
        if 540 in sizes.values():
            raise VolumeError(f"{path}: NIfTI-2 is not read; save it as NIfTI-1")
        if HEADER_BYTES not in sizes.values() or raw[344:347] not in (b"n+1", b"ni1"):
            raise VolumeError(f"{path}: not a NIfTI file, whatever its name says")
        if raw[344:347] == b"ni1":
            raise VolumeError(f"{path}: header of a .hdr/.img pair; save it as one .nii or .nii.gz file")
        return cls(raw[:HEADER_BYTES], "<" if sizes["<"] == HEADER_BYTES else ">")

    def field(self, offset: int, code: str) -> tuple[Any, ...]:
        """The values at a byte offset of nifti1.h, by struct code."""
        return struct.unpack_from(self.order + code, self.raw, offset)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along i, j, k, ...; axes of one voxel behind the third are left out."""
        rank = self.field(40, "h")[0]
        sizes = list(self.field(42, "7h")[: max(0, min(rank, 7))])
        while len(sizes) > 3 and sizes[-1] == 1:
            sizes.pop()
        return tuple(sizes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """pixdim along i, j, k, in the header's own unit."""
        return self.field(80, "3f")

    @property
    def unit_mm(self) -> float | None:
        """Millimetres a unit of spacing, None where the header names no length unit."""
        return {1: 1000.0, 2: 1.0, 3: 0.001}.get(self.field(123, "B")[0] & 7)

    def affines(self) -> dict[str, NDArray[np.float64]]:
        """The (3, 4) RAS affines the header holds, by name: "qform", "sform"; none where neither code is set."""
        found = {}
        qform_code, sform_code = self.field(252, "2h")
        if qform_code > 0:
            found["qform"] = self._qform()
        if sform_code > 0:
            found["sform"] = np.array(self.field(280, "12f"), dtype=np.float64).reshape(3, 4)
        return found

    def _qform(self) -> NDArray[np.float64]:
        b, c, d, x, y, z = self.field(256, "6f")
        a = max(0.0, 1.0 - (b * b + c * c + d * d)) ** 0.5
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        i, j, k = self.spacing
        handedness = -1.0 if self.field(76, "f")[0] < 0 else 1.0
        return np.column_stack([rotation * (i, j, k * handedness), (x, y, z)])


def read_nifti(path: Path) -> tuple[NiftiHeader, NDArray[Any]]:
    """Header and voxels (k, j, i) of a .nii or .nii.gz file, scl_slope and scl_inter applied (float32 then).

    Raises VolumeError when the file is damaged, cut short, or holds anything but a 3D array of real numbers.
    """
    try:
        packed = path.name.lower().endswith(".gz")
        room = path.stat().st_size * (DEFLATE_RATIO if packed else 1)  # the most bytes there can be in it
        with igzip.open(path) if packed else open(path, "rb") as file:
            header = NiftiHeader.parse(file.read(HEADER_BYTES), path)
            dtype = _voxel_type(header, path)
            start = header.field(108, "f")[0]
            if not HEADER_BYTES <= start <= max(room, HEADER_BYTES):
                raise VolumeError(f"{path}: damaged or cut short (vox_offset {start:g}); copy it again")
            file.read(int(start) - HEADER_BYTES)  # extensions
            wanted = int(np.prod(header.shape, dtype=np.int64)) * dtype.itemsize
            data = b"" if packed and wanted > room else file.read(min(wanted, room))
            if len(data) < wanted:
                have = 100 * len(data) // wanted
                raise VolumeError(f"{path}: cut short, only {have} % of its voxels are there; copy it again")
            while file.read(1 << 20):  # to the end, where gzip checks the CRC
                pass
    except BROKEN as error:
        raise VolumeError(f"{path}: damaged or cut short ({error}); copy it again") from error
    voxels: NDArray[Any] = np.frombuffer(data, dtype).reshape(header.shape[::-1])
    slope, inter = header.field(112, "2f")
    if np.isfinite([slope, inter]).all() and slope != 0 and (slope, inter) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):  # infinity shows in the voxels
            voxels = voxels.astype(np.float32) * np.float32(slope) + np.float32(inter)
    return header, voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _voxel_type(header: NiftiHeader, path: Path) -> np.dtype[Any]:
    code = header.field(70, "h")[0]
    if code not in REAL_TYPES:
        kind = OTHER_TYPES.get(code, f"unknown (datatype {code})")
        raise VolumeError(f"{path}: {kind} voxels; a volume of one real number a voxel is needed")
    if len(header.shape) != 3 or min(header.shape) < 2:
        raise VolumeError(f"{path}: {_times(header.shape)} voxels; one 3D volume is needed")
    return np.dtype(header.order + REAL_TYPES[code])


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def with_geometry_of(source: bytes, header: bytes) -> bytes:
    """A little-endian NIfTI-1 header with the geometry fields and length unit of the header source, bit for bit."""
    order = "<" if source[:4] == struct.pack("<i", HEADER_BYTES) else ">"
    placed = NiftiHeader(source, order)
    patched = bytearray(header)
    for offset, length in GEOMETRY_FIELDS:
        patched[offset : offset + length] = _little_endian(placed, offset, length)
    patched[123] = (patched[123] & ~7) | (source[123] & 7)
    return bytes(patched)


def with_size(header: bytes, size: tuple[int, int, int]) -> bytes:
    """A little-endian header of a 3D volume with other numbers of voxels along i, j, k, each up to LONGEST_AXIS."""
    patched = bytearray(header)
    struct.pack_into("<3h", patched, 42, *size)
    return bytes(patched)


def _little_endian(header: NiftiHeader, offset: int, length: int) -> bytes:
    if header.order == "<":
        return header.raw[offset : offset + length]
    code = {76: "4f", 252: "2h18f"}[offset]
    return struct.pack("<" + code, *header.field(offset, code))
