"""What comes back of an MR is measured where it is: on models whose cycle error is known to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import phantom
from mr2ct import choose_backend, read_volume, synthesize, write_volume
from mr2ct.cycle import CycleCheck, cycle_check
from mr2ct.errors import DeviceError
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.model import Model
from mr2ct.model_grid import SAGITTAL_AXES
from mr2ct.synthesis import SyntheticCT
from mr2ct.volume import Volume
from mr2ct.way_back import WayBack
from small_models import cycle_facts, halving_model

FIELD_MM = (190.0, 240.0, 230.0)  # left-right, anterior-posterior, inferior-superior: the whole head
OFF = 0.03  # of the cycled MR, in the network's numbers
LOST = 0.25  # of the synthetic CT, in the network's numbers; twice as much comes back


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose cycle loses nothing."""
    return halving_model(tmp_path_factory.mktemp("exact") / "model")


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose cycled MR is OFF everywhere."""
    return halving_model(tmp_path_factory.mktemp("off") / "model", OFF)


def mr_on(axes: NDArray[np.float64], spacing: tuple[float, float, float]) -> Volume:
    """The smooth head, MR 0 to 1000, on a grid of that orientation."""
    field = np.abs(axes.T) @ np.array(FIELD_MM)
    size = [int(np.ceil(mm / step)) for mm, step in zip(field, spacing, strict=True)]
    return phantom.smooth(phantom.grid_around((3, -4, 9), (size[0], size[1], size[2]), spacing, axes))


@pytest.fixture(scope="module")
def mr() -> Volume:
    return mr_on(np.array(phantom.SAGITTAL), (3.0, 3.0, 3.0))


def through(mr: Volume, model: Model) -> SyntheticCT:
    with choose_backend(model, "cpu", threads=1) as choice:
        return synthesize(mr, model, choice, batch=32, keep_network=True)


def checked(mr: Volume, model: Model) -> CycleCheck:
    return cycle_check(through(mr, model), mr, model, batch=32)


@pytest.fixture(scope="module")
def kept(mr: Volume, off: Model) -> SyntheticCT:
    return through(mr, off)


@pytest.fixture(scope="module")
def check(kept: SyntheticCT, mr: Volume, off: Model) -> CycleCheck:
    return cycle_check(kept, mr, off, batch=32)


def percent(of_the_network: float, mr: Volume) -> float:
    """A difference in the network's numbers in percent of the MR's range, whose voxel values are 1000 times as many."""
    low, high = np.percentile(mr.voxels[head_mask(mr)], [0, 99.5])
    return float(of_the_network * 1000 / (high - low) * 100)


def test_an_error_that_is_the_same_everywhere_is_told_in_percent_of_the_mrs_range(
    mr: Volume, kept: SyntheticCT, check: CycleCheck
) -> None:
    wanted = percent(OFF, mr)
    assert 2 < wanted < 4
    assert check.mean_percent == pytest.approx(wanted, rel=0.01)  # the range is the model's slices', not the volume's
    assert check.p95_percent == pytest.approx(check.mean_percent, rel=1e-4)
    assert check.error.voxels.dtype == np.float32
    assert check.error.grid == mr.grid
    np.testing.assert_allclose(check.error.voxels[kept.head], check.mean_percent, rtol=1e-3)
    assert (check.error.voxels[~kept.head] == 0).all()
    assert "onnxruntime" in check.engine
    assert check.certified


def test_what_comes_back_whole_has_no_error(mr: Volume, exact: Model) -> None:
    check = checked(mr, exact)
    assert check.mean_percent == check.p95_percent == check.error.voxels.max() == 0
    assert check.warnings == ()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.integers(0, 47),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.tuples(*[st.floats(2.5, 4.5)] * 3),
    place=st.tuples(st.floats(-30, 30), st.floats(-40, 40), st.floats(-40, 40)),
)
def test_a_ct_that_is_wrong_at_a_place_has_its_error_there_and_nowhere_else(
    orientation: int,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    place: tuple[float, float, float],
    exact: Model,
) -> None:
    mr = mr_on(phantom.oblique(*angles) @ phantom.orientations()[orientation], spacing)
    result = through(mr, exact)
    check = cycle_check(_spoiled(result, place, half_mm=15), mr, exact, batch=32)
    away = np.abs(_positions(mr.grid) - place).max(axis=-1)  # mm, of each voxel
    wanted = percent(2 * LOST, mr)
    np.testing.assert_allclose(check.error.voxels[result.head & (away < 13)], wanted, rtol=0.03)
    assert (check.error.voxels[away > 17] == 0).all()
    assert 0 < check.mean_percent < wanted / 10


def _positions(grid: Grid) -> NDArray[np.float64]:
    """LPS mm of each voxel, (k, j, i, 3)."""
    k, j, i = np.indices(grid.shape)
    return grid.points(np.stack([i, j, k], axis=-1).reshape(-1, 3).astype(float)).reshape(*grid.shape, 3)


def _spoiled(result: SyntheticCT, centre: tuple[float, float, float], half_mm: float) -> SyntheticCT:
    """The result with a cube of the network's CT denser by LOST; centre: LPS mm."""
    assert result.network is not None
    ct, grid = result.network.ct.copy(), result.network.grid
    assert grid.direction == SAGITTAL_AXES  # so a cube is a block of pixels: slices run to Right, rows to Inferior
    x, y, z = (
        np.abs(first + step * np.arange(count) - middle) <= half_mm
        for first, step, count, middle in zip(
            grid.origin,
            (-grid.spacing[2], grid.spacing[0], -grid.spacing[1]),
            (ct.shape[0], ct.shape[2], ct.shape[1]),
            centre,
            strict=True,
        )
    )
    ct[np.ix_(x, z, y)] += np.float32(LOST)
    return replace(result, network=replace(result.network, ct=ct))


