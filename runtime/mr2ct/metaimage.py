"""MetaImage headers (.mha, .mhd), checked before ITK reads them.

ITK misreads some damaged headers without a word and ends the process on others.
Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import math
from pathlib import Path

from mr2ct.errors import VolumeError

NUMBERS = (  # what a MetaImage header must hold, by all its names, and the power of the rank it has numbers
    ((b"DimSize",), 1),
    ((b"ElementSpacing",), 1),
    ((b"Offset", b"Position", b"Origin"), 1),
    ((b"TransformMatrix", b"Rotation", b"Orientation"), 2),
)
LONGEST_HEADER = 65536  # bytes; a header is a few hundred
LONGEST_LINE = 1024  # bytes; a line of a MetaImage header has under a hundred


def refuse_damaged(path: Path) -> None:
    """Raise VolumeError for a MetaImage header that ITK would misread without a word, or crash on.

    Seen with SimpleITK 2.5.7: "Offset = nan 1 2" reads as 0 0 0; NDims = 93, "%s" in ElementDataFile end the process.
    """
    fields, _ = _header(path)
    if not fields.get(b"ElementDataFile"):
        raise VolumeError(f"{path}: not a MetaImage file, whatever its name says, or its header is damaged")
    if b"%" in fields[b"ElementDataFile"]:
        raise VolumeError(f"{path}: its voxels are in several files; save it as one .mha")
    rank = fields.get(b"NDims", b"")
    if not (rank.isdigit() and 1 <= int(rank) <= 4):
        raise VolumeError(f"{path}: damaged header, NDims is not a number of axes; copy it again")
    for names, power in NUMBERS:
        given = [fields[name] for name in names if name in fields]
        count = int(rank) ** power
        if len(given) != 1 or not _are_numbers(given[0], count):
            raise VolumeError(
                f"{path}: damaged header, {names[0].decode()} is missing or not {count} numbers; copy it again"
            )


def _header(path: Path) -> tuple[dict[bytes, bytes], int]:
    """The fields of a MetaImage header, up to ElementDataFile or the first line that is none, and where they end."""
    fields: dict[bytes, bytes] = {}
    end = 0
    with open(path, "rb") as file:
        lines = file.read(LONGEST_HEADER).split(b"\n")
    for line in lines:
        end += len(line) + 1
        name, _, value = (part.strip() for part in line.replace(b":", b"=", 1).partition(b"="))
        if line.strip() and (not value or len(line) > LONGEST_LINE):
            break
        fields[name] = value
        if name == b"ElementDataFile":
            break
    return fields, end


def packed_voxels(path: Path) -> tuple[Path, int] | None:
    """The file that holds the compressed voxels, and the byte they start at; None where they are not compressed."""
    fields, end = _header(path)
    if fields.get(b"CompressedData", b"").lower() != b"true":
        return None
    name = fields.get(b"ElementDataFile", b"").decode(errors="replace")
    return (path, end) if name.upper() == "LOCAL" else (path.parent / name, 0)


def _are_numbers(text: bytes, count: int) -> bool:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return False
    return len(numbers) == count and all(map(math.isfinite, numbers))
