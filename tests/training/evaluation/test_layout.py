"""Where pictures, marks and colour bars stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mr2ct_training.evaluation.board import Scale
from mr2ct_training.evaluation.layout import APART, BOTTOM, GAP, LEFT, RIGHT, TOP, UNDER, Column, Line, Panel, laid_out

HU, ERROR = Scale("CT", 0, 1, "HU", "gray", (0, 1)), Scale("error", 0, 1, "HU", "inferno", (0, 1))
COLUMNS = [Column("MR", None), Column("a", HU), Column("CT", HU), Column("|a|", ERROR)]

Pixels = Callable[[bytes], NDArray[np.uint8]]


def panel(height: int, width: int, grey: int, remark: str = "") -> Panel:
    return Panel(np.full((height, width, 3), grey, np.uint8), remark)


def test_columns_of_one_scale_stand_together_and_rows_below_each_other(pixels: Pixels) -> None:
    lines = [
        Line("anna", "sagittal", (panel(90, 80, 10), panel(90, 80, 20), panel(90, 80, 30), panel(90, 80, 40, "MAE"))),
        Line("bob", "axial", (panel(70, 60, 50), None, panel(70, 60, 60), panel(70, 60, 70))),
    ]
    found = pixels(laid_out(COLUMNS, lines))
    assert found.shape == (TOP + 160 + 2 * UNDER + BOTTOM, LEFT + 320 + GAP + 2 * APART + RIGHT, 3)
    x = [LEFT, LEFT + 80 + APART, LEFT + 160 + APART + GAP, LEFT + 240 + 2 * APART + GAP]
    for left, grey in zip(x, (10, 20, 30, 40), strict=True):
        assert (found[TOP + 30 : TOP + 90, left : left + 80] == grey).all()  # below the marks
    second = TOP + 90 + UNDER
    for left, grey in zip((x[0], x[2], x[3]), (50, 60, 70), strict=True):
        inside = found[second : second + 70, left : left + 80]
        assert (inside[30:, 10:70] == grey).all() and (inside[:, :10] == 255).all()  # in the middle of its column
    assert (found[second : second + 20, x[1] : x[1] + 80] == 255).all()  # bob has none
    bars = found[second + 70 + UNDER + 8 + 3]
    assert (bars[x[1]] == 0).all() and (bars[x[2] + 79] == 255).all()  # the HU bar: from the first CT to the last
    assert (bars[x[3]] == ERROR.paint(np.zeros((1, 1)))[0, 0]).all()


def test_the_sides_are_marked(pixels: Pixels) -> None:
    for cut in ("sagittal", "axial"):
        one = pixels(laid_out([Column("", HU)], [Line("", cut, (panel(100, 120, 0),))]))
        picture = one[TOP : TOP + 100, LEFT : LEFT + 120]
        assert picture[:24, :24].any() and picture[:24, -24:].any() and not picture[24:].any()
