"""A page carries the voxels of the volumes, where they lie in the patient, and no more than a browser takes."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom
from mr2ct.grid import Grid
from mr2ct.model import Model
from mr2ct.page import volumes
from mr2ct.page.volumes import MARGIN_MM, display_lattice, lies_along_axes, own_lattice, voxels_shown
from mr2ct.volume import Volume
from runtime.page.runs import cycle_of, drawn_head, run_of, voxel_at


def unpacked_bytes(packed: str) -> NDArray[np.uint8]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    return np.cumsum(steps, dtype=np.uint8)


def unpacked_hu(packed: str) -> NDArray[np.int64]:
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8).reshape(2, -1).astype(np.int64)
    folded = low + 256 * high
    return np.cumsum(np.where(folded % 2, -(folded + 1) // 2, folded // 2))


@pytest.mark.parametrize("values", [[-1024, 3071, -1024, 0, 40], [3071] * 3, [-1000]], ids=str)
def test_hu_come_back(values: list[int]) -> None:
    assert unpacked_hu(volumes.packed_hu(np.array(values, np.int16))).tolist() == values


def test_greys_come_back() -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
    np.testing.assert_array_equal(unpacked_bytes(volumes.packed_bytes(values)), values.ravel())


@pytest.mark.parametrize("axes", phantom.orientations()[::7], ids=str)
def test_own_voxels_are_carried_as_they_are(identity_model: Model, axes: NDArray[np.float64]) -> None:
    """In any of the 48 orientations, the HU at a point of the page is that of the voxel there."""
    grid = phantom.grid_around((5.0, -20.0, 30.0), (21, 24, 27), (9.0, 8.0, 7.5), axes)
    rng = np.random.default_rng(3)
    head = np.zeros(grid.shape, np.bool_)
    head[8:17, 7:20, 6:14] = True
    mr = Volume(rng.integers(0, 900, grid.shape).astype(np.int16), grid)
    ct = Volume(rng.integers(-1024, 3072, grid.shape).astype(np.int16), grid)
    shown = voxels_shown(run_of(identity_model, (mr, ct, head)))
    assert shown.own
    hu = unpacked_hu(shown.packed["ct"]).reshape(shown.grid.shape)
    grey = unpacked_bytes(shown.packed["mr"]).reshape(shown.grid.shape)
    low, high = shown.mr_window
    k, j, i = np.indices(hu.shape)
    there = voxel_at(grid, shown.grid.points(np.stack([i, j, k], axis=-1)))
    np.testing.assert_array_equal(hu, ct.voxels[there])
    wanted = np.clip(mr.voxels[there], low, high)
    np.testing.assert_allclose(low + grey / 255 * (high - low), wanted, atol=(high - low) / 255 / 2 + 1e-3)


@pytest.mark.parametrize("turn", [(0.0, 0.0), (11.0, -7.0)], ids=["straight", "oblique"])
def test_the_whole_head_is_shown_and_little_else(turn: tuple[float, float]) -> None:
    mr, _, head = drawn_head(turn)
    k, j, i = np.nonzero(head)
    points = mr.grid.points(np.stack([i, j, k], axis=-1).astype(np.float64))
    lattice = own_lattice(mr.grid, head) if lies_along_axes(mr.grid) else display_lattice(mr.grid, head, 2.0)
    first, last = lattice.points(np.zeros(3)), lattice.points(np.array(lattice.size) - 1.0)
    ends = mr.grid.points(np.array([[0, 0, 0], np.array(mr.grid.size) - 1], np.float64))
    beyond = 0.0 if turn == (0.0, 0.0) else np.inf  # the head is cut off by the volume: its own voxels end there
    step = np.array(lattice.spacing)
    for corner, way, head_end, volume_end in (
        (first, -1, points.min(axis=0), ends.min(axis=0)),
        (last, 1, points.max(axis=0), ends.max(axis=0)),
    ):
        margin = (corner - head_end) * way
        room = np.maximum((volume_end - head_end) * way + beyond, 0)
        assert (margin >= np.minimum(MARGIN_MM - step, room) - 1e-6).all()
        assert (margin <= MARGIN_MM + step).all()


def test_an_oblique_head_is_interpolated_where_it_lies(identity_model: Model) -> None:
    mr, ct, head = drawn_head((11.0, -7.0))
    shown = voxels_shown(run_of(identity_model, (mr, ct, head)))
    assert not shown.own and shown.grid.spacing == (2.9, 2.9, 2.9), "the narrowest of its own"
    hu = unpacked_hu(shown.packed["ct"]).reshape(shown.grid.shape)
    for lps in ((3.0, -6.0, 30.0), phantom.LEFT_MARKER, (-30.0, 20.0, 40.0)):
        there, (k, j, i) = voxel_at(shown.grid, lps), voxel_at(mr.grid, lps)
        around = ct.voxels[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2]
        assert around.min() - 1 <= hu[there] <= around.max() + 1


def test_what_is_too_large_is_shown_coarser(identity_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    mr, ct, head = drawn_head()
    run = run_of(identity_model, (mr, ct, head))
    whole = voxels_shown(run)
    size = sum(map(len, whole.packed.values()))
    monkeypatch.setattr(volumes, "LARGEST_BYTES", size // 3)
    shown = voxels_shown(run)
    assert whole.own and not shown.own
    assert size // 9 < sum(map(len, shown.packed.values())) <= size // 3
    assert len(set(shown.grid.spacing)) == 1 and shown.grid.spacing[0] > max(mr.grid.spacing)


def test_a_cycle_check_is_carried_too(identity_model: Model) -> None:
    mr, ct, head = drawn_head()
    cycle = cycle_of(mr, head)
    shown = voxels_shown(run_of(identity_model, (mr, ct, head), cycle=cycle))
    percent = unpacked_bytes(shown.packed["cycle"]).reshape(shown.grid.shape) / volumes.CYCLE_STEPS * shown.cycle_top
    lps = (3.0, -6.0, 30.0)
    wanted = cycle.error.voxels[voxel_at(mr.grid, lps)]
    assert percent[voxel_at(shown.grid, lps)] == pytest.approx(wanted, abs=shown.cycle_top / volumes.CYCLE_STEPS)


def test_an_mr_without_contrast_can_be_shown(identity_model: Model) -> None:
    mr, ct, head = drawn_head()
    flat = Volume(head.astype(np.float32) * 5, mr.grid)
    assert voxels_shown(run_of(identity_model, (flat, ct, head))).mr_window == (5.0, 6.0)


def test_which_grids_lie_along_the_patients_axes() -> None:
    straight = phantom.grid_around((0, 0, 0), (4, 4, 4), (1, 1, 1), phantom.SAGITTAL)
    turned: Grid = phantom.grid_around((0, 0, 0), (4, 4, 4), (1, 1, 1), phantom.oblique(0.1) @ np.eye(3))
    assert lies_along_axes(straight) and not lies_along_axes(turned)
    assert lies_along_axes(replace(straight, spacing=(1.0, 2.0, 3.0)))
