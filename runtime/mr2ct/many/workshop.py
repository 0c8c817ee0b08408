"""Where many volumes are made: by one engine in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from mr2ct.choosing import Choice
from mr2ct.many.asked import Asked
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry, Manifest
from mr2ct.many.pipeline import make_all
from mr2ct.model import Model


class Workshop(Protocol):
    """What makes items; open."""

    @property
    def told(self) -> str:
        """What it is, for people."""

    def make_all(
        self,
        todo: Sequence[tuple[Item, bool]],
        model: Model,
        asked: Asked,
        manifest: Manifest,
        on_entry: Callable[[Entry], None],
    ) -> str:
        """Make items, each with whether what is at its target is ours, and append what became of them to the manifest.

        on_entry: called in this thread with the last line of each.  Returns why it ended early, in words, "" where it
        did not; items that had not begun then have no line, or only their first.  Raises OutputError where the manifest
        cannot be written, DeviceError, KeyboardInterrupt.
        """


@dataclass(frozen=True)
class Here:
    """An engine of this process."""

    choice: Choice

    @property
    def told(self) -> str:
        """See Workshop."""
        return f"{self.choice.backend.description}, {self.choice.precision} ({self.choice.why})"

    def make_all(
        self,
        todo: Sequence[tuple[Item, bool]],
        model: Model,
        asked: Asked,
        manifest: Manifest,
        on_entry: Callable[[Entry], None],
    ) -> str:
        """See Workshop."""
        return make_all(todo, model, self.choice, asked, manifest, on_entry)


@contextmanager
def here(engine: Callable[[Model], Choice], model: Model, _asked: Asked) -> Iterator[Workshop]:
    """engine: opens it; it is closed with the block."""
    with engine(model) as choice:
        yield Here(choice)
