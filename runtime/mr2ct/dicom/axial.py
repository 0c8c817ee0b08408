"""The same voxels, their axes in another order and direction: nothing is resampled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.grid import Grid
from mr2ct.volume import Volume

# a sum of three cosines; closer ones are alike, so that rounding does not choose between two orders of the axes
ALIKE = 1e-6


@dataclass(frozen=True)
class Reordering:
    """Index axes in another order and direction.

    order: which axis of old (0 for i, 1 for j, 2 for k) each of the new axes i, j, k is.  flipped: whether it runs the
    other way there.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def axes(self, grid: Grid) -> NDArray[np.float64]:
        """(3, 3): column a is the LPS unit vector along the new index axis a."""
        axes: NDArray[np.float64] = grid.axes[:, list(self.order)] * np.where(self.flipped, -1.0, 1.0)
        return axes

    def grid(self, grid: Grid) -> Grid:
        """The same voxel centres, counted along the new axes."""
        first = np.zeros(3)
        for old, flipped in zip(self.order, self.flipped, strict=True):
            first[old] = grid.size[old] - 1 if flipped else 0
        i, j, k = self.order
        x, y, z = grid.points(first).tolist()
        axes = self.axes(grid).ravel().tolist()
        return Grid(
            size=(grid.size[i], grid.size[j], grid.size[k]),
            spacing=(grid.spacing[i], grid.spacing[j], grid.spacing[k]),
            origin=(x, y, z),
            direction=(axes[0], axes[1], axes[2], axes[3], axes[4], axes[5], axes[6], axes[7], axes[8]),
        )

    def voxels(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """A view of voxels (k, j, i) along the new axes (k, j, i)."""
        turned: NDArray[Any] = voxels.transpose([2 - old for old in reversed(self.order)])
        return turned[tuple(slice(None, None, -1 if flipped else 1) for flipped in reversed(self.flipped))]


def reorderings() -> Iterator[Reordering]:
    """All 48, the one that changes nothing first."""
    for order in itertools.permutations(range(3)):
        for a, b, c in itertools.product((False, True), repeat=3):
            i, j, k = order
            yield Reordering((i, j, k), (a, b, c))


def nearest(grid: Grid, target: NDArray[np.float64], *, handed: bool) -> Reordering:
    """The reordering whose axes point along the columns of target, or as near as any does: the sum of cosines decides.

    target: (3, 3), LPS unit vectors in columns.  handed: only right-handed axes, of determinant +1.
    """
    best, most = Reordering((0, 1, 2), (False, False, False)), -np.inf
    for one in reorderings():
        axes = one.axes(grid)
        if handed and np.linalg.det(axes) < 0:
            continue
        cosines = float((axes * target).sum())
        if cosines > most + ALIKE:
            best, most = one, cosines
    return best


def axial(volume: Volume) -> Volume:
    """The volume in axial slices: i runs to the patient's Left, j to Posterior, k to Superior.

    Of an oblique grid the axes nearest to these. Voxels (k, j, i) are a view of the volume's own, every one of them at
    the patient coordinates it had; the axes are right-handed, as DICOM's rows, columns and slice normal are, even where
    the volume's are not.
    """
    turn = nearest(volume.grid, np.eye(3), handed=True)
    return Volume(turn.voxels(volume.voxels), turn.grid(volume.grid), remarks=volume.remarks)
