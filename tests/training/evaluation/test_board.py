"""Pixels of a sheet, read back from its PNG."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct_training.evaluation.board import BAR_HEIGHT, Board, Scale, drawable

SCALE = Scale("CT", -600, 1400, "HU", "gray", (-600, 400, 1400))


Pixels = Callable[[bytes], NDArray[np.uint8]]


def test_a_picture_is_drawn_pixel_for_pixel(pixels: Pixels) -> None:
    board, colours = Board(60, 40), np.random.default_rng(0).integers(0, 255, (11, 17, 3)).astype(np.uint8)
    board.picture(20, 5, colours)
    found = pixels(board.png())
    assert found.shape == (40, 60, 3) and (found[5:16, 20:37] == colours).all()
    found[5:16, 20:37] = 255
    assert (found == 255).all()


def test_a_scale_runs_from_its_low_end_to_its_high_end_and_no_farther() -> None:
    painted = SCALE.paint(np.array([[-3000, -600, 400, 1400, 3000]], np.int16))
    assert painted[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_bar_has_the_colours_of_its_scale(pixels: Pixels) -> None:
    board = Board(300, 100)
    board.bar(50, 10, 201, SCALE)
    found = pixels(board.png())[10 : 10 + BAR_HEIGHT, 50:251]
    assert (found == SCALE.paint(np.linspace(-600, 1400, 201)[None])).all()


def test_the_same_calls_give_the_same_bytes_without_a_clock_or_a_version() -> None:
    def drawn() -> bytes:
        board = Board(200, 60)
        board.text(100, 30, "anna")
        board.bar(10, 5, 150, SCALE)
        return board.png()

    assert drawn() == drawn() and b"tEXt" not in drawn() and b"tIME" not in drawn()


@pytest.mark.parametrize("words", ["$\\frac{1$", "a\nb", "<script>", "\u8166 \U0001f9e0", "%s {x}", ""])
def test_any_name_can_be_drawn(words: str, pixels: Pixels) -> None:
    board = Board(200, 60)
    board.text(100, 30, words, upright=True)
    assert (pixels(board.png()) != 255).any() == bool(words)


def test_what_the_font_does_not_have_is_a_question_mark() -> None:
    assert drawable("M\u00fcller \u8166\n$x$") == "M\u00fcller ? $x$"
