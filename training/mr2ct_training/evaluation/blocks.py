"""What a report is made of, before it is Markdown or HTML: words as their authors wrote them, nothing escaped yet."""

from __future__ import annotations

from dataclasses import dataclass

from mr2ct_training.evaluation.figures import Picture


@dataclass(frozen=True)
class Sheet:
    """A table.

    caption: what it is.  groups: words over so many columns each, from the first column of numbers on; may be empty.
    columns: a heading each.  rows, foot: a cell for each column.  words: so many first columns are words, the others
    numbers.  note: what stands under it.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    words: int = 1
    note: str = ""


@dataclass(frozen=True)
class Beside:
    """Tables next to each other where there is room."""

    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Bullets:
    """A list; loud where a reader must not miss it."""

    lines: tuple[str, ...]
    loud: bool = False


Block = str | Bullets | Sheet | Beside | Picture  # a str is a paragraph


@dataclass(frozen=True)
class Section:
    """A heading, "" for none, and what stands under it."""

    title: str
    blocks: tuple[Block, ...]
