"""Which way up a head is, and whether it looks like one: beside the mean of the heads a model was trained on.

A head is laid upon 8 x 14 x 10 cells of 16 mm by its vertex and its middle. Two numbers tell how far such a head is
like the training's: the correlation of signal, where air is 0, which sees the head's shape; and that of the mean signal
of the tissue in each cell, which sees what is bright and what is dark. Turned by the 23 other quarter turns it should
look less like them. A mirrored head cannot be told from a head, so right and left are averaged in what is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mr2ct.gate.coarse import UPRIGHT_MM, Cells, Field
from mr2ct.gate.measured import PATCH, Measured

CELL_MM, SIGMA_MM = 16.0, 8.0  # of the patch; Gaussian sigma of what a cell takes the mean of
VERTEX_CM2 = 15.0  # the head begins where it is so large across: above that there may be a cap of noise
MIDDLE_MM = 112.0  # from the vertex down: where the head's middle is looked for; below, necks bend
LEAST_SHARE = 0.3  # of head in a cell that has a mean signal of tissue
LEVELS = 255

Turn = tuple[tuple[int, int, int], tuple[int, int, int]]  # order of the axes k, j, i, and the direction of each
UPRIGHT: Turn = ((0, 1, 2), (1, 1, 1))
NAMES = ("superior", "posterior", "left"), ("inferior", "anterior", "right")


@dataclass(frozen=True)
class Patch:
    """A head in PATCH cells. signal: mean, air 0.  share: of head.  Both float32, 0 to 1."""

    signal: Field
    share: Field

    @property
    def tissue(self) -> Field:
        """The mean signal of what is head in each cell, less that of all; 0 in cells that are air."""
        head = self.share > LEAST_SHARE
        values = np.where(head, self.signal / np.maximum(self.share, LEAST_SHARE), 0)
        return np.where(head, values - (values[head].mean() if head.any() else 0), 0).astype(np.float32)


def turns() -> Iterator[Turn]:
    """The 24 ways in which a cube fits into itself by turning, UPRIGHT the first."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            if np.linalg.det(np.eye(3)[list(order)]) * math.prod(signs) > 0:
                (k, j, i), (up, back, left) = order, signs
                yield (k, j, i), (up, back, left)


def patch(upright: Cells, turn: Turn) -> Patch:
    """The head as if it were turned so."""
    order, signs = turn
    across = tuple(slice(None, None, sign) for sign in signs)
    signal, head = (np.transpose(field, order)[across] for field in (upright.signal, upright.head.astype(np.float32)))
    matrices = _weights(head)
    return Patch(_taken(signal, matrices), _taken(head, matrices))


def _weights(head: Field) -> Sequence[Field]:
    """For each axis (cells of the patch, cells of the head): what a cell of the patch takes the mean of."""
    areas = head.sum(axis=(1, 2)) * UPRIGHT_MM**2 / 100
    large = np.flatnonzero(areas > min(VERTEX_CM2, areas.max() / 2))
    top = float(large[-1]) + 0.5
    below = head[max(0, math.ceil(top - MIDDLE_MM / UPRIGHT_MM)) :].sum(axis=0)
    step = CELL_MM / UPRIGHT_MM
    centres = [top - (np.arange(PATCH[0]) + 0.5) * step]
    for axis, count in ((0, PATCH[1]), (1, PATCH[2])):
        profile = below.sum(axis=1 - axis)
        middle = float((profile * np.arange(len(profile))).sum() / profile.sum())
        centres.append(middle + (np.arange(count) - (count - 1) / 2) * step)
    sigma = SIGMA_MM / UPRIGHT_MM
    return [
        (np.exp(-0.5 * ((np.arange(size) - centre[:, None]) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))).astype(
            np.float32
        )
        for size, centre in zip(head.shape, centres, strict=True)
    ]


def _taken(values: Field, matrices: Sequence[Field]) -> Field:
    planes, rows, columns = matrices
    mixed = np.tensordot(planes, values, axes=1)
    return np.clip(rows @ mixed @ columns.T, 0, 1).astype(np.float32)


def symmetry(own: Patch) -> float:
    """The correlation of the tissue of right and left."""
    return correlation(own.tissue, own.tissue[:, :, ::-1])


def likeness(one: Patch, other: Patch) -> float:
    """The mean of the two correlations, of signal and of tissue; 1 for the same head."""
    return (correlation(one.signal, other.signal) + correlation(one.tissue, other.tissue)) / 2


def correlation(one: Field, other: Field) -> float:
    """Of Pearson; 0 where one of them is the same everywhere."""
    a, b = (field.ravel().astype(np.float64) - field.mean(dtype=np.float64) for field in (one, other))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / length if length > 0 else 0.0


def packed(field: Field) -> str:
    """One half of a patch's field, of both sides the mean, as hexadecimal text."""
    half = ((field + field[:, :, ::-1]) / 2)[:, :, : PATCH[2] // 2]
    return np.rint(half * LEVELS).astype(np.uint8).tobytes().hex()


def mean_patch(heads: Sequence[Measured]) -> tuple[str, str]:
    """The mean head of some, at least one: signal and share, packed."""
    signal, share = (
        packed(np.stack([_unpacked(getattr(head, name)) for head in heads]).mean(axis=0, dtype=np.float32))
        for name in ("signal", "share")
    )
    return signal, share


def leave_one_out(heads: Sequence[Measured]) -> list[float]:
    """How like each of some heads, at least two, is to the mean of the others."""
    return [
        likeness(unpacked(one.signal, one.share), unpacked(*mean_patch([other for other in heads if other is not one])))
        for one in heads
    ]


def unpacked(signal: str, share: str) -> Patch:
    """A whole patch, as symmetric as it was kept."""
    return Patch(_unpacked(signal), _unpacked(share))


def _unpacked(text: str) -> Field:
    half = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(PATCH[0], PATCH[1], PATCH[2] // 2)
    return np.concatenate([half, half[:, :, ::-1]], axis=2).astype(np.float32) / np.float32(LEVELS)


def described(turn: Turn) -> str:
    """Where the volume's own superior, anterior and left would lie in words ("its top is its front")."""
    order, signs = turn
    told = []
    for place, name in ((0, "superior"), (1, "posterior"), (2, "left")):
        really = NAMES[0 if signs[place] > 0 else 1][order[place]]
        if really != name:
            told.append(f"what the header calls {really} looks {name}")
    return ", ".join(told)
