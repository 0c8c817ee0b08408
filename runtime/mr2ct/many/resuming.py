"""What of a run is still to be done, by the manifest of the runs before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mr2ct.errors import OutputError
from mr2ct.many.asked import Asked, places
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry
from mr2ct.many.stamp import input_sha256, is_still, output_sha256
from mr2ct.many.text import one_line
from mr2ct.model import Model


@dataclass(frozen=True)
class Plan:
    """todo: items to make, in their order, each with whether what is at its target was made by an earlier run.  kept:
    entries of the items that stay as they are, done ones and refused ones.
    """

    todo: tuple[tuple[Item, bool], ...]
    kept: tuple[Entry, ...]


def plan(
    items: Sequence[Item], entries: Mapping[str, Entry], asked: Asked, model: Model, *, verify: bool = False
) -> Plan:
    """What is to be made: items never done, failed ones, and done ones whose MR, CT or files beside it are others now.

    Refused ones are asked again only with --force, another model or another MR. MR and CT are looked at by size and
    time, and by sha256 where these differ, or all with verify. Raises OutputError where CTs were made otherwise than is
    asked for now, by another model say, and wishes.overwrite is not set: a folder holds one kind.
    """
    todo: list[tuple[Item, bool]] = []
    kept: list[Entry] = []
    otherwise: list[tuple[Item, str]] = []
    for item in items:
        entry = entries.get(item.id)
        if entry is None:
            todo.append((item, False))
            continue
        why = asked.made_otherwise(item, entry, model) if item.target.exists() else ""
        if why and not asked.wishes.overwrite:
            otherwise.append((item, why))
        elif not why and _stays(item, entry, asked, model, verify=verify):
            kept.append(entry)
        else:
            todo.append((item, entry.ours))
    if otherwise:
        item, why = otherwise[0]
        raise OutputError(
            f"{len(otherwise)} of {len(items)} CTs are there and were made otherwise ({one_line(item.id)}: {why}); "
            "--overwrite makes them anew, another folder with -o keeps both"
        )
    return Plan(tuple(todo), tuple(kept))


def clear_torn(items: Sequence[Item], asked: Asked) -> None:
    """Delete the temporary folders that a kill left beside the places of items.

    Their names are those of mr2ct.writing and mr2ct.dicom.ct_folder. To be called while the manifest is held.
    """
    named: dict[Path, set[str]] = {}
    for _, place in places(tuple(items), asked):
        named.setdefault(place.parent, set()).add(f".{place.name[:100]}")
    for folder, names in named.items():
        for left in folder.glob(".*.partial"):
            if left.name.removesuffix(".partial").rpartition(".")[0] in names:
                shutil.rmtree(left, ignore_errors=True)


def _stays(item: Item, entry: Entry, asked: Asked, model: Model, *, verify: bool) -> bool:
    if entry.state not in ("done", "refused"):
        return False
    if not is_still(item.source, entry.input, entry.input_sha256, partial(input_sha256, item.source), verify=verify):
        return False
    if entry.state == "refused":
        same_model = (entry.model, entry.model_version) == (model.card.name, model.card.version)
        return same_model and not asked.wishes.force
    if entry.made is None or asked.lacks(item, entry):
        return False
    made = entry.made
    return is_still(item.target, made.output, made.output_sha256, partial(output_sha256, item.target), verify=verify)


def refuse_shared_places(items: Sequence[Item], asked: Asked) -> None:
    """Raise OutputError where two items would write to one place, with all that is written beside the CTs."""
    taken: dict[str, Item] = {}
    for item, place in places(tuple(items), asked):
        key = os.path.normcase(place)
        if key in taken:
            raise OutputError(
                f"{one_line(taken[key].source)} and {one_line(item.source)} would both write {one_line(place)}; a list "
                "gives each a name after a tab"
            )
        taken[key] = item
