"""The trip of a volume: nothing moves, nothing flips, nothing is invented outside the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import phantom
from mr2ct import choose_backend, open_model, read_volume, synthesize, write_volume
from mr2ct.choosing import Choice
from mr2ct.errors import DeviceError, RefusedError, VolumeError
from mr2ct.grid import Grid
from mr2ct.model import Model
from mr2ct.synthesis import SyntheticCT
from mr2ct.volume import Volume
from small_models import write_model

RANGE = 1000.0  # of the smooth head
ONE_PER_CENT = 0.01 * RANGE + 0.5  # a CT holds whole HU
FIELD_MM = (190.0, 240.0, 230.0)  # left-right, anterior-posterior, inferior-superior: the whole head


@pytest.fixture(scope="module")
def identity(identity_model: Model) -> Choice:
    return choose_backend(identity_model)


def grid_of(axes: NDArray[np.float64], spacing: tuple[float, float, float]) -> Grid:
    """A grid of that orientation that holds the whole head, i, j, k spacing in mm."""
    field = np.abs(axes.T) @ np.array(FIELD_MM)
    size = [int(np.ceil(mm / step)) for mm, step in zip(field, spacing, strict=True)]
    return phantom.grid_around((0, 0, 0), (size[0], size[1], size[2]), spacing, axes)


def through(mr: Volume, model: Model, choice: Choice) -> SyntheticCT:
    return synthesize(mr, model, choice, batch=32)


def assert_put_back(mr: Volume, result: SyntheticCT) -> None:
    """The identity's HU + 600 is the MR inside the head, air outside, on the same grid."""
    assert result.volume.grid == mr.grid
    inside = result.head
    assert 0.05 < inside.mean() < 0.95
    error = np.abs(result.volume.voxels[inside] + 600.0 - mr.voxels[inside])
    assert error.max() <= ONE_PER_CENT
    assert (result.volume.voxels[~inside] == -1000).all()


@pytest.mark.parametrize("orientation", range(48))
def test_each_of_48_orientations_comes_back_as_it_went_in(
    orientation: int, identity_model: Model, identity: Choice
) -> None:
    mr = phantom.smooth(grid_of(phantom.orientations()[orientation], (2.8, 3.0, 2.6)))
    assert_put_back(mr, through(mr, identity_model, identity))


@pytest.mark.parametrize("angles", [(11, 0, 0), (-8, 14, 5), (25, -20, 30)])
@pytest.mark.parametrize("spacing", [(1.7, 1.7, 3.0), (3.0, 1.2, 1.9)])
def test_oblique_and_anisotropic_volumes_come_back_as_they_went_in(
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    identity_model: Model,
    identity: Choice,
) -> None:
    mr = phantom.smooth(grid_of(phantom.oblique(*angles), spacing))
    assert_put_back(mr, through(mr, identity_model, identity))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.integers(0, 47),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.tuples(*[st.floats(1.5, 3.0)] * 3),
    shift=st.tuples(*[st.floats(-400, 400)] * 3),
)
@example(  # ITK's inverse of such a direction goes wrong
    orientation=0, angles=(5.0, 0.0, 5.348472566030514e-306), spacing=(2.0, 2.0, 2.0), shift=(0.0, 0.0, 0.0)
)
def test_any_orientation_spacing_and_place_comes_back_as_it_went_in(
    orientation: int,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    shift: tuple[float, float, float],
    identity_model: Model,
    identity: Choice,
) -> None:
    axes = phantom.oblique(*angles) @ phantom.orientations()[orientation]
    drawn = phantom.smooth(grid_of(axes, spacing))
    origin = np.array(drawn.grid.origin) + shift
    mr = Volume(
        drawn.voxels,
        Grid(drawn.grid.size, drawn.grid.spacing, (origin[0], origin[1], origin[2]), drawn.grid.direction),
    )
    assert_put_back(mr, through(mr, identity_model, identity))


@pytest.mark.parametrize("orientation", range(0, 48, 5))
def test_a_marker_on_the_left_stays_on_the_left(orientation: int, identity_model: Model, identity: Choice) -> None:
    mr = head_within_window(grid_of(phantom.orientations()[orientation], (2.5, 2.5, 2.5)))
    result = through(mr, identity_model, identity).volume
    left = hu_at(result, phantom.LEFT_MARKER)
    x, y, z = phantom.LEFT_MARKER
    right = hu_at(result, (-x, y, z))
    assert left - right > 300