def test_neck_that_the_model_does_not_see_does_not_count(off: Model) -> None:
    grid = phantom.grid_around((0, 0, -40), (64, 80, 46), (3.0, 3.0, 4.0), phantom.SAGITTAL)
    drawn, _ = phantom.draw(replace(grid, size=(84, 106, 62)))
    mr = Volume(drawn.voxels * np.float32(2000 / 3500), drawn.grid)
    result = through(mr, off)
    assert "inferior" in result.beyond
    check = cycle_check(result, mr, off, batch=32)
    assert check.p95_percent == pytest.approx(check.mean_percent, rel=1e-4)
    assert (check.error.voxels[result.head] == 0).mean() > 0.01


@pytest.mark.parametrize(("limit", "within"), [(50.0, True), (1.5, False), (None, True)])
def test_above_the_models_limit_it_warns(limit: float | None, within: bool, mr: Volume, check: CycleCheck) -> None:
    check = replace(check, limit_percent=limit)
    told = f"{percent(OFF, mr):.1f} %"
    assert check.within is within
    assert check.said.startswith(f"cycle check: {told} of the MR range on average (95 % of voxels within {told})")
    assert check.said.endswith(")" if limit is None else f", limit {limit:.1f} %")
    assert "\n" not in check.said
    assert len(check.warnings) == (not within)
    if not within:
        assert f"{told} of the MR range does not come back, where the model's limit is 1.5 %" in check.warnings[0]
    assert check.as_json() == {
        "mean_percent": check.mean_percent, "p95_percent": check.p95_percent, "limit_percent": limit,
        "engine": check.engine, "certified": True, "within": within,
    }  # fmt: skip


def test_the_limit_is_the_cards_and_a_mean_at_the_limit_is_within_it(off: Model, check: CycleCheck) -> None:
    assert off.card.cycle is not None
    assert check.limit_percent == off.card.cycle.limit_percent == cycle_facts().limit_percent
    assert replace(check, limit_percent=check.mean_percent).within


def test_the_map_is_written_and_read_where_the_mr_is(off: Model, tmp_path: Path) -> None:
    drawn = mr_on(phantom.oblique(10, -20, 5) @ phantom.orientations()[17], (3.0, 4.0, 3.5))
    write_volume(Volume(drawn.voxels.astype(np.int16), drawn.grid), tmp_path / "mr.nii.gz")
    mr = read_volume(tmp_path / "mr.nii.gz")
    check = checked(mr, off)
    write_volume(check.error, tmp_path / "error.nii.gz")
    again = read_volume(tmp_path / "error.nii.gz")
    assert again.grid == mr.grid
    np.testing.assert_array_equal(again.voxels, check.error.voxels)


def test_progress_counts_every_slice(mr: Volume, kept: SyntheticCT, off: Model) -> None:
    seen: list[tuple[int, int]] = []
    cycle_check(kept, mr, off, batch=50, on_slices=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (kept.slices, kept.slices)


def test_a_synthesis_that_did_not_keep_its_slices_is_an_error_that_says_how(
    mr: Volume, kept: SyntheticCT, off: Model
) -> None:
    with pytest.raises(ValueError, match="keep_network=True"):
        cycle_check(replace(kept, network=None), mr, off)


def test_a_way_back_that_answers_nan_is_an_error(mr: Volume, kept: SyntheticCT, off: Model) -> None:
    class Broken:
        description, batch = "broken", 64

        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(batch, np.nan)

        def close(self) -> None:
            pass

    with pytest.raises(DeviceError, match="broken: NaN"):
        cycle_check(kept, mr, off, WayBack(Broken(), "x", "fp32", None))
