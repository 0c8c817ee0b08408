"""Rows and columns of pictures with their headings, all at one scale, and a colour bar under the columns it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from mr2ct_training.evaluation.board import Board, Colours, Scale
from mr2ct_training.evaluation.planes import MARKS, PIXEL_MM, Cut
from mr2ct_training.evaluation.wording import shortened

GAP = 6  # pixels between pictures
APART = 22  # between columns of different scales
LEFT, TOP, RIGHT, BOTTOM = 34, 34, 20, 70  # for the rows' names, the headings, a bar's last number, the colour bars
UNDER = 24  # below each row, for remarks and the ruler
WIDEST_BAR = 420
RULER_MM = 50
PALE = "#f2f2f2"


@dataclass(frozen=True)
class Panel:
    """A picture and a word or two under it."""

    colours: Colours
    remark: str = ""


@dataclass(frozen=True)
class Column:
    """title: over its pictures.  scale: whose colours they have; None where the values have no unit."""

    title: str
    scale: Scale | None


@dataclass(frozen=True)
class Line:
    """A row: its name, how it is cut, and a picture for each column, None where there is none."""

    name: str
    cut: Cut
    panels: tuple[Panel | None, ...]


def laid_out(columns: Sequence[Column], lines: Sequence[Line]) -> bytes:
    """A PNG. Pictures of a column are centred; a row is as high as its highest picture, and its remarks."""
    shown = [[line.panels[n] for line in lines] for n in range(len(columns))]
    widths = [max((panel.colours.shape[1] for panel in own if panel), default=0) for own in shown]
    heights = [max(panel.colours.shape[0] for panel in line.panels if panel) for line in lines]
    lefts, x = [], LEFT
    for number, column in enumerate(columns):
        if number:
            x += GAP if column.scale is columns[number - 1].scale else APART
        lefts.append(x)
        x += widths[number]
    board = Board(x + RIGHT, TOP + sum(heights) + UNDER * len(lines) + BOTTOM)
    for column, left, width in zip(columns, lefts, widths, strict=True):
        board.text(left + width / 2, TOP / 2, shortened(column.title, max(6, width // 11)), 17, bold=True)
    y = TOP
    for line, height in zip(lines, heights, strict=True):
        board.text(LEFT / 2, y + height / 2, shortened(line.name, max(6, height // 11)), 17, bold=True, upright=True)
        for panel, left, width in zip(line.panels, lefts, widths, strict=True):
            if panel is None:
                board.text(left + width / 2, y + height / 2, "none", 15)
                continue
            _put(board, panel, line.cut, left + (width - panel.colours.shape[1]) // 2, y)
            board.text(left + width / 2, y + height + UNDER / 2 - 1, panel.remark, 15)
        y += height + UNDER
    _ruler(board, lefts[0], y - UNDER // 2)
    for scale, group in groupby(range(len(columns)), lambda n: columns[n].scale):
        own = list(group)
        if scale is not None:
            first, end = lefts[own[0]], lefts[own[-1]] + widths[own[-1]]
            width = min(end - first, WIDEST_BAR)
            board.bar((first + end - width) // 2, y + 8, width, scale)
    return board.png()


def _put(board: Board, panel: Panel, cut: Cut, x: int, y: int) -> None:
    """A picture with its two sides marked."""
    columns = panel.colours.shape[1]
    board.picture(x, y, panel.colours)
    one, other = MARKS[cut]
    board.text(x + 11, y + 13, one, 15, colour=PALE)
    board.text(x + columns - 11, y + 13, other, 15, colour=PALE)


def _ruler(board: Board, x: int, y: int) -> None:
    """A line of RULER_MM from x on, with its length beside it."""
    length = round(RULER_MM / PIXEL_MM)
    board.picture(x, y - 1, np.zeros((3, length, 3), np.uint8))
    board.text(x + length + 8, y, f"{RULER_MM} mm", 15, "left")
