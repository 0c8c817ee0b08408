"""The CT is moved where patients move, by as much as was asked, and nothing folds."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from misalignment import REGIONS, FoldError, Misalignment, Motion, misalignment
from phantom import grid_around, oblique

SIZE = (1.03, 0.97, 1.01)


def shift_at(warp: Misalignment, point: np.ndarray) -> np.ndarray:
    """The shift (mm) at one LPS point."""
    grid = grid_around((point[0], point[1], point[2]), (1, 1, 1), (1.0, 1.0, 1.0))
    return np.array([c.item() for c in warp.on(grid)(slice(0, 1))])


@pytest.mark.parametrize("asked", [1.0, 4.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_region_moves_by_what_was_asked_and_the_cranium_stays(asked: float, seed: int) -> None:
    measured = misalignment(seed, SIZE, asked).measured
    for name in REGIONS:
        assert measured.rms_mm[name] == pytest.approx(asked, rel=0.05)
    assert measured.rms_mm["cranium"] < 0.03
    assert measured.cranium_max_mm < 1
    assert 0.2 <= measured.jacobian[0] < 1 < measured.jacobian[1]


def test_nothing_above_the_base_of_the_skull_moves_at_all() -> None:
    warp = misalignment(3, SIZE, 4)
    above = grid_around((0, 0, 60), (20, 25, 12), (9.0, 9.0, 9.0))  # z from 10 mm
    assert not np.any(warp.on(above)(slice(0, 12)))


def test_a_moved_point_can_be_found_again() -> None:
    warp = misalignment(4, SIZE, 3)
    rng = np.random.default_rng(0)
    for point in rng.uniform((-50, -80, -120), (50, 60, -20), (12, 3)):
        there = point + shift_at(warp, point)
        found = there
        for _ in range(40):
            found = there - shift_at(warp, found)
        assert np.abs(found - point).max() < 0.01


def test_a_grid_that_lies_askew_sees_the_same_shift() -> None:
    warp = misalignment(5, SIZE, 4)
    askew = grid_around((5, -30, -60), (6, 5, 4), (8.0, 9.0, 10.0), oblique(10, -20, 30))
    shift = np.stack(warp.on(askew)(slice(0, 4)))
    assert shift[:, 2, 3, 1] == pytest.approx(shift_at(warp, askew.points(np.array([1, 3, 2]))), abs=1e-3)
    assert np.stack(warp.on(askew)(slice(1, 3))) == pytest.approx(shift[:, 1:3], abs=1e-5)


def test_patients_move_differently_and_each_the_same_again() -> None:
    one, again, other = (misalignment(seed, SIZE, 4) for seed in (6, 6, 7))
    point = np.array([0.0, -60.0, -85.0])
    assert one.motion == again.motion
    assert np.linalg.norm(shift_at(one, point) - shift_at(other, point)) > 1
    told = Misalignment(Motion(**asdict(one.motion)))  # as cohort.json has it
    assert np.array_equal(shift_at(told, point), shift_at(one, point))


def test_more_than_a_head_can_do_is_refused() -> None:
    with pytest.raises(FoldError, match="40 mm folds the anatomy; about 8 mm"):
        misalignment(0, SIZE, 40)
