"""Finished runs of a drawn head whose CT is the head's true one, for the tests of the report."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

import phantom
from mr2ct.choosing import choose_backend
from mr2ct.cycle import CycleCheck
from mr2ct.dicom.series import MrSeries
from mr2ct.gate.verdict import Finding, Verdict
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.intensity import AIR_HU
from mr2ct.model import Model
from mr2ct.provenance import Provenance
from mr2ct.report import Run
from mr2ct.synthesis import SyntheticCT
from mr2ct.volume import Volume

GATE = Verdict(
    (
        Finding("contrast distance", 0.08, "", None, 0.25, "the contrast is 0.08 from the training set's; up to 0.25"),
        Finding("slice thickness", 2.5, "mm", 0.5, 3.0, "slices are 2.5 mm thick; 0.5 to 3 mm"),
    )
)
REFUSAL = Finding("head height", 90.0, "mm", 140.0, None, "90 mm of head are in the volume; send at least 140 mm")


@functools.cache
def drawn_head(turn: tuple[float, float] = (0.0, 0.0)) -> tuple[Volume, Volume, NDArray[np.bool_]]:
    """MR, CT and mask of a head in sagittal slices, turned by degrees about x and z."""
    axes: ArrayLike = phantom.oblique(turn[0], z=turn[1]) @ np.array(phantom.SAGITTAL)
    grid = phantom.grid_around((3.0, -6.0, -9.0), (80, 84, 56), (2.9, 3.1, 3.3), axes)
    mr, ct = phantom.draw(grid, seed=1)
    head = head_mask(mr)
    return mr, Volume(np.where(head, ct.voxels, AIR_HU).astype(np.int16), grid), head


def run_of(model: Model, volumes: tuple[Volume, Volume, NDArray[np.bool_]], **fields: Any) -> Run:
    """A run that made this CT of this MR, with a gate that it passed; fields: what is another in it."""
    mr, ct, head = volumes
    with choose_backend(model, "cpu") as choice:
        pass  # opened for what it says of itself
    seconds = {"load": 0.2, "read": 0.1, "mask": 0.5, "grid": 0.2, "engine": 12.0, "back": 0.3, "write": 0.4}
    result = SyntheticCT(ct, head, {}, (0.0, 2000.0), 150, 7, choice, {})
    told = Provenance(
        model.card.name, "1", choice.file, model.card.files[choice.file].sha256, choice.backend.description, "fp32",
        choice.certificate, "a" * 64,
    )  # fmt: skip
    source, target = Path("/data/head.nii.gz"), Path("/data/head_sct.nii.gz")
    run = Run(source, target, mr, model, result, seconds, 13.2, 3 << 29, told, "b" * 64)
    return replace(run, **{"verdict": GATE, **fields})


def series_of(mr: Volume, **header: Any) -> MrSeries:
    """A series of one header; header: DICOM keywords."""
    dataset = Dataset()
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return MrSeries(Path("/data/series"), (Path("/data/series/1.dcm"),), mr, (dataset,), (("1.2", "1.2.3"),))


def cycle_of(mr: Volume, head: NDArray[np.bool_], limit: float | None = 6.0) -> CycleCheck:
    """A cycle check whose error grows with z, from 0 to 10 percent."""
    z = phantom.positions(mr.grid)[2]
    error = np.where(head, 10 * (z - z.min()) / np.ptp(z), 0).astype(np.float32)
    mean, p95 = float(error[head].mean()), float(np.percentile(error[head], 95))
    return CycleCheck(mean, p95, limit, Volume(error, mr.grid), "a test")


def voxel_at(grid: Grid, lps: ArrayLike) -> tuple[Any, Any, Any]:
    """Indices (k, j, i) of the voxels nearest to points (..., 3), LPS mm; by a matrix, and not as the page does."""
    offsets = np.asarray(lps, np.float64) - grid.origin
    index = np.rint(offsets @ np.linalg.inv(grid.axes * grid.spacing).T).astype(np.int64)
    return index[..., 2], index[..., 1], index[..., 0]


def values_at(volume: Volume, lps: ArrayLike) -> NDArray[np.float64]:
    """(n,) the values of the voxels nearest to points (n, 3), LPS mm."""
    values: NDArray[np.float64] = volume.voxels[voxel_at(volume.grid, lps)].astype(np.float64)
    return values
