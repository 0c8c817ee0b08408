"""The geometry lines of a NRRD header, carried over literally.

ITK turns "space directions" into spacing and unit vectors and multiplies them together again when it writes, which
changes their last bits (seen with SimpleITK 2.5.7). Format: http://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from mr2ct.errors import VolumeError
from mr2ct.nifti import DEFLATE_RATIO

MAGIC = b"NRRD"
GEOMETRY_FIELDS = {b"space", b"space directions", b"space origin"}
LONGEST_HEADER = 65536  # bytes; a header is a few hundred
LONGEST_LINE = 500  # bytes; on 1000 that it cannot make out ITK ends the process (seen with SimpleITK 2.5.7)
PATIENT_SPACES = {  # the ones ITK turns into LPS; of any other it takes the numbers as they are
    b"left-posterior-superior",
    b"right-anterior-superior",
    b"left-anterior-superior",
    b"lps",
    b"ras",
    b"las",
}


def read_header(path: Path) -> bytes:
    """The text of a .nrrd or .nhdr header, up to the blank line that ends it. Raises VolumeError when it is none."""
    with open(path, "rb") as file:
        header = file.read(LONGEST_HEADER).replace(b"\r", b"").split(b"\n\n")[0]
    if not header.startswith(MAGIC):
        raise VolumeError(f"{path}: not a NRRD file, whatever its name says")
    if not all(map(_is_harmless, header.split(b"\n"))):
        raise VolumeError(f"{path}: damaged header, a line of it is no field; copy it again")
    return header


def _is_harmless(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    is_text = name == b"content" or value.startswith(b"=")  # key:=value
    return line.startswith(b"#") or len(line if not is_text else name) <= LONGEST_LINE


def with_geometry_of(source: bytes, content: bytes) -> bytes:
    """The bytes of a NRRD file that ITK wrote, its geometry lines replaced by those of the header text source."""
    lines = {_name(line): line for line in source.split(b"\n") if _name(line) in GEOMETRY_FIELDS}
    if set(lines) != GEOMETRY_FIELDS:
        return content
    header, blank, voxels = content.partition(b"\n\n")
    return b"\n".join(lines.get(_name(line), line) for line in header.split(b"\n")) + blank + voxels


def refuse_unplaced(header: bytes, path: Path) -> None:
    """Raise VolumeError when the header of a 3D volume does not say, in finite numbers, where its voxels lie.

    ITK reads "none" and "(nan,nan,nan)" as a spacing of 1 mm and an origin of 0 (seen with SimpleITK 2.5.7).
    """
    fields = _fields(header)
    if fields.get(b"space", b"").lower() not in PATIENT_SPACES:
        raise VolumeError(
            f"{path}: the header gives no orientation (space is not left-posterior-superior or alike), so left and "
            "right are not known; convert it again from the scanner's DICOM"
        )
    for name, count in ((b"space directions", 3), (b"space origin", 1)):
        vectors = _vectors(fields.get(name, b""))
        if len(vectors) != count or not all(len(v) == 3 and all(map(math.isfinite, v)) for v in vectors):
            raise VolumeError(
                f"{path}: damaged header, {name.decode()} is missing or not {3 * count} numbers; copy it again"
            )


def room(header: bytes, path: Path) -> float:
    """The most voxels the file behind a header can hold; infinity where they are in several files, or none is there.

    ITK fills memory for all the voxels a header asks for before it looks for them (16 GB and 13 s for 2000^3).
    """
    fields = _fields(header)
    name = fields.get(b"data file") or fields.get(b"datafile") or path.name.encode()
    file = path.parent / name.decode(errors="replace")
    if not file.is_file():
        return math.inf
    return file.stat().st_size * (1 if fields.get(b"encoding", b"").lower() == b"raw" else DEFLATE_RATIO)


def packed_voxels(path: Path) -> tuple[Path, int] | None:
    """The file that holds the gzip stream of the voxels, and the byte it starts at; None where there is none."""
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER)
    fields = _fields(read_header(path))
    if fields.get(b"encoding", b"").lower() not in (b"gzip", b"gz") or b"line skip" in fields:
        return None
    name = fields.get(b"data file") or fields.get(b"datafile")
    if name:
        return path.parent / name.decode(errors="replace"), 0
    blank = re.search(rb"\n\r?\n", start)
    return (path, blank.end()) if blank else None


def _fields(header: bytes) -> dict[bytes, bytes]:
    return {_name(line): line.partition(b":")[2].strip() for line in header.split(b"\n")}


def _vectors(text: bytes) -> list[list[float]]:
    try:
        return [[float(n) for n in part.strip(b"( ").split(b",")] for part in text.split(b")") if part.strip()]
    except ValueError:
        return []


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]
