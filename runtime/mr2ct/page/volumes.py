"""The voxels that a page carries: MR and CT on one lattice along the patient's axes, cropped to the head, compressed.

Where the MR's own voxels lie along those axes they are carried as they are, and the page reads true HU. Where they are
oblique, or too many for a page, both volumes are interpolated for display, which the page says.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from mr2ct.aligned import PARALLEL
from mr2ct.grid import Grid
from mr2ct.intensity import AIR_HU
from mr2ct.model_grid import head_box, to_model_grid
from mr2ct.picture import EVERY, MR_PERCENTILES
from mr2ct.report import Run

LPS_AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
MARGIN_MM = 10.0  # of air shown around the head
DISPLAY_MM = 1.0  # voxels of a lattice made for display, at least; a screen shows some two pixels a millimetre
LARGEST_BYTES = 14_000_000  # of the voxels in a page; what holds more is shown coarser
COARSER = 1.03  # beyond what the number of voxels asks for: coarser voxels compress less well
LEVEL = 2  # of Intel's ISA-L, 0 to 3
GREYS = 255
CYCLE_STEPS = 63  # a percent map is mostly noise, which compresses badly: four times coarser than a grey can be


@dataclass(frozen=True)
class Shown:
    """What a page shows of a run.

    grid: LPS mm, axes along x, y, z.  own: whether it is the MR's own lattice.  mr_window: the MR values of 0 and 255.
    packed: base64 by name, "mr", "ct" and, where there was a cycle check, "cycle".  cycle_top: the percent of
    its CYCLE_STEPS.
    """

    grid: Grid
    own: bool
    mr_window: tuple[float, float]
    packed: dict[str, str]
    cycle_top: float


def voxels_shown(run: Run) -> Shown:
    """The voxels of a run as a page carries them, of at most LARGEST_BYTES. The run's head is not empty."""
    low, high = (float(value) for value in np.percentile(run.mr.voxels[run.result.head][::EVERY], MR_PERCENTILES))
    window = (low, high if high > low else low + 1.0)
    own = lies_along_axes(run.mr.grid)
    least_mm = max(DISPLAY_MM, min(run.mr.grid.spacing))
    grid = own_lattice(run.mr.grid, run.result.head) if own else display_lattice(run.mr.grid, run.result.head, least_mm)
    while True:
        packed, top = _packed(run, grid, window)
        size = sum(len(text) for text in packed.values())
        if size <= LARGEST_BYTES:
            return Shown(grid, own, window, packed, top)
        mean_mm = float(np.prod(grid.spacing)) ** (1 / 3)
        wanted = max(least_mm, mean_mm * (size / LARGEST_BYTES) ** (1 / 3) * COARSER)
        own, grid = False, display_lattice(run.mr.grid, run.result.head, wanted)


def lies_along_axes(grid: Grid) -> bool:
    """Whether every axis of a grid runs along one of the patient's, either way."""
    cosines = np.abs(grid.axes)
    return bool((np.minimum(cosines, np.abs(1 - cosines)) < PARALLEL).all())


def own_lattice(grid: Grid, head: NDArray[np.bool_]) -> Grid:
    """The voxels of an axis-parallel grid around a head (k, j, i), in the order x, y, z; no farther than the grid."""
    low, high = head_box(grid, head)
    along = np.abs(grid.axes).argmax(axis=1)  # the index axis along each patient axis
    spacing, sizes = np.array(grid.spacing)[along], np.array(grid.size)[along]
    corners = grid.points(np.array([(0, 0, 0), np.array(grid.size) - 1], np.float64))
    start = corners.min(axis=0)
    first = np.maximum(np.floor((low - MARGIN_MM - start) / spacing + 0.5), 0)
    last = np.minimum(np.ceil((high + MARGIN_MM - start) / spacing - 0.5), sizes - 1)
    return _lps_grid(start + first * spacing, last - first + 1, spacing)


def display_lattice(grid: Grid, head: NDArray[np.bool_], spacing_mm: float) -> Grid:
    """A lattice of cubes around a head (k, j, i), along the patient's axes; it may reach beyond the grid."""
    low, high = head_box(grid, head)
    size = np.ceil((high - low + 2 * MARGIN_MM) / spacing_mm) + 1
    return _lps_grid((low + high) / 2 - (size - 1) / 2 * spacing_mm, size, np.full(3, spacing_mm))


def _lps_grid(origin: NDArray[np.float64], size: NDArray[np.float64], spacing: NDArray[np.float64]) -> Grid:
    i, j, k = (int(n) for n in size)
    x, y, z = (float(mm) for mm in origin)
    a, b, c = (float(mm) for mm in spacing)
    return Grid((i, j, k), (a, b, c), (x, y, z), LPS_AXES)


def _packed(run: Run, grid: Grid, window: tuple[float, float]) -> tuple[dict[str, str], float]:
    """The volumes of a run on a lattice, by name, and the percent of the cycle check's highest step."""
    mr = to_model_grid(run.mr, grid, outside=window[0])
    ct = to_model_grid(run.result.volume, grid, outside=AIR_HU)
    packed = {"mr": packed_bytes(_steps(mr, *window, GREYS)), "ct": packed_hu(np.rint(ct).astype(np.int16))}
    if run.cycle is None:
        return packed, 0.0
    top = max(2 * run.cycle.p95_percent, 1e-3)
    packed["cycle"] = packed_bytes(_steps(to_model_grid(run.cycle.error, grid, outside=0.0), 0.0, top, CYCLE_STEPS))
    return packed, top


def _steps(values: NDArray[np.float32], low: float, high: float, steps: int) -> NDArray[np.uint8]:
    """Values from low to high, and clipped to that, as 0 to steps; in place."""
    np.subtract(values, np.float32(low), out=values)
    np.multiply(values, np.float32(steps / (high - low)), out=values)
    np.clip(values, 0, steps, out=values)
    return np.rint(values, out=values).astype(np.uint8)


def packed_bytes(values: NDArray[np.uint8]) -> str:
    """Values, each less the one before it (modulo 256), as zlib in base64."""
    return _base64(np.diff(values.ravel(), prepend=np.uint8(0)))


def packed_hu(values: NDArray[np.int16]) -> str:
    """HU, each less the one before it, as zlib in base64.

    The differences d, modulo 2^16, are folded to 0, -1, 1, -2, ... = 0, 1, 2, 3, ..., so that small ones have a high
    byte of 0; all low bytes come before all high ones.
    """
    steps = np.diff(values.ravel(), prepend=np.int16(0))
    folded = ((steps << 1) ^ (steps >> 15)).view(np.uint16)
    return _base64(np.concatenate([folded.astype(np.uint8), (folded >> 8).astype(np.uint8)]))


def _base64(content: NDArray[Any]) -> str:
    return base64.b64encode(isal_zlib.compress(content.tobytes(), LEVEL)).decode("ascii")
