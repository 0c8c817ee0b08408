"""The same head gives the same numbers, however its voxels are ordered and whatever their unit is."""

from __future__ import annotations

import numpy as np
import pytest

import phantom
from gate_cases import orders
from mr2ct.gate.measured import HALF_PATCH, SCALARS, Measured
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.volume import Volume

NEAR = 2e-3  # of a value: floats are summed in another order


@pytest.fixture(scope="module")
def small() -> Volume:
    grid = phantom.grid_around((0, 2, -16), (50, 50, 37), (5.0, 5.0, 5.1), phantom.oblique(4, -3, 6) @ phantom.SAGITTAL)
    return phantom.draw(grid, phantom.Head(person=4), seed=4)[0]


def assert_alike(one: Measured, other: Measured, *, less: str = "") -> None:
    for name in set(SCALARS) - {less}:
        assert one.scalars[name] == pytest.approx(other.scalars[name], rel=NEAR, abs=NEAR), name
    assert one.quantiles == pytest.approx(other.quantiles, abs=NEAR)
    for name in ("signal", "share"):
        ours, theirs = (np.frombuffer(bytes.fromhex(getattr(m, name)), np.uint8).astype(int) for m in (one, other))
        assert np.abs(ours - theirs).max() <= 1, name


def test_all_48_orders_of_the_voxels_give_the_same_numbers(small: Volume) -> None:
    head = head_mask(small)
    expected = measure(small, head)
    masks = orders(Volume(head, small.grid))
    for (_, volume), (_, mask) in zip(orders(small), masks, strict=True):
        assert_alike(measure(volume, mask.voxels), expected)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f8"])
def test_only_the_signal_follows_the_unit(small: Volume, dtype: str) -> None:
    head = head_mask(small)
    units = small.voxels.astype(np.float64) / small.voxels.max() * 250
    expected = measure(Volume(np.rint(units), small.grid), head)
    other = measure(Volume(np.rint(units).astype(dtype), small.grid), head)
    assert_alike(other, expected)
    tenfold = measure(Volume(np.rint(units) * 10, small.grid), head)
    assert_alike(tenfold, expected, less="signal")
    assert tenfold.scalars["signal"] == pytest.approx(10 * expected.scalars["signal"], rel=NEAR)


def test_sizes_are_those_of_the_drawn_head(small: Volume) -> None:
    found = measure(small, head_mask(small)).scalars
    assert found["finest_mm"] == 5.0 and found["coarsest_mm"] == 5.1
    assert found["head_right_left_mm"] == pytest.approx(160, abs=16)
    assert found["head_front_back_mm"] == pytest.approx(215, abs=20)
    assert max(found["cut_top_cm2"], found["cut_left_cm2"]) < 100  # through the middle it is 250


def test_what_is_measured_comes_back_from_json(small: Volume) -> None:
    measured = measure(small, head_mask(small))
    assert Measured.from_json(measured.to_json()) == measured
    assert len(bytes.fromhex(measured.signal)) == HALF_PATCH


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("signal", "zz", "bytes in hexadecimal"),
        ("share", 7, "bytes in hexadecimal"),
        ("quantiles", (0.5,), "rising numbers"),
        ("quantiles", ("x",) * 32, "rising numbers"),
        ("scalars", {"noise": 1.0}, "missing or not known"),
        ("scalars", {**dict.fromkeys(SCALARS, 1.0), "noise": float("nan")}, "scalars.noise must be a number"),
    ],
)
def test_what_cannot_have_been_measured_is_refused(small: Volume, name: str, value: object, told: str) -> None:
    good = measure(small, head_mask(small)).to_json()
    with pytest.raises(ValueError, match=told):
        Measured.from_json({**good, name: value})


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 3, 3), (40, 40, 2)])
def test_a_sliver_is_measured_without_an_error(shape: tuple[int, int, int]) -> None:
    k, j, i = shape
    grid = phantom.grid_around((0, 0, 0), (i, j, k), (4.0, 4.0, 4.0))
    voxels = np.random.default_rng(0).random(shape, np.float32)
    measured = measure(Volume(voxels, grid), np.ones(shape, np.bool_))
    assert measured.scalars["noise"] == 0.0


def test_a_volume_of_one_value_is_measured_without_an_error() -> None:
    grid = phantom.grid_around((0, 0, 0), (20, 20, 20), (4.0, 4.0, 4.0))
    head = np.zeros(grid.shape, np.bool_)
    head[5:15, 5:15, 5:15] = True
    assert measure(Volume(np.full(grid.shape, 7, np.int16), grid), head).scalars["sharpness"] == 0.0
