"""Curves from slice to slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mr2ct_training.evaluation.continuity import Continuity
from mr2ct_training.evaluation.curves import HEIGHT, WIDTH, continuity_picture
from mr2ct_training.evaluation.results import Evaluation

Pixels = Callable[[bytes], NDArray[np.uint8]]


def test_each_method_has_its_axes(evaluation: Evaluation, pixels: Pixels) -> None:
    picture = continuity_picture(evaluation)
    assert picture is not None and picture.file == "continuity.png"
    found = pixels(picture.png)
    assert found.shape[:2] == (round(HEIGHT * 100), round(2 * WIDTH * 100))
    for half in (found[:, : found.shape[1] // 2], found[:, found.shape[1] // 2 :]):
        red = (half[..., 0] > 170) & (half[..., 2] < 60)
        assert red.sum() > 200  # the synthetic CTs' curves


def test_without_slices_there_is_no_picture(evaluation: Evaluation) -> None:
    nothing = Continuity((), (), (), (), None)
    rows = tuple(replace(row, continuity=nothing) for row in evaluation.rows)
    assert continuity_picture(replace(evaluation, rows=rows)) is None
