"""A report as Markdown, with its pictures as files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mr2ct_training.evaluation.blocks import Beside, Block, Bullets, Section, Sheet
from mr2ct_training.evaluation.figures import Picture


def markdown(title: str, report: Sequence[Section]) -> str:
    """The text of table.md."""
    lines = [f"# {plain(title)}", ""]
    for section in report:
        if section.blocks:
            lines += [f"## {plain(section.title)}", ""] if section.title else []
            for block in section.blocks:
                lines += [*_block(block), ""]
    return "\n".join(lines)


def plain(words: str) -> str:
    """Words in one line in which nothing is markup, HTML included."""
    line = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~$#])", r"\\\1", line)


def _block(block: Block) -> Iterator[str]:
    match block:
        case str():
            yield plain(block)
        case Bullets(lines, loud):
            yield from (f"- {'**WARNING** ' if loud else ''}{plain(line)}" for line in lines)
        case Picture():
            yield f"![{plain(block.alt)}]({block.file})"
            yield ""
            yield plain(block.caption)
        case Beside(sheets):
            for number, sheet in enumerate(sheets):
                yield from [""] if number else []
                yield from _sheet(sheet)
        case Sheet():
            yield from _sheet(block)


def _sheet(sheet: Sheet) -> Iterator[str]:
    """A pipe table: a group's words go before each of its columns, the foot follows the rows in bold."""
    over = [""] * sheet.words + [group for group, count in sheet.groups for _ in range(count)]
    over += [""] * (len(sheet.columns) - len(over))
    yield f"**{plain(sheet.caption)}**"
    yield ""
    heads = (f"{plain(group)}: {plain(column)}" if group else plain(column)
             for group, column in zip(over, sheet.columns, strict=True))  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield "|" + "|".join(":--" if n < sheet.words else "--:" for n in range(len(sheet.columns))) + "|"
    for cells in sheet.rows:
        yield f"| {' | '.join(plain(cell) for cell in cells)} |"
    for cells in sheet.foot:
        yield f"| {' | '.join(f'**{plain(cell)}**' if cell else '' for cell in cells)} |"
    if sheet.note:
        yield ""
        yield plain(sheet.note)
