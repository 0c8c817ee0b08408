"""A grey picture as the bytes of a PNG (ISO/IEC 15948, https://www.w3.org/TR/png-3/)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY_OF_8_BITS = (8, 0, 0, 0, 0)  # bit depth, colour type, compression, filter method, interlace
UP = 2  # the filter: each byte less the one above it


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """The PNG file of a picture, (rows, columns) uint8 of greys."""
    rows, columns = picture.shape
    lines = np.full((rows, 1 + columns), UP, np.uint8)
    lines[:, 1:] = np.diff(picture, axis=0, prepend=np.zeros((1, columns), np.uint8))  # modulo 256
    header = struct.pack(">2I5B", columns, rows, *GREY_OF_8_BITS)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
