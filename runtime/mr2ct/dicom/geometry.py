"""Images in any order become slices of one regular lattice, or one line that says why they do not.

Slices are sorted by where they lie along the normal of their plane, never by InstanceNumber or file name. What is
irregular is refused, not interpolated: a missing slice or a tilted gantry would move the anatomy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mr2ct.dicom.frames import Frame
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid

Array = NDArray[np.float64]

POSITION_TOLERANCE_MM = 0.02  # two positions with two decimals are off by 0.005 each; far below a voxel
GAP_TOLERANCE = 0.01  # of a gap: 0.05 mm of 5 mm
ANGLE_TOLERANCE = 1e-4  # of a cosine: 0.02 mm over 200 mm; five digits of a direction are off by 5e-6
SPACING_TOLERANCE = 1e-4  # relative: 0.02 mm over 200 mm


def lattice(frames: Sequence[Frame], rows: int, columns: int, where: str) -> tuple[list[Frame], Grid]:
    """The frames in the order of k, and their grid: k along the normal (row x column), i along rows, j along columns.

    rows, columns: of each image.  where: the series, for messages.  The gap is the mean of all. Raises VolumeError for
    fewer than two places, mixed orientations or spacings, several images at one place, missing slices, irregular gaps
    and slices that do not lie one behind the other.
    """
    axes = _axes(frames, where)
    spacing = _spacing(frames, where)
    positions = np.array([frame.position for frame in frames])
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    ordered, positions = [frames[n] for n in order], positions[order]
    if len(frames) < 2:
        raise VolumeError(f"{where}: one image; a volume has two slices or more")
    along = (positions - positions[0]) @ axes[:, 2]
    _refuse_shared_places(ordered, along, where)
    _refuse_irregular(ordered, along, where)
    _refuse_sideways(ordered, positions - positions[0] - np.outer(along, axes[:, 2]), along, where)
    gap = float(along[-1]) / (len(frames) - 1)
    origin = (float(positions[0][0]), float(positions[0][1]), float(positions[0][2]))
    a, b, c, d, e, f, g, h, i = axes.ravel().tolist()
    size = (columns, rows, len(frames))
    return ordered, Grid(size, (spacing[1], spacing[0], gap), origin, (a, b, c, d, e, f, g, h, i))


def _axes(frames: Sequence[Frame], where: str) -> Array:
    """(3, 3) float64: columns are the LPS unit vectors along i, j, k; the nearest right-angled ones to the header's."""
    planes = np.array([frame.orientation for frame in frames]).reshape(-1, 2, 3)
    off = np.abs(planes @ planes.transpose(0, 2, 1) - np.eye(2)).max(axis=(1, 2))
    if off.max() > ANGLE_TOLERANCE:
        frame = frames[int(off.argmax())]
        raise VolumeError(
            f"{where}: ImageOrientationPatient of {frame.where} is not two unit vectors at right angles (off by "
            f"{off.max():.2g}); send the scanner's own series"
        )
    apart = np.abs(planes - planes[0]).max(axis=(1, 2))
    if apart.max() > ANGLE_TOLERANCE:
        kinds = len(np.unique(planes.round(3), axis=0))
        raise VolumeError(
            f"{where}: mixed orientations ({frames[0].where} and {frames[int(apart.argmax())].where} differ, "
            f"{max(kinds, 2)} in all), as of a localizer; choose a series of parallel slices"
        )
    left, _, right = np.linalg.svd(planes.mean(axis=0).T, full_matrices=False)
    plane: Array = left @ right
    return np.column_stack([plane, np.cross(plane[:, 0], plane[:, 1])])


def _spacing(frames: Sequence[Frame], where: str) -> tuple[float, float]:
    first = frames[0].spacing
    for frame in frames:
        if not np.allclose(frame.spacing, first, rtol=SPACING_TOLERANCE, atol=0):
            raise VolumeError(
                f"{where}: PixelSpacing {_times(first)} mm in {frames[0].where}, {_times(frame.spacing)} mm in "
                f"{frame.where}; choose a series of one resolution"
            )
    return first[0], first[1]


def _refuse_shared_places(ordered: Sequence[Frame], along: Array, where: str) -> None:
    gaps = np.diff(along)
    shared = np.flatnonzero(gaps < POSITION_TOLERANCE_MM)
    if not len(shared):
        return
    one, other = ordered[shared[0]], ordered[shared[0] + 1]
    names = [n for n, value in one.differences.items() if other.differences.get(n) != value and value]
    if not names or one.differences.get("SOPInstanceUID", "") == other.differences.get("SOPInstanceUID", "?"):
        raise VolumeError(
            f"{where}: {one.where} and {other.where} are the same slice; remove the one that is there twice"
        )
    if names == ["SOPInstanceUID"]:
        why = "and the headers do not tell them apart"
    else:
        why = f"with {names[0]} {one.differences[names[0]]} and {other.differences.get(names[0]) or 'none'}"
    places = len(ordered) - len(shared)
    raise VolumeError(
        f"{where}: {len(ordered)} images at {places} places ({one.where} and {other.where}, {why}), as "
        "of several echoes, time points or b-values; send one of them as a series of its own"
    )


def _refuse_irregular(ordered: Sequence[Frame], along: Array, where: str) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    bad = np.flatnonzero(np.abs(gaps - usual) > max(POSITION_TOLERANCE_MM, GAP_TOLERANCE * usual))
    if not len(bad):
        even = along[-1] * np.arange(len(along)) / (len(along) - 1)
        drift = float(np.abs(along - even).max())
        if drift > max(POSITION_TOLERANCE_MM, GAP_TOLERANCE * usual):
            raise VolumeError(f"{where}: gaps change along the series, slices lie up to {drift:.3g} mm off even ones")
        return
    n = int(bad[0])
    between = f"between {ordered[n].where} and {ordered[n + 1].where}"
    others = f" ({len(bad)} such gaps)" if len(bad) > 1 else ""
    missing = round(gaps[n] / usual) - 1
    if missing >= 1 and abs(gaps[n] / usual - missing - 1) < 0.1:
        what = f"slice {n + 2} is missing" if missing == 1 else f"slices {n + 2} to {n + 1 + missing} are missing"
        raise VolumeError(
            f"{where}: {what} {between}, a gap of {gaps[n]:.4g} mm between {usual:.4g} mm ones{others}; send it again"
        )
    raise VolumeError(
        f"{where}: irregular gap of {gaps[n]:.4g} mm {between}, where others are {usual:.4g} mm{others}; choose a "
        "series of even slices"
    )


def _refuse_sideways(ordered: Sequence[Frame], sideways: Array, along: Array, where: str) -> None:
    """sideways: (n, 3) mm, what each position has beside its way along the normal."""
    shear = sideways[-1] / along[-1]
    if float(np.linalg.norm(sideways[-1])) > POSITION_TOLERANCE_MM + ANGLE_TOLERANCE * float(along[-1]):
        degrees = float(np.degrees(np.arctan(np.linalg.norm(shear))))
        raise VolumeError(
            f"{where}: slices are stacked {degrees:.2g} degrees off their normal (tilted or sheared); choose the "
            "series before it was tilted"
        )
    apart = np.linalg.norm(sideways - np.outer(along, shear), axis=1)
    if apart.max() > POSITION_TOLERANCE_MM:
        frame = ordered[int(apart.argmax())]
        raise VolumeError(
            f"{where}: {frame.where} lies {apart.max():.3g} mm beside the line of the others; send the series again"
        )


def _times(spacing: Sequence[float]) -> str:
    return f"{spacing[0]:g} x {spacing[1]:g}"
