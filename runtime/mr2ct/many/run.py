"""mr2ct-run over many volumes: what is left to do is done, and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from mr2ct.many.asked import Asked
from mr2ct.many.attempts import clear_notes
from mr2ct.many.items import Item, place_items, refuse_among
from mr2ct.many.listing import find_sources
from mr2ct.many.manifest import MANIFEST, Entry, Manifest, open_manifest
from mr2ct.many.resuming import clear_torn, plan, refuse_shared_places
from mr2ct.many.summary import Summary
from mr2ct.many.text import one_line
from mr2ct.many.workshop import Workshop
from mr2ct.model import Model
from mr2ct.quiet import OwnStderr, note
from mr2ct.reading import suffix_of
from mr2ct.trip import Wishes

MOST_REMARKS = 5  # that are told; the manifest has all


def asked_of(wishes: Wishes, *, device: str, precision: str, quality: str) -> Asked:
    """The options of mr2ct-run as they are meant for many volumes: picture, report and cycle map name folders.

    Raises click.UsageError for those that are one volume's.
    """
    for option, given in (("--series", wishes.series), ("--dicom-from", wishes.dicom_from)):
        if given is not None:
            raise click.UsageError(f"{option} goes with one volume, and these are many")
    common = replace(wishes, picture=None, page=None, cycle_map=None)
    return Asked(common, wishes.picture, wishes.page, wishes.cycle_map, device, precision, quality)


def run_many(
    arguments: Sequence[str],
    out: Path | None,
    model: Callable[[], Model],
    workshop: Callable[[Model, Asked], AbstractContextManager[Workshop]],
    asked: Asked,
    *,
    each: bool = False,
    verify: bool = False,
) -> int:
    """Make a CT of everything that arguments name, see find_sources, in the folder out; returns the exit code.

    model, workshop: open them; the workshop only where something is to be made.  each, verify: see find_sources and
    plan.  Raises Mr2ctError's subclasses where nothing could begin, KeyboardInterrupt.
    """
    sources = find_sources(arguments, each=each)
    if out is None:
        raise click.UsageError("many volumes need -o OUT_DIR, the folder for their CTs")
    if suffix_of(out):
        raise click.UsageError(f"-o {one_line(out)} names a file, and the CTs of many volumes need a folder")
    items = place_items(sources, out)
    if asked.cycle_maps is not None:
        refuse_among(sources, asked.cycle_maps)
    refuse_shared_places(items, asked)
    opened = model()
    if asked.wishes.maps_back or asked.cycle_maps is not None:
        opened.way_back()  # raises now where there is none
    with open_manifest(out) as manifest:
        clear_torn(_begun(items, manifest), asked)
        clear_notes(out)
        before = plan(items, manifest.entries, asked, opened, verify=verify)
        made: list[Entry] = []
        early = ""
        if before.todo:
            try:
                with workshop(opened, asked) as shop:
                    click.echo(f"{len(before.todo)} of {len(items)} volumes, on {shop.told}")
                    with _bar(len(before.todo)) as bar:
                        early = shop.make_all(before.todo, opened, asked, manifest, partial(_tell, bar, made))
            finally:  # now that nobody writes any more
                clear_torn([item for item, _ in before.todo], asked)
    summary = Summary(tuple(made), before.kept, len(items), early)
    _tell_remarks(summary, out / MANIFEST)
    for line in summary.lines():
        click.echo(line)
    click.echo(str(out / MANIFEST))
    return summary.exit_code


def _begun(items: Sequence[Item], manifest: Manifest) -> list[Item]:
    """Those that a run before this one began and did not end."""
    return [item for item in items if item.id in manifest.entries and manifest.entries[item.id].state == "started"]


def _tell(bar: Any, made: list[Entry], entry: Entry) -> None:
    """The last line of a volume, as it comes in."""
    made.append(entry)
    if entry.state != "done":
        bar.clear()
        OwnStderr().write(f"mr2ct-run: {one_line(entry.source)}: {entry.state}: {entry.reason}\n")
    bar.update()


def _bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=" volumes", leave=False, disable=None, file=OwnStderr(), smoothing=0)


def _tell_remarks(summary: Summary, manifest: Path) -> None:
    """What a user should know of the volumes of this run, the commonest first, each once."""
    lines = Counter(line for entry in summary.made if entry.made for line in entry.made.remarks)
    for line, count in lines.most_common(MOST_REMARKS):
        note(f"{one_line(line)} ({count} of {len(summary.made)} volumes)")
    if len(lines) > MOST_REMARKS:
        note(f"{len(lines) - MOST_REMARKS} other remarks are in {one_line(manifest)}")