def head_within_window(grid: Grid) -> Volume:
    """The anatomical head, its MR scaled from 0..3500 into the identity's 0..2000."""
    mr, _ = phantom.draw(grid)
    return Volume(mr.voxels * np.float32(2000 / 3500), grid)


def hu_at(volume: Volume, point: tuple[float, float, float]) -> float:
    """The value of the voxel nearest to an LPS point, mm."""
    grid = volume.grid
    i, j, k = np.rint((np.array(point) - grid.origin) @ grid.axes / grid.spacing).astype(int)
    return float(volume.voxels[k, j, i])


def test_the_papers_volume_becomes_exactly_its_183_slices(identity_model: Model, identity: Choice) -> None:
    mr = phantom.smooth(phantom.paper_grid())
    result = synthesize(mr, identity_model, identity, batch=32, skip_air=False)
    assert (result.slices, result.skipped) == (183, 0)
    assert_put_back(mr, result)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.integers(0, 47),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.tuples(*[st.floats(2.2, 4.5)] * 3),
)
def test_slices_of_air_are_left_out_and_the_ct_is_the_same(
    orientation: int,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    identity_model: Model,
    identity: Choice,
) -> None:
    mr = phantom.smooth(grid_of(phantom.oblique(*angles) @ phantom.orientations()[orientation], spacing))
    every, fewer = (synthesize(mr, identity_model, identity, batch=32, skip_air=skip) for skip in (False, True))
    assert fewer.skipped > 0
    assert fewer.slices + fewer.skipped == every.slices
    difference = np.abs(every.volume.voxels.astype(int) - fewer.volume.voxels)
    assert difference.max() <= 1  # a HU half-way between two whole ones may go either way
    assert np.count_nonzero(difference) <= 1e-4 * fewer.head.sum()


def test_fine_anatomy_is_softened_and_not_moved(identity_model: Model, identity: Choice) -> None:
    """Linear interpolation there and back at a voxel's own size softens edges; half the voxels keep 0.5 % of range."""
    mr = head_within_window(phantom.paper_grid())
    result = synthesize(mr, identity_model, identity, batch=32)
    error = np.abs(result.volume.voxels[result.head] + 600.0 - mr.voxels[result.head]) / np.ptp(mr.voxels)
    assert np.median(error) <= 0.005
    assert error.mean() <= 0.015
    assert not result.beyond


def test_a_head_taller_than_the_field_of_view_loses_neck_and_says_how_much(
    identity_model: Model, identity: Choice
) -> None:
    grid = phantom.grid_around((0, 0, -40), (120, 160, 92), (2.0, 2.0, 2.0), phantom.SAGITTAL)
    mr = head_within_window(grid)
    result = through(mr, identity_model, identity)
    assert set(result.beyond) == {"inferior"}
    cut = result.beyond["inferior"]
    heights = grid.points(np.argwhere(result.head)[:, ::-1].astype(float))[:, 2]
    beyond = np.ptp(heights) + 5 - 288 * 0.87  # 5 mm of air above the vertex
    assert cut == pytest.approx(beyond, abs=2.1)
    bottom = heights < heights.min() + cut - 3
    assert (result.volume.voxels[result.head][bottom] == -1000).all()
    top = heights > heights.max() - 60
    assert (result.volume.voxels[result.head][top] > -700).any()


def test_hu_never_leaves_twelve_bits(tmp_path: Path) -> None:
    model = write_model(tmp_path / "wide", ct_window_hu=(-5000.0, 9000.0))
    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    ct = synthesize(Volume(mr.voxels * 2, mr.grid), model, batch=32).volume.voxels
    assert (ct.min(), ct.max()) == (-1024, 3071)
    assert ct.dtype == np.int16


