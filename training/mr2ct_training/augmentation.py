"""Slices as other scanners and other heads would have them: turned, scaled, cut off, of another contrast.

Not the paper's, whose only augmentation is the random crop (sampling.py); for few training heads. What is drawn follows
from the seed and the position alone, and is applied where the slices are, so a GPU does the work.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mr2ct_training.sampling import VARIATION, stream

TURN_DEGREES = 12.0  # a head nods
SCALE = 0.1
CUT_SHARE = 0.4  # of slices, that a field of view ends in
CUT = (0.3, 1.0)  # from the middle of the slice, 1 is its edge
CUT_ANGLE = (np.pi / 2, 0.7)  # mean and deviation; towards the last row, where the neck is
GAMMA, GAIN, BIAS = 0.35, (0.75, 1.1), 0.25  # of MR values in [0, 1]; a coil's bias is a smooth factor
NUMBERS = 12

Pair = tuple[Tensor, Tensor]


def varied(slices: Pair, seed: int, position: tuple[int, int], places: Sequence[int], alike: bool) -> Pair:
    """MR and CT (n, 1, H, W) in [-1, 1] to the same, each slice varied; alike: both show the same place.

    The MR alone changes in intensity; air stays -1. position: epoch and step.  places: in the global batch.
    """
    mr, ct = slices
    of_mr, of_ct = (np.stack([_drawn(seed, position, place, kind) for place in places]) for kind in range(2))
    if alike:
        of_ct = of_mr
    return _rescanned(_moved(mr, of_mr), of_mr), _moved(ct, of_ct)


def _drawn(seed: int, position: tuple[int, int], place: int, kind: int) -> NDArray[np.float64]:
    """(12,) in [-1, 1], for one slice."""
    return stream(seed, VARIATION, *position, place, kind).uniform(-1, 1, NUMBERS)


def _column(numbers: NDArray[np.float64], like: Tensor) -> Tensor:
    """(n,) as (n, 1, 1, 1) on the slices' device."""
    return _beside(numbers, like).reshape(-1, 1, 1, 1)


def _beside(numbers: NDArray[np.float64], like: Tensor) -> Tensor:
    """On the slices' device, in their dtype; a GPU is not waited for."""
    ours = torch.from_numpy(numbers).to(like.dtype)
    return ours.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else ours


def _moved(slices: Tensor, drawn: NDArray[np.float64]) -> Tensor:
    """Turned and scaled about the middle; of some, what lies beyond a line is air."""
    turn, scale = np.deg2rad(TURN_DEGREES) * drawn[:, 0], 1 + SCALE * drawn[:, 1]
    zero = np.zeros_like(turn)
    rows = [[np.cos(turn) / scale, -np.sin(turn) / scale, zero], [np.sin(turn) / scale, np.cos(turn) / scale, zero]]
    theta = _beside(np.ascontiguousarray(np.moveaxis(np.array(rows), 2, 0)), slices)
    grid = functional.affine_grid(theta, list(slices.shape), align_corners=False)
    moved = functional.grid_sample(slices + 1, grid, align_corners=False)
    u, v = _coordinates(slices)
    angle = CUT_ANGLE[0] + CUT_ANGLE[1] * 1.7 * drawn[:, 2]  # uniform, of that deviation
    line = np.where((drawn[:, 3] + 1) / 2 < CUT_SHARE, np.interp(drawn[:, 4], (-1, 1), CUT), np.inf)
    beyond = u * _column(np.cos(angle), slices) + v * _column(np.sin(angle), slices) > _column(line, slices)
    return moved.masked_fill(beyond, 0) - 1


def _rescanned(mr: Tensor, drawn: NDArray[np.float64]) -> Tensor:
    """Of another gamma, gain and bias field."""
    u, v = _coordinates(mr)
    a, b, c, d, e = (BIAS * _column(drawn[:, 5 + n], mr) for n in range(5))
    factor = torch.exp(a * u + b * v + c * u * v + d * u * u + e * v * v)
    gamma = torch.exp(GAMMA * _column(drawn[:, 10], mr))
    gain = _column(np.interp(drawn[:, 11], (-1, 1), GAIN), mr)
    value = ((mr + 1) / 2).clamp(0, 1) ** gamma * gain * factor
    return value.clamp(0, 1) * 2 - 1


def _coordinates(slices: Tensor) -> Pair:
    """Along rows and columns from -1 to 1, (1, 1, 1, W) and (1, 1, H, 1)."""
    height, width = slices.shape[-2:]
    across = torch.linspace(-1, 1, width, device=slices.device, dtype=slices.dtype).reshape(1, 1, 1, -1)
    down = torch.linspace(-1, 1, height, device=slices.device, dtype=slices.dtype).reshape(1, 1, -1, 1)
    return across, down
