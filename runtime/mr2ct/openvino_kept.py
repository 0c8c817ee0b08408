"""A graph that OpenVINO has compiled, kept on disk so that the next start neither reads nor compiles it again.

    <key>.graph     a line of JSON: what it is and the sha256 of the rest; then OpenVINO's own format

Opening the full generator takes 0.35 s instead of 0.65 in fp32, 0.22 instead of 0.35 in bf16 (benchmarks/LOG.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mr2ct.engine_cache import GRAPH, cache_folder, make_cache_folder
from mr2ct.errors import OutputError
from mr2ct.writing import whole_or_not_at_all

SCHEMA = "mr2ct-openvino/1"


@dataclass(frozen=True)
class Kept:
    """What compiling a graph gave.

    made_of: sha256 of what runs, see mr2ct.opening.Opened.  in_parts: whether the image is given in several parts.
    content: in OpenVINO's format, b"" where it was not taken from the disk.
    """

    made_of: str
    in_parts: bool
    content: bytes = b""


def place_of(facts: dict[str, Any], folder: Path | None = None) -> Path:
    """Where a compiled graph is kept. facts: JSON values, all that it depends on.  folder: None for the user's."""
    key = hashlib.sha256(json.dumps({"schema": SCHEMA, **facts}, sort_keys=True).encode()).hexdigest()
    return (cache_folder() if folder is None else folder) / f"{key}{GRAPH}"


def read_kept(place: Path, say: Callable[[str], None]) -> Kept | None:
    """What is kept there, None when that is nothing. A damaged file is told, and is as good as none."""
    try:
        head, _, content = place.read_bytes().partition(b"\n")
    except OSError:  # none, or none that may be read
        return None
    try:
        about = json.loads(head)
        kept = Kept(about["made_of"], about["in_parts"], content)
        whole = about["schema"] == SCHEMA and about["sha256"] == hashlib.sha256(content).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if whole:
        return kept
    say(f"{place}: damaged, it is not what was compiled; compiling it again")
    return None


def keep(place: Path, kept: Kept, content: bytes, say: Callable[[str], None]) -> None:
    """Write a compiled graph, whole. Where it cannot be kept that is told: every start then compiles it."""
    sha256 = hashlib.sha256(content).hexdigest()
    about = {"schema": SCHEMA, "made_of": kept.made_of, "in_parts": kept.in_parts, "sha256": sha256}
    try:
        make_cache_folder(place.parent)
        with whole_or_not_at_all(place, overwrite=True) as partial:
            partial.write_bytes(json.dumps(about).encode() + b"\n" + content)
    except OutputError as error:
        say(f"the compiled graph is not kept, and will be compiled again: {error}")
