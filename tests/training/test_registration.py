"""A CT that was moved by a known rigid motion finds its way back onto its MR, or says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

import phantom
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.volume import Volume
from mr2ct_training import registration
from mr2ct_training.ct_head import ct_head_mask, without_surroundings
from mr2ct_training.registration import Registration, RegistrationError, register

MR_GRID = phantom.grid_around((0, 0, 0), (110, 110, 84), (2.2, 2.2, 2.2), phantom.SAGITTAL)
CT_GRID = phantom.grid_around((4, 12, -6), (120, 130, 78), (1.9, 1.9, 3.0))
TURN = phantom.oblique(9, -5, 7)
SHIFT = np.array([14.0, -9.0, 35.0])  # mm; more than a head moves between two scanners

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """The same head in both modalities, in place."""

    mr: Volume
    mr_head: NDArray[np.bool_]
    ct: Volume
    ct_head: NDArray[np.bool_]

    def registered(self, turn: Matrix = TURN, shift: Matrix = SHIFT, iterations: int = 200) -> Registration:
        """After the CT was moved: p to turn @ p + shift."""
        return register(moved(self.ct, turn, shift), self.ct_head, self.mr, self.mr_head, iterations=iterations)


def moved(volume: Volume, turn: Matrix, shift: Matrix) -> Volume:
    grid = volume.grid
    return Volume(
        volume.voxels,
        Grid(
            grid.size,
            grid.spacing,
            tuple((turn @ grid.origin + shift).tolist()),
            tuple((turn @ grid.axes).ravel().tolist()),
        ),
    )


def apart(found: Registration, turn: Matrix, shift: Matrix, grid: Grid, head: NDArray[np.bool_]) -> tuple[float, float]:
    """How far the found transform leaves the head from where it was: the most, in mm, and in degrees."""
    points = grid.points(np.argwhere(head)[::500, ::-1].astype(float))
    back = (points @ turn.T + shift) @ found.matrix.T + found.translation
    angle = np.degrees(np.arccos(np.clip((np.trace(found.matrix @ turn) - 1) / 2, -1, 1)))
    return float(np.linalg.norm(back - points, axis=1).max()), float(angle)


@pytest.fixture(scope="module")
def pair() -> Pair:
    mr, ct = phantom.draw(MR_GRID, seed=1)[0], phantom.draw(CT_GRID, seed=2)[1]
    ct_head = ct_head_mask(ct)
    return Pair(mr, head_mask(mr), without_surroundings(ct, ct_head), ct_head)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cubes of 8 mm only, in half a second."""
    quick = {"CUBE_MM": 4.0, "COMPARED_MM": 8.0, "SHRINK": (2,), "SIGMAS_MM": (4.0,), "SAMPLES": (1.0,)}
    for name, value in quick.items():
        monkeypatch.setattr(registration, name, value)


@pytest.fixture
def threads() -> Iterator[None]:
    """ITK's number of threads, as it was afterwards."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def test_a_moved_ct_comes_back_within_a_millimetre_and_a_degree(pair: Pair) -> None:
    found = pair.registered()
    most, angle = apart(found, TURN, SHIFT, MR_GRID, pair.mr_head)
    assert most < 1 and angle < 1
    assert found.metric < found.start - 0.2
    assert 0 < found.iterations < 200


@pytest.mark.usefixtures("coarse")
def test_the_manifest_gets_the_transform_as_twelve_numbers(pair: Pair) -> None:
    found = pair.registered()
    told = json.loads(json.dumps(found.to_json()))
    assert told["stop"] and told["metric"] == found.metric and told["iterations"] == found.iterations
    matrix, translation = np.array(told["transform"][:9]).reshape(3, 3), np.array(told["transform"][9:])
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9) and np.linalg.det(matrix) > 0
    away = moved(pair.ct, TURN, SHIFT)
    index = np.array([[30.0, 40.0, 20.0], [90.0, 10.0, 60.0]])
    assert np.allclose(found.moved(away).grid.points(index), away.grid.points(index) @ matrix.T + translation)


def test_a_moved_volume_has_its_voxels_untouched(pair: Pair) -> None:
    found = Registration(TURN, SHIFT, -0.5, -0.2, 10, "")
    there = found.moved(pair.ct)
    assert there.voxels is pair.ct.voxels
    assert there.grid.size == pair.ct.grid.size and there.grid.spacing == pair.ct.grid.spacing
    index = np.array([7.0, 50.0, 33.0])
    assert np.allclose(there.grid.points(index), TURN @ pair.ct.grid.points(index) + SHIFT)


@pytest.mark.usefixtures("coarse", "threads")
def test_the_same_pair_gives_the_same_transform_on_any_number_of_threads(pair: Pair) -> None:
    told = []
    for number in (1, 2, 5):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(number)
        told.append(pair.registered().to_json())
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == number
    assert told[0] == told[1] == told[2]


@pytest.mark.usefixtures("coarse")
def test_a_ct_in_place_stays_there(pair: Pair) -> None:
    found = pair.registered(np.eye(3), np.zeros(3))
    most, _ = apart(found, np.eye(3), np.zeros(3), MR_GRID, pair.mr_head)
    assert most < 2  # cubes of 8 mm know no better


@pytest.mark.usefixtures("coarse")
def test_a_ct_a_metre_away_is_found_by_its_vertex(pair: Pair) -> None:
    shift = np.array([100.0, -300.0, 1000.0])
    most, _ = apart(pair.registered(np.eye(3), shift), np.eye(3), shift, MR_GRID, pair.mr_head)
    assert most < 2


@pytest.mark.usefixtures("coarse")
def test_too_few_iterations_are_told(pair: Pair) -> None:
    with pytest.raises(RegistrationError, match="did not converge"):
        pair.registered(iterations=3)


@pytest.mark.usefixtures("coarse")
def test_a_head_on_its_side_is_no_registration(pair: Pair) -> None:
    with pytest.raises(RegistrationError, match=r"did not converge|do not overlap|degrees|made it worse|half around"):
        pair.registered(phantom.oblique(0, 80))


@pytest.mark.usefixtures("coarse")
def test_a_ct_that_says_left_is_right_and_front_is_back_is_refused(pair: Pair) -> None:
    with pytest.raises(RegistrationError, match="turned half around"):
        pair.registered(phantom.oblique(0, 0, 180), np.zeros(3))


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MOST_TURN_DEG", 5.0, "turned the CT by 1[0-9] degrees"),
        ("MOST_SHIFT_MM", 0.5, "moved it by"),
        ("LEAST_OVERLAP", 0.9999, "do not overlap"),
        ("LEAST_SHARED", 1.1, "in both scans"),
        ("METRIC_NOISE", -1.0, "made it worse"),
    ],
)
def test_what_is_implausible_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, message: str
) -> None:
    monkeypatch.setattr(registration, limit, value)
    with pytest.raises(RegistrationError, match=message):
        pair.registered()
