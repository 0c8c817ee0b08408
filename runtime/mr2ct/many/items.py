"""Where the CTs of many volumes go: each has a place of its own, away from the MRs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import OutputError
from mr2ct.many.listing import Source
from mr2ct.many.text import one_line
from mr2ct.many.uri import Uri

MOST_NAMED = 3  # of the places that two sources share


@dataclass(frozen=True)
class Item:
    """One MR and where its CT goes; picklable.

    id: the target below OUT_DIR, with "/" between folders; the same in every run, wherever OUT_DIR has moved.
    source: absolute, or a URI; a volume file, or a folder with a DICOM series of one patient.  target: absolute; a
    volume file, or a folder for a CT series.
    """

    id: str
    source: Path | Uri
    target: Path


def place_items(sources: Sequence[Source], out: Path) -> tuple[Item, ...]:
    """An item of each source, with its place below out.

    Raises OutputError where two CTs would have one place, or would lie among the MRs, from where a next run would take
    them.
    """
    root = Path(os.path.abspath(out))
    refuse_among(sources, root)
    items = tuple(Item(source.name.as_posix(), source.path, root / source.name) for source in sources)
    _refuse_shared(items)
    return items


def refuse_among(sources: Sequence[Source], place: Path) -> None:
    """Raise OutputError where a folder for volumes is one that holds MRs, or lies in one that is looked through."""
    real = place.resolve()
    for source in sources:
        if isinstance(source.path, Uri):
            continue
        held = {Path(os.path.abspath(source.path.parent)), source.path.resolve().parent}
        root = source.path if source.root is None else source.root
        if real in held or real.is_relative_to(root.resolve()):
            raise OutputError(
                f"{one_line(place)}: {one_line(source.path)} lies there, and a next run would take what is "
                "written for MRs; name a folder outside"
            )


def _refuse_shared(items: Sequence[Item]) -> None:
    places: dict[str, list[Item]] = {}
    for item in items:
        places.setdefault(os.path.normcase(item.target), []).append(item)
    shared = [each for each in places.values() if len(each) > 1]
    if shared:
        told = "; ".join(
            f"{' and '.join(one_line(item.source) for item in each)} would both be {one_line(each[0].id)}"
            for each in shared[:MOST_NAMED]
        )
        more = f"; and {len(shared) - MOST_NAMED} more" if len(shared) > MOST_NAMED else ""
        raise OutputError(f"{told}{more}; give the folder they lie in, or a list with a name after a tab")
    mrs = {os.path.normcase(item.source.resolve()) for item in items if isinstance(item.source, Path)}
    for item in items:
        if os.path.normcase(item.target.resolve()) in mrs:
            raise OutputError(f"{one_line(item.target)}: an MR that was given, and a CT would be written over it")
        inside = next((above for above in item.target.parents if os.path.normcase(above) in places), None)
        if inside is not None:
            raise OutputError(f"{one_line(item.target)}: would lie in {one_line(inside.name)}, the CT of another MR")
