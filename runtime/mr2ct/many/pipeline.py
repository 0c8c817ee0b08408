"""Many items in one process: while one volume is in the engine, the next is read and the one before is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from mr2ct.choosing import Choice
from mr2ct.many.asked import Asked
from mr2ct.many.early import EarlyEnd
from mr2ct.many.item import make_item, started
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry, Manifest
from mr2ct.many.turns import StoppedError, Turn, Turns
from mr2ct.many.uri import Uri
from mr2ct.model import Model
from mr2ct.reading import suffix_of
from mr2ct.slabs import linear_algebra_on_one_core

AT_ONCE = 3  # volumes: one in the engine, one that is read, one that is written; so many are in memory
POLL_S = 0.5  # Ctrl-C ends no wait on Windows


class Maker:
    """Makes items with one engine, in several threads; one volume at a time is in the engine."""

    def __init__(self, model: Model, choice: Choice, asked: Asked) -> None:
        """choice: open, of that model; whoever gave it closes it."""
        self._model, self._asked, self._turns = model, asked, Turns(choice)

    def make(self, item: Item, *, ours: bool) -> Entry:
        """See mr2ct.many.item.make_item. Raises StoppedError after a stop."""
        asked = self._asked
        turn = Turn(self._turns, kept=asked.wishes.maps_back or asked.cycle_maps is not None)
        try:
            return make_item(item, self._model, turn.choice, asked, ours=ours, on_slices=turn.on_slices)
        finally:
            turn.end()

    def stop(self) -> None:
        """Every volume that is not through the engine ends before its next call of it."""
        self._turns.stop.set()


def make_all(
    todo: Sequence[tuple[Item, bool]],
    model: Model,
    choice: Choice,
    asked: Asked,
    manifest: Manifest,
    on_entry: Callable[[Entry], None],
) -> str:
    """Make items, each with whether what is at its target is ours, and append what became of them to the manifest.

    on_entry: called in this thread with the last line of each.  Returns why it ended early, in words, "" where it did
    not: a disk without room, an engine that fails again and again; items that had not begun then have no line.
    Raises OutputError where the manifest cannot be written. Ctrl-C too lets what is being written be written, and its
    line with it.
    """
    waiting, running = deque(todo), set[Future[Entry]]()
    maker, end = Maker(model, choice, asked), EarlyEnd()
    load(asked, dicom=any(not _is_file(item.source) or not suffix_of(item.target) for item, _ in todo))
    with linear_algebra_on_one_core(), ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            while running or (waiting and not end.why):
                while waiting and not end.why and len(running) < AT_ONCE:
                    item, ours = waiting.popleft()
                    begun = started(item, ours=ours)
                    manifest.append(begun)
                    running.add(threads.submit(maker.make, item, ours=begun.ours))
                ended, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for entry in _told(ended):
                    manifest.append(entry)
                    on_entry(entry)
                    end.look_at(entry)
                if end.why:
                    maker.stop()
        finally:
            maker.stop()
            for entry in _told(wait(running).done):
                manifest.append(entry)
    return end.why


def load(asked: Asked, *, dicom: bool) -> None:
    """Import what the items import, in one thread.

    pydicom imports itself in a circle, and two threads that begin with different ends of it get a half of it: seen with
    pydicom 3.0 and Python 3.11.
    """
    if asked.reports is not None:
        import mr2ct.page.page
    if dicom:
        import mr2ct.dicom.ct_series
        import mr2ct.dicom.reading  # noqa: F401


def _is_file(source: Path | Uri) -> bool:
    return bool(suffix_of(Path(source.name))) and not (isinstance(source, Path) and source.is_dir())


def _told(ended: set[Future[Entry]]) -> list[Entry]:
    """What became of items, but for those that were stopped: their last line stays that they began."""
    return [one.result() for one in ended if not isinstance(one.exception(), StoppedError)]
