"""Slices to choose eight bits by, and what the inputs of a generator's convolutions look like on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mr2ct.card import MrWindow, SliceGrid
from mr2ct.errors import VolumeError
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_export.reference import full_slices
from mr2ct_export.sensitivity import LIMITS_HU

CALIBRATING, HELD_OUT = 32, 20  # slices over all MRs
LEAST = 5  # of either from an MR: both ends of the head, and three between
SAME_SLICE = 1 / 127  # a training keeps its slices in 8 bits, half of one of which is 1 / 255
PATCHES = 800  # of a slice's 4096 places that a convolution of a residual block looks at; 32 slices make 25,600


@dataclass(frozen=True)
class Calibration:
    """Slices to calibrate with, and others to measure with; none is a reference slice.

    calibrating, held_out: (N, 1, rows, columns) float32 in [-1, 1].  head: (N, rows, columns) bool, of held_out.
    limits_hu: of mean_hu and p99_9_hu on held_out, within which as many layers are in int8 as can be.
    """

    calibrating: NDArray[np.float32]
    held_out: NDArray[np.float32]
    head: NDArray[np.bool_]
    limits_hu: Mapping[str, float] = field(default_factory=lambda: LIMITS_HU)


def calibration_from_files(
    paths: Sequence[Path], slices: SliceGrid, window: MrWindow, reference: NDArray[np.float32], limit_hu: float | None
) -> Calibration | None:
    """As calibration_from_volumes does, of MRs in files; None where there are none.

    limit_hu: of the 99.9th percentile on the slices held out, None for the usual.  Raises VolumeError.
    """
    if not paths:
        return None
    calibration = calibration_from_volumes([read_volume(path) for path in paths], slices, window, reference)
    return calibration if limit_hu is None else replace(calibration, limits_hu={**LIMITS_HU, "p99_9_hu": limit_hu})


def calibration_from_volumes(
    volumes: Sequence[Volume], slices: SliceGrid, window: MrWindow, reference: NDArray[np.float32]
) -> Calibration:
    """Take slices evenly over the heads of some MRs, made exactly as the runtime makes them.

    Both sets reach to the ends of the heads: the less head a slice holds, the further its InstanceNorms stretch it, and
    the rarer are its values. reference: the slices that will certify, (N, 1, rows, columns), which are left out.
    Raises VolumeError when an MR cannot be used, or when nothing is left of one of the sets.
    """
    sets: list[tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]] = [([], []), ([], [])]
    for volume in volumes:
        mr, head = full_slices(volume, slices, window)
        free = [n for n in range(len(mr)) if not _is_among(mr[n], reference[:, 0])]
        for (taken, heads), count in zip(sets, (CALIBRATING, HELD_OUT), strict=True):
            chosen = _evenly(free, max(LEAST, round(count / len(volumes))))
            free = sorted(set(free) - set(chosen))
            taken += [mr[n, np.newaxis] for n in chosen]
            heads += [head[n] for n in chosen]
    (calibrating, _), (held_out, heads) = sets
    if not calibrating or not held_out:
        raise VolumeError("the MRs to calibrate with hold no slices that are not reference slices too; give another MR")
    return Calibration(np.stack(calibrating), np.stack(held_out), np.stack(heads))


def _evenly(numbers: list[int], count: int) -> list[int]:
    """As many of them, the first and the last included; all where there are fewer."""
    places = np.linspace(0, len(numbers) - 1, count).round().astype(int) if numbers else ()
    return sorted({numbers[place] for place in places})


def _is_among(one: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    return any(np.abs(one - other).max() <= SAME_SLICE for other in others)


@dataclass(frozen=True)
class Inputs:
    """What was seen of one convolution's input.

    low, high: (channels,) float32, the least and largest value.  covariance: (n, n) float64 of the n = channels x rows
    x columns numbers that the kernel is laid upon.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    covariance: NDArray[np.float64]


def observe(generator: nn.Module, slices: NDArray[np.float32], layers: Sequence[str]) -> dict[str, Inputs]:
    """Run slices, (N, 1, rows, columns) float32 in [-1, 1], and watch convolutions, by their names as modules."""
    generator.eval()
    seen = {name: _Seen(generator.get_submodule(name)) for name in layers}
    with _watching(seen.values()), torch.inference_mode():
        for one in slices:
            generator(torch.from_numpy(one[np.newaxis]))
    return {name: one.inputs() for name, one in seen.items()}


class _Seen:
    """Sums over the slices of one convolution's input."""

    def __init__(self, convolution: nn.Module) -> None:
        assert isinstance(convolution, nn.Conv2d)
        self.convolution = convolution
        channels, patch = convolution.in_channels, convolution.weight[0].numel()
        self.low, self.high = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
        self.patches, self.sum = 0, torch.zeros(patch, dtype=torch.float64)
        self.products = torch.zeros(patch, patch, dtype=torch.float64)
        self.order = torch.Generator().manual_seed(0)

    def look(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before the convolution runs on (1, channels, rows, columns)."""
        (features,), kernel = inputs, self.convolution
        self.low = torch.minimum(self.low, features.amin((0, 2, 3)))
        self.high = torch.maximum(self.high, features.amax((0, 2, 3)))
        assert not isinstance(kernel.padding, str)
        patches = functional.unfold(features, kernel.kernel_size, kernel.dilation, kernel.padding, kernel.stride)[0].T
        taken = patches[torch.randperm(len(patches), generator=self.order)[:PATCHES]]
        self.patches += len(taken)
        self.sum += taken.sum(0, dtype=torch.float64)
        self.products += taken.T @ taken

    def inputs(self) -> Inputs:
        """Of all slices."""
        mean = self.sum / self.patches
        covariance = self.products / self.patches - torch.outer(mean, mean)
        return Inputs(self.low.numpy(), self.high.numpy(), covariance.numpy())


@contextmanager
def _watching(seen: Iterable[_Seen]) -> Iterator[None]:
    hooks = [one.convolution.register_forward_pre_hook(one.look) for one in seen]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
