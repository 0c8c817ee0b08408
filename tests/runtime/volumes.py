"""Volume files built by hand, field by field, and grids in every orientation.

What the reader says of a file can so be held against what was put into it, not against what a library wrote.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.reading import SUFFIXES, read_volume

Array = NDArray[np.float64]
Voxels = NDArray[Any]

NIFTI, METAIMAGE, NRRD = SUFFIXES[:2], SUFFIXES[2:4], SUFFIXES[4:]
REAL_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
METAIMAGE_TYPES = ["UCHAR", "CHAR", "USHORT", "SHORT", "UINT", "INT", "ULONG_LONG", "LONG_LONG", "FLOAT", "DOUBLE"]
NRRD_TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float", "double"]
ORIENTATIONS: list[Array] = [
    np.eye(3)[:, list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]

# the same examples in every run: a red test is about the change at hand
quick = settings(
    max_examples=40,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def turned(x: float, y: float, z: float) -> Array:
    """The rotation by x, y, z radians about the patient axes, in that order."""
    turn = np.eye(3)
    for (a, b), angle in zip(((1, 2), (0, 2), (0, 1)), (x, y, z), strict=True):
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn


def grid_of(size: tuple[int, ...], spacing: tuple[float, ...], origin: tuple[float, ...], axes: Array) -> Grid:
    """A grid whose index axes lie along the columns of axes."""
    return Grid(tuple(size), tuple(spacing), tuple(origin), tuple(axes.ravel().tolist()))  # type: ignore[arg-type]


def _three(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(numbers, numbers, numbers)


# few voxels, wherever a scanner may put them: straight or tilted, spacings with all the digits of a float
GRIDS: st.SearchStrategy[Grid] = st.builds(
    lambda size, spacing, origin, axes, angles: grid_of(size, spacing, origin, turned(*angles) @ axes),
    _three(st.integers(2, 4)),
    _three(st.floats(0.1, 80.0)),
    _three(st.floats(-400.0, 400.0).map(lambda mm: round(mm, 12))),
    st.sampled_from(ORIENTATIONS),
    st.one_of(st.just((0.0, 0.0, 0.0)), _three(st.floats(-0.8, 0.8).map(lambda radians: round(radians, 12)))),
)
TILTED = grid_of((5, 4, 3), (0.87, 0.93, 1.1), (-101.3, 77.77, 1 / 3), turned(0.1, -0.2, 0.3) @ ORIENTATIONS[17])


def some_voxels(grid: Grid, dtype: str = "i2") -> Voxels:
    """(k, j, i): numbers over the whole range of dtype, no two neighbours alike."""
    count = int(np.prod(grid.size))
    if dtype[0] == "f":
        return (np.arange(count) * -12.5 + 100).astype(dtype).reshape(grid.shape)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return np.array([low + (high - low) * n // count for n in range(count)], dtype).reshape(grid.shape)


def ras_affine(grid: Grid) -> Array:
    """(4, 4): RAS mm of a voxel index (i, j, k, 1)."""
    affine = np.eye(4)
    affine[:3, :3] = grid.axes * grid.spacing
    affine[:3, 3] = grid.origin
    return LPS_TO_RAS @ affine


def apart(a: Array, b: Array, size: tuple[int, ...]) -> float:
    """Mm, the most that two affines place a voxel of a volume of this size apart."""
    corners = np.array([(*c, 1.0) for c in itertools.product(*((0.0, n - 1.0) for n in size))])
    return float(np.linalg.norm(corners @ (a - b)[:3].T, axis=1).max())


def nifti_header(
    voxels: Voxels, affine: Array, order: str = "<", codes: tuple[int, int] = (1, 1), **fields: Any
) -> Any:
    """nibabel's header of voxels (k, j, i). codes: of qform and sform, 0 for none. fields: by nifti1.h's names."""
    new: Any = nib.Nifti1Header
    header = new(endianness=order)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape[::-1])
    header.set_qform(affine, codes[0])
    header.set_sform(affine if codes[1] else None, codes[1])
    header["vox_offset"] = 352
    header["xyzt_units"] = 2
    for name, value in fields.items():
        header[name] = value
    return header


def nifti(voxels: Voxels, affine: Array, *, extension: bytes = b"", **fields: Any) -> bytes:
    """A NIfTI-1 file, see nifti_header. extension: text of one extension block."""
    block = b""
    order = fields.get("order", "<")
    if extension:
        size = -(-(len(extension) + 8) // 16) * 16
        block = np.array([size, 6], order + "i4").tobytes() + extension.ljust(size - 8, b"\0")
        fields = {"vox_offset": 352 + size, **fields}
    header = nifti_header(voxels, affine, **fields)
    start: bytes = header.binaryblock + (b"\1\0\0\0" if extension else b"\0\0\0\0") + block
    return start + voxels.astype(order + voxels.dtype.str[1:]).tobytes()


def _text(values: Any) -> str:
    return " ".join(repr(float(v)) for v in np.ravel(values))


def metaimage(voxels: Voxels, grid: Grid, data: str = "LOCAL", packed: bytes = b"", **fields: str) -> bytes:
    """The header of a MetaImage file. packed: the zlib stream of its voxels. fields: by name; "" leaves one out."""
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(bool(packed)),
        "CompressedDataSize": str(len(packed)) if packed else "",
        "TransformMatrix": _text(grid.axes.T),
        "Offset": _text(grid.origin),
        "ElementSpacing": _text(grid.spacing),
        "DimSize": " ".join(map(str, grid.size)),
        "ElementType": "MET_" + METAIMAGE_TYPES[REAL_TYPES.index(voxels.dtype.str[1:])],
        **fields,
        "ElementDataFile": fields.get("ElementDataFile", data),
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items() if value).encode()


def nrrd(voxels: Voxels, grid: Grid, data: str = "", *, packed: bool = False, **fields: str) -> bytes:
    """The header of a NRRD file, the blank line included. fields: by name, "_" for a space; "" leaves one out."""
    vectors = [",".join(repr(float(v)) for v in column) for column in (grid.axes * grid.spacing).T]
    given = {name.replace("_", " "): value for name, value in fields.items()}
    first = {
        "type": NRRD_TYPES[REAL_TYPES.index(voxels.dtype.str[1:])],
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, grid.size)),
    }
    then = {
        "space directions": " ".join(f"({v})" for v in vectors),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip" if packed else "raw",
        "space origin": "(" + ",".join(repr(float(v)) for v in grid.origin) + ")",
        "data file": data,
    }
    lines = first | {name: value for name, value in given.items() if name not in then} | then | given
    text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value)
    return b"NRRD0004\n" + text.encode() + (b"" if data else b"\n")


def put(target: Path, voxels: Voxels, grid: Grid, *, packed: bool = False, **fields: Any) -> Path:
    """Write a volume file by the suffix of target. packed: compressed inside, for MetaImage and NRRD.

    fields: of the header, see nifti_header, metaimage and nrrd.
    """
    suffix = "".join(target.suffixes[-2:]) if target.name.endswith(".gz") else target.suffix
    if suffix in NIFTI:
        content = nifti(voxels, ras_affine(grid), **fields)
        target.write_bytes(gzip.compress(content, 1) if suffix == ".nii.gz" else content)
        return target
    raw = voxels.tobytes()
    detached = target.with_suffix(".raw") if suffix in (".mhd", ".nhdr") else None
    if suffix in METAIMAGE:
        stream = zlib.compress(raw) if packed else b""
        header = metaimage(voxels, grid, detached.name if detached else "LOCAL", stream, **fields)
    else:
        stream = gzip.compress(raw, 1) if packed else b""
        header = nrrd(voxels, grid, detached.name if detached else "", packed=packed, **fields)
    if detached:
        detached.write_bytes(stream or raw)
    target.write_bytes(header if detached else header + (stream or raw))
    return target


def refusal(path: Path) -> str:
    """What read_volume says of a file it must not accept: one line that names the file."""
    with pytest.raises(VolumeError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert message.splitlines() == [message], f"more than one line: {message!r}"
    assert path.name in message
    return message
