"""From a volume's own grid to the sagittal slices a model was trained on, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.aligned import are_aligned, resample_aligned
from mr2ct.card import SliceGrid
from mr2ct.grid import Grid
from mr2ct.volume import Volume

# Sagittal slices in LPS: columns run to Posterior, rows to Inferior, slices from Left to Right. A proper rotation.
SAGITTAL_AXES = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
# A volume may reach this far beyond its outer slices, in mm: less than half a voxel, more than a header's rounding.
SLACK_MM = 0.05
# Air left above the vertex where a head is taller than the field of view, in mm.
VERTEX_MARGIN_MM = 5.0


@dataclass(frozen=True)
class Placement:
    """Where a model sees a head.

    grid: the model's grid, LPS mm.  beyond: mm of head outside it, by side ("inferior", "anterior", ...), sides of
    nothing left out; that part of the head is written as air.  slices: those of the grid that a voxel of the head is
    interpolated from; the others hold air alone.
    """

    grid: Grid
    beyond: dict[str, float]
    slices: range


def place(grid: Grid, head: NDArray[np.bool_], slices: SliceGrid) -> Placement:
    """Lay the model grid over a head.

    Left to right its slices are centred on the volume and cover all of it, so that the slices of a sagittal volume of
    the model's own spacing are taken as they are. In plane it is centred on the head; a head taller than the field of
    view keeps its vertex and loses neck. The grid's axes are the patient's (LPS), as a CT scanner's are.
    grid, head (k, j, i): the volume's.
    """
    low, high = head_box(grid, head)
    count = max(1, math.ceil((grid.extent[0] - SLACK_MM) / slices.spacing_mm))
    columns_mm, rows_mm = slices.columns * slices.pixel_mm, slices.rows * slices.pixel_mm
    centre = (low + high) / 2
    centre[0] = grid.centre[0]
    if high[2] - low[2] > rows_mm:
        centre[2] = high[2] + VERTEX_MARGIN_MM - rows_mm / 2
    to_first = [  # mm from the centre to the first voxel: leftmost, most anterior, most superior
        (count - 1) / 2 * slices.spacing_mm,
        -(slices.columns - 1) / 2 * slices.pixel_mm,
        (slices.rows - 1) / 2 * slices.pixel_mm,
    ]
    first = centre + np.array(to_first)
    model_grid = Grid(
        size=(slices.columns, slices.rows, count),
        spacing=(slices.pixel_mm, slices.pixel_mm, slices.spacing_mm),
        origin=(float(first[0]), float(first[1]), float(first[2])),
        direction=SAGITTAL_AXES,
    )
    reach = {
        "anterior": (centre[1] - columns_mm / 2) - low[1],
        "posterior": high[1] - (centre[1] + columns_mm / 2),
        "inferior": (centre[2] - rows_mm / 2) - low[2],
    }
    beyond = {side: float(mm) for side, mm in reach.items() if mm > slices.pixel_mm / 2}
    return Placement(model_grid, beyond, _between(model_grid, float(low[0]), float(high[0])))


def head_box(grid: Grid, head: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The LPS corners (lowest, highest), mm, of the box around the head's voxel centres. head: (k, j, i), not empty.

    A linear function is extreme over a voxel line at one of the line's two ends, so only those are looked at.
    """
    k, j = np.nonzero(head.any(axis=2))
    lines = head[k, j]
    first = lines.argmax(axis=1)
    last = lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([i, j, k]) for i in (first, last)])
    points = grid.points(ends)
    return points.min(axis=0), points.max(axis=0)


def _between(model_grid: Grid, low: float, high: float) -> range:
    """The slices around two LPS x, mm: one at or beyond each. Slices run from Left to Right, against x."""
    spacing, first = model_grid.spacing[2], model_grid.origin[0]
    start, last = math.floor((first - high) / spacing), math.ceil((first - low) / spacing)
    return range(max(start, 0), min(last, model_grid.size[2] - 1) + 1)


def to_model_grid(mr: Volume, model_grid: Grid, outside: float) -> NDArray[np.float32]:
    """The volume's values, linearly interpolated, on the model grid: (slices, rows, columns) float32.

    Beyond the volume the value is outside. Voxels less than half as wide as the model's are averaged first, in whole
    blocks, so that none are skipped.
    """
    block = _voxels_per_target_voxel(mr.grid, model_grid)
    if max(block) == 1:
        return _resample(mr.voxels, mr.grid, model_grid, outside)
    missing = [-size % n for size, n in zip(mr.grid.size, block, strict=True)]
    image = sitk.BinShrink(sitk.ZeroFluxNeumannPad(sitk.Cast(mr.image(), sitk.sitkFloat32), [0, 0, 0], missing), block)
    return _resample(sitk.GetArrayViewFromImage(image), Grid.of(image), model_grid, outside)


def mask_to_model_grid(mask: NDArray[np.bool_], grid: Grid, model_grid: Grid) -> NDArray[np.bool_]:
    """A mask of a volume, (k, j, i), on the model grid: (slices, rows, columns) bool, what is more than half within."""
    inside: NDArray[np.bool_] = to_model_grid(Volume(mask.astype(np.uint8), grid), model_grid, outside=0) > 0.5
    return inside


def from_model_grid(slices: NDArray[Any], model_grid: Grid, grid: Grid, outside: float) -> NDArray[np.float32]:
    """Values on the model grid, (slices, rows, columns), linearly interpolated onto a volume's: (k, j, i) float32."""
    return _resample(slices, model_grid, grid, outside)


def _resample(voxels: NDArray[Any], source: Grid, target: Grid, outside: float) -> NDArray[np.float32]:
    """An image reaches half a voxel beyond its outer voxel centres; farther out the value is outside."""
    if are_aligned(source, target):
        return resample_aligned(voxels, source, target, outside)
    resampled = sitk.Resample(
        source.image(voxels), target.size, sitk.Transform(), sitk.sitkLinear, target.origin, target.spacing,
        target.direction, outside, sitk.sitkFloat32,
    )  # fmt: skip
    values: NDArray[np.float32] = sitk.GetArrayFromImage(resampled)
    return values


def _voxels_per_target_voxel(source: Grid, target: Grid) -> list[int]:
    """Along each source axis, how many whole source voxels fit into the step that a target voxel makes along it."""
    cosines = np.abs(source.axes.T @ target.axes)  # source axis by target axis
    steps = (cosines * np.array(target.spacing)).max(axis=1)
    whole = np.floor(steps / np.array(source.spacing) + 1e-6).astype(int)
    blocks: list[int] = np.clip(whole, 1, source.size).tolist()
    return blocks