def test_progress_counts_every_slice(identity_model: Model, identity: Choice) -> None:
    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    seen: list[tuple[int, int]] = []
    result = synthesize(
        mr, identity_model, identity, batch=50, on_slices=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (result.slices, result.slices)
    assert [done for done, _ in seen] == [50, 100, result.slices]


def test_what_the_network_saw_and_answered_is_kept_where_it_is_asked_for(
    identity_model: Model, identity: Choice
) -> None:
    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    assert through(mr, identity_model, identity).network is None
    result = synthesize(mr, identity_model, identity, batch=32, keep_network=True)
    network = result.network
    assert network is not None
    assert network.mr.shape == network.ct.shape == (result.slices, 256, 256) == network.grid.shape
    assert -1 <= network.mr.min() < network.mr.max() <= 1
    assert np.array_equal(network.mr, network.ct)  # the identity's, and not yet HU
    assert np.array_equal(result.volume.voxels, through(mr, identity_model, identity).volume.voxels)
    x, y, z = 9.0, -20.0, 14.0  # LPS mm
    i, j, k = np.rint((np.array((x, y, z)) - network.grid.origin) @ network.grid.axes / network.grid.spacing).astype(
        int
    )
    there = (network.mr[k, j, i] + 1) * 1000
    assert there == pytest.approx(hu_at(mr, (x, y, z)), abs=0.05 * RANGE)


def test_a_check_sees_the_mr_and_its_head_before_the_engine_runs_and_may_refuse(identity_model: Model) -> None:
    class Idle:
        description, batch = "idle", 64

        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            raise AssertionError(f"{len(batch)} slices of a refused MR")

        def close(self) -> None:
            pass

    def refuse(seen: Volume, head: NDArray[np.bool_]) -> None:
        assert seen is mr
        assert head.shape == mr.voxels.shape and head.any()
        raise RefusedError("not this one")

    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    with pytest.raises(RefusedError, match="not this one"):
        synthesize(mr, identity_model, Choice(Idle(), "x", "fp32", "a test", None), check=refuse)


def test_a_check_that_finds_nothing_is_a_stage_of_its_own(identity_model: Model) -> None:
    mr, heads = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0))), list[NDArray[np.bool_]]()
    result = synthesize(mr, identity_model, batch=32, check=lambda _, head: heads.append(head), keep_network=True)
    assert np.array_equal(heads[0], result.head)
    assert list(result.seconds) == ["load", "mask", "gate", "grid", "engine", "back"]
    assert result.network is not None


def test_the_mr_is_not_changed(identity_model: Model, identity: Choice) -> None:
    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    before = mr.voxels.copy()
    through(mr, identity_model, identity)
    assert np.array_equal(mr.voxels, before)


def test_more_slices_at_once_than_the_model_takes_is_an_error(identity_model: Model, identity: Choice) -> None:
    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    with pytest.raises(DeviceError, match="takes 1 to 183"):
        synthesize(mr, identity_model, identity, batch=184)


def test_a_ct_is_refused(identity_model: Model, identity: Choice) -> None:
    _, ct = phantom.draw(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    with pytest.raises(VolumeError, match="this is a CT"):
        through(ct, identity_model, identity)


def test_an_engine_that_answers_nan_is_an_error(identity_model: Model) -> None:
    class Broken:
        description, batch = "broken", 64

        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(batch, np.nan)

    mr = phantom.smooth(grid_of(np.eye(3), (3.0, 3.0, 3.0)))
    with pytest.raises(DeviceError, match="NaN"):
        synthesize(mr, identity_model, Choice(Broken(), "x", "fp32", "a test", None))


@pytest.mark.heads
@pytest.mark.parametrize("name", ["fnndsc_sag", "fnndsc_adi", "studyforrest_defaced", "seg3d"])
def test_every_real_head_goes_through_on_its_own_grid(
    name: str, heads: Path, identity_model: Model, identity: Choice, tmp_path: Path
) -> None:
    mr = read_volume(heads / "mr" / f"{name}.nii.gz")
    result = synthesize(mr, identity_model, identity, batch=32)
    write_volume(result.volume, tmp_path / "ct.nii.gz")
    ct = read_volume(tmp_path / "ct.nii.gz")
    assert ct.grid == mr.grid  # size, spacing, origin, direction to the last bit
    assert (ct.voxels[~result.head] == -1000).all()
    assert ct.voxels.min() >= -1024
    assert ct.voxels.max() <= 3071
    seen = result.head & (ct.voxels > -600)
    error = np.abs(ct.voxels[seen] + 600.0 - np.clip(mr.voxels[seen], 0, 2000))
    assert error.mean() < 0.04 * np.percentile(mr.voxels[result.head], 99)


def test_the_model_that_comes_with_the_package_opens_and_is_trained() -> None:
    model = open_model()
    assert model.card.trained
    assert "fp32" in model.precisions
