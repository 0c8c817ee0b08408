"""Slices to prove engines with, and PyTorch's own answer to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mr2ct.card import MrWindow, SliceGrid
from mr2ct.errors import VolumeError
from mr2ct.head import head_mask
from mr2ct.intensity import mr_limits, to_network
from mr2ct.modality import refuse_ct
from mr2ct.model import Reference
from mr2ct.model_grid import mask_to_model_grid, place, to_model_grid
from mr2ct.volume import Volume

SLICES = 6  # over the breadth of a head: 200,000 head voxels, enough for a p99.9, and a file under 3 MB
LEAST_HEAD = 0.1  # of a slice's pixels; slices through an ear alone say little


def reference_from_volumes(
    volumes: Sequence[Volume], slices: SliceGrid, window: MrWindow, generator: nn.Module, count: int = SLICES
) -> Reference:
    """Take count slices evenly over the heads of some MRs, made exactly as the runtime makes them, and run PyTorch.

    Raises VolumeError when an MR cannot be used.
    """
    count = max(count, len(volumes))
    shares = [count // len(volumes) + (index < count % len(volumes)) for index in range(len(volumes))]
    parts = [
        _spread(*full_slices(mr, slices, window), share) for mr, share in zip(volumes, shares, strict=True) if share
    ]
    inputs = np.concatenate([part[0] for part in parts])[:, np.newaxis]
    return answered(inputs, np.concatenate([part[1] for part in parts]), generator)


def answered(mr: NDArray[np.float32], head: NDArray[np.bool_], generator: nn.Module) -> Reference:
    """Reference slices with PyTorch's answer: in fp32, on the CPU, one slice at a time.

    mr: (N, 1, rows, columns) float32 in [-1, 1].  head: (N, rows, columns) bool.
    """
    generator.eval()
    with torch.inference_mode():
        answers = [generator(torch.from_numpy(one[np.newaxis])).numpy() for one in mr]
    return Reference(mr, np.concatenate(answers), head)


def full_slices(mr: Volume, slices: SliceGrid, window: MrWindow) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The slices of an MR that hold enough head, (N, rows, columns) float32 in [-1, 1], and the head in them, bool.

    Raises VolumeError when the MR cannot be used.
    """
    refuse_ct(mr)
    head = head_mask(mr)
    limits = mr_limits(window, mr.voxels, head)
    grid = place(mr.grid, head, slices).grid
    inputs = to_network(to_model_grid(mr, grid, outside=limits[0]), limits)
    inside = mask_to_model_grid(head, mr.grid, grid)
    full = np.flatnonzero(inside.mean(axis=(1, 2)) >= LEAST_HEAD)
    if len(full) == 0:
        raise VolumeError("the MR to take slices from holds too little head in any sagittal slice")
    return inputs[full], inside[full]


def _spread(
    inputs: NDArray[np.float32], inside: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    taken = np.linspace(0, len(inputs) - 1, count).round().astype(int)
    return inputs[taken], inside[taken]


def packed(reference: Reference) -> bytes:
    """The bytes of reference.npz; the same slices give the same bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: array for name, array in vars(reference).items() if array is not None}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
