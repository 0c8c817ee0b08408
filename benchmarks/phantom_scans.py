"""A drawn patient goes through both scanners: where the voxels lie, how coarse they are, what the noise is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anatomy import Point
from misalignment import Misalignment, misalignment
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from phantom import AXIAL, SAGITTAL, add_noise, draw, grid_around, oblique
from phantom_patients import Patient

Array = NDArray[np.float32]

VERTEX_MM = 113  # of the average head, above its middle; test_phantom measures 108 to 118
MR_SIZE, MR_MM = (288, 288, 183), (0.87, 0.87, 1.0)  # i, j, k of a sagittal grid; the paper, section 2
CT_SIZE, CT_MM = (220, 280, 258), (0.9, 0.9, 1.0)  # of an axial one; mm are the paper's, size holds the MR's head


@dataclass(frozen=True)
class Scan:
    """How coarse the volumes are. finer: they are drawn so many times finer and averaged, as a scanner does."""

    coarser: float = 1.0
    finer: int = 1

    def grid(self, centre: Point, size: tuple[int, int, int], mm: Point, axes: ArrayLike) -> Grid:
        """A grid around a point (LPS mm), size and mm along i, j, k as they are when nothing is coarser."""
        i, j, k = (round(n / self.coarser) for n in size)
        x, y, z = (s * self.coarser for s in mm)
        return grid_around(centre, (i, j, k), (x, y, z), axes)


SCANS = {"paper": Scan(), "coarse": Scan(coarser=3, finer=2)}


@dataclass(frozen=True)
class Member:
    """A patient of a cohort with both grids, in the frame of the patient, and what is otherwise in the CT."""

    patient: Patient
    scan: Scan
    mr_grid: Grid
    ct_grid: Grid
    warp: Misalignment | None

    @classmethod
    def of(cls, patient: Patient, scan: Scan, misalignment_mm: float) -> Member:
        """A patient in both scanners. Raises FoldError."""
        vertex = patient.shift_mm[2] + VERTEX_MM * patient.head.size[2]
        z = vertex + patient.above_vertex_mm - MR_SIZE[1] * MR_MM[1] / 2
        x, y, up = patient.ct_off_mm
        return cls(
            patient=patient,
            scan=scan,
            mr_grid=scan.grid((0, 0, z), MR_SIZE, MR_MM, SAGITTAL),
            ct_grid=scan.grid((x, y, z + up), CT_SIZE, CT_MM, AXIAL),
            warp=misalignment(patient.motion_seed, patient.head.size, misalignment_mm) if misalignment_mm else None,
        )

    def facts(self) -> dict[str, Any]:
        """What cohort.json says: everything that was drawn, and what the misalignment comes to."""
        grids = {"mr_grid": asdict(self.mr_grid), "ct_grid": asdict(self.ct_grid)}
        if self.warp is None:
            return {**asdict(self.patient), **grids}
        return {
            **asdict(self.patient),
            **grids,
            "misalignment": {**asdict(self.warp.motion), **asdict(self.warp.measured)},
        }


def mr_and_truth(one: Member) -> tuple[Volume, Volume]:
    """The MR, and the CT that it should become."""
    mr, truth = _scanned(one, one.mr_grid, None)
    noisy = mr.copy()
    add_noise(_in_the_head(one.mr_grid, one.patient), noisy, truth.copy(), one.patient.head, one.patient.mr_seed)
    units = np.clip(np.rint(noisy * np.float32(one.patient.mr_gain)), 0, 32767).astype(np.int16)
    return Volume(units, one.mr_grid), Volume(_hu(truth), one.mr_grid)


def ct_alone(one: Member) -> tuple[Volume]:
    """The CT as it was scanned: with noise, and moved against the MR."""
    mr, ct = _scanned(one, one.ct_grid, one.warp)
    add_noise(_in_the_head(one.ct_grid, one.patient), mr, ct, one.patient.head, one.patient.ct_seed)
    return (Volume(_hu(ct), one.ct_grid),)


def _hu(ct: Array) -> NDArray[np.int16]:
    """(k, j, i) int16 HU, within what a CT can say."""
    return np.clip(np.rint(ct), -1024, 3071).astype(np.int16)


def _scanned(one: Member, grid: Grid, warp: Misalignment | None) -> tuple[Array, Array]:
    """MR (scanner units) and CT (HU) on a grid in the frame of the patient, (k, j, i) float32, both without noise."""
    n = one.scan.finer
    fine = _in_the_head(grid, one.patient)
    if n > 1:
        size, spacing = (fine.size[0] * n, fine.size[1] * n, fine.size[2] * n), np.array(fine.spacing) / n
        x, y, z = fine.centre.tolist()
        a, b, c = spacing.tolist()
        fine = grid_around((x, y, z), size, (a, b, c), fine.axes)
    mr, ct = (volume.voxels for volume in draw(fine, one.patient.head, None, one.patient.tissues(), warp))
    return _averaged(mr, n), _averaged(ct, n)


def _averaged(voxels: NDArray[Any], n: int) -> Array:
    """(k, j, i) float32: means over n x n x n voxels."""
    if n == 1:
        return voxels.astype(np.float32)
    k, j, i = (length // n for length in voxels.shape)
    means: Array = voxels.reshape(k, n, j, n, i, n).mean(axis=(1, 3, 5), dtype=np.float32)
    return means


def _in_the_head(grid: Grid, patient: Patient) -> Grid:
    """A grid of the patient's frame as the head sees it: for a head that lies askew, the grid does."""
    turn = oblique(*patient.turn_degrees)
    x, y, z = (turn.T @ (np.array(grid.origin) - patient.shift_mm)).tolist()
    a, b, c, d, e, f, g, h, i = (turn.T @ grid.axes).ravel().tolist()
    return Grid(grid.size, grid.spacing, (x, y, z), (a, b, c, d, e, f, g, h, i))
