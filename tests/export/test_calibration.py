"""Slices to calibrate with reach over the whole head, and none of them measures or certifies what it calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import phantom
from mr2ct.card import PAPER_MR_WINDOW, PAPER_SLICES
from mr2ct.errors import VolumeError
from mr2ct.volume import Volume
from mr2ct_export import calibration
from mr2ct_export.calibration import CALIBRATING, HELD_OUT, Calibration, calibration_from_volumes, observe
from mr2ct_export.reference import LEAST_HEAD, full_slices

Array = NDArray[np.float32]
NO_REFERENCE = np.empty((0, 1, PAPER_SLICES.rows, PAPER_SLICES.columns), np.float32)


def taken(*volumes: Volume, reference: Array = NO_REFERENCE) -> Calibration:
    return calibration_from_volumes(volumes, PAPER_SLICES, PAPER_MR_WINDOW, reference)


@pytest.fixture(scope="module")
def whole(head_mr: Volume) -> Array:
    """Every slice of the head that could be taken."""
    return full_slices(head_mr, PAPER_SLICES, PAPER_MR_WINDOW)[0]


@pytest.fixture(scope="module")
def alone(head_mr: Volume) -> Calibration:
    return taken(head_mr)


def places(slices: Array, whole: Array) -> list[int]:
    """Where slices lie in the head."""
    numbers = {one.tobytes(): n for n, one in enumerate(whole)}
    return [numbers[one.tobytes()] for one in slices]


def test_both_sets_are_slices_of_the_head_and_have_none_in_common(alone: Calibration, whole: Array) -> None:
    calibrating, held_out = places(alone.calibrating, whole), places(alone.held_out, whole)
    assert len(set(calibrating)) == len(alone.calibrating) == CALIBRATING
    assert len(set(held_out)) == len(alone.held_out) == HELD_OUT
    assert not set(calibrating) & set(held_out)


def test_both_sets_reach_to_the_ends_of_the_head(alone: Calibration, whole: Array) -> None:
    calibrating, held_out = places(alone.calibrating, whole), places(alone.held_out, whole)
    assert (calibrating[0], calibrating[-1]) == (0, len(whole) - 1)
    assert (held_out[0], held_out[-1]) == (1, len(whole) - 2)
    assert max(np.diff(calibrating)) <= 2 * len(whole) / CALIBRATING


def test_slices_are_as_an_engine_gets_them_with_the_head_that_is_in_them(alone: Calibration) -> None:
    for part in (alone.calibrating, alone.held_out):
        assert part.shape[1:] == (1, PAPER_SLICES.rows, PAPER_SLICES.columns)
        assert part.dtype == np.float32
        assert -1 <= part.min() < part.max() <= 1
    assert alone.head.shape == (len(alone.held_out), PAPER_SLICES.rows, PAPER_SLICES.columns)
    assert (alone.head.mean(axis=(1, 2)) >= LEAST_HEAD).all()
    assert alone.held_out[:, 0][alone.head].mean() > alone.held_out[:, 0][~alone.head].mean() + 0.3


def test_several_mrs_share_the_slices(head_mr: Volume, even_head_mr: Volume, whole: Array) -> None:
    both = taken(head_mr, even_head_mr)
    assert len(both.calibrating) == CALIBRATING
    first = [one for one in both.calibrating if one.tobytes() in {slice_.tobytes() for slice_ in whole}]
    assert len(first) == CALIBRATING // 2


@pytest.mark.parametrize("bits", [32, 8], ids=["as it was", "kept in 8 bits"])
def test_a_reference_slice_neither_calibrates_nor_measures(bits: int, head_mr: Volume, alone: Calibration) -> None:
    reference = np.concatenate([alone.calibrating[:3], alone.held_out[:2]])
    kept = reference if bits == 32 else (np.rint((reference + 1) * 127.5) / 127.5 - 1).astype(np.float32)
    other = taken(head_mr, reference=kept)
    for part in (other.calibrating, other.held_out):
        assert not {one.tobytes() for one in part} & {one.tobytes() for one in reference}
    assert (len(other.calibrating), len(other.held_out)) == (CALIBRATING, HELD_OUT)


def test_an_mr_that_has_only_reference_slices_is_refused_with_the_remedy(head_mr: Volume, whole: Array) -> None:
    with pytest.raises(VolumeError, match="give another MR"):
        taken(head_mr, reference=whole[:, np.newaxis])


def test_a_ct_is_refused() -> None:
    ct = phantom.draw(phantom.grid_around((0, 0, 0), (50, 50, 40), (5, 5, 5)))[1]
    with pytest.raises(VolumeError, match="this is a CT"):
        taken(ct)


def test_an_mr_without_a_head_is_refused() -> None:
    grid = phantom.grid_around((0, 0, 0), (20, 20, 20), (10, 10, 10))
    with pytest.raises(VolumeError, match="head"):
        taken(Volume(np.zeros(grid.shape, np.int16), grid))


class Net(nn.Module):
    """A convolution as a residual block has it, and one as the way down has."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 3, 3))
        self.down = nn.Conv2d(3, 2, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, rows, columns)"""
        down: Tensor = self.down(self.inner(x))
        return down


def test_reach_and_covariance_are_those_of_what_the_kernel_is_laid_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PATCHES", 10_000)  # all of them
    torch.manual_seed(0)
    net, slices = Net(), np.random.default_rng(0).uniform(-1, 1, (3, 1, 16, 16)).astype(np.float32)
    seen = observe(net, slices, ["inner.1", "down"])
    padded = np.pad(slices[:, 0], [(0, 0), (1, 1), (1, 1)], mode="reflect")
    with torch.inference_mode():
        features = net.inner(torch.from_numpy(slices)).numpy()
    zeros_around = np.pad(features, [(0, 0), (0, 0), (1, 1), (1, 1)])
    for name, given, laid, stride in (
        ("inner.1", padded[:, None], padded[:, None], 1),
        ("down", features, zeros_around, 2),
    ):
        # one slice and three at once are not summed in the same order on every processor
        np.testing.assert_allclose(seen[name].low, given.min(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(seen[name].high, given.max(axis=(0, 2, 3)), rtol=1e-6)
        windows = np.lib.stride_tricks.sliding_window_view(laid, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
        patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, given.shape[1] * 9)
        np.testing.assert_allclose(seen[name].covariance, np.cov(patches.T, bias=True), atol=1e-5)


def test_a_sample_of_the_places_is_the_same_each_time_and_of_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PATCHES", 50)
    net, slices = Net(), np.random.default_rng(0).uniform(-1, 1, (4, 1, 16, 16)).astype(np.float32)
    one, again = (observe(net, slices, ["down"])["down"].covariance for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - observe(net, slices[:1], ["down"])["down"].covariance).max() > 1e-3


def test_a_watched_generator_is_left_as_it_was() -> None:
    net = Net()
    observe(net, np.zeros((1, 1, 16, 16), np.float32), ["down"])
    assert not net.down._forward_pre_hooks
    with pytest.raises(RuntimeError):
        observe(net, np.zeros((1, 2, 16, 16), np.float32), ["down"])
    assert not net.down._forward_pre_hooks
