"""A CT laid onto the MR of the same patient: rigid, by mutual information, as the paper's pairs were (section 2).

Mattes' metric (Mattes 2003, doi:10.1109/TMI.2003.809072) over the head of the MR, at three resolutions, from the best
of a few starts. One thread and one seed: the same pair gives the same transform, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.card import PAPER_CT_WINDOW_HU
from mr2ct.grid import Grid
from mr2ct.model_grid import to_model_grid
from mr2ct.volume import Volume
from mr2ct_training.ct_head import cubes

CUBE_MM = 2.0  # both volumes are averaged to cubes first: slices of a planning CT lie 1 to 3 mm apart
SHRINK = (4, 2, 1)  # to cubes of 8, 4 and 2 mm
SIGMAS_MM = (4.0, 2.0, 0.0)
SAMPLES = (1.0, 0.5, 0.2)  # of the cubes, by resolution
SEED = 1
BINS = 50  # grey values of each volume in the joint histogram, Mattes' own number
AROUND_MM = 10.0  # of air around the head counts too: skin has an outside
COMPARED_MM = 4.0  # cubes on which starts and the end are compared
MR_PERCENTILE = 99.5  # of the head; a few bright vessels do not squeeze the rest into a few bins

STEP_MM = 2.0
LEAST_STEP_MM = 0.01
RELAXATION = 0.8  # of the step at each turn; 0.5 stops up to 1.6 mm short on the phantom, 0.8 within 0.3 mm
ITERATIONS = 200  # at one resolution

TOP_MM = 120.0  # below the vertex: the part of the head that two scans of it share
PITCHES_DEG = (0.0, -20.0, 20.0)  # chin up, chin down: what head rests differ in
MOST_TURN_DEG = 45.0
MOST_SHIFT_MM = 150.0  # of the middle of the head, from where the start had put it
LEAST_OVERLAP = 0.85  # of the smaller head, where both scans show it; heads of two people reach 0.86 to 0.98
METRIC_NOISE = 0.01  # by so much the metric may end worse: it is compared on other cubes than it was improved on
LEAST_SHARED = 0.3  # of the smaller head has to be in both scans
BEYOND = 2  # in a mask: outside the scan

Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]


class RegistrationError(ValueError):
    """A CT that could not be laid onto its patient's MR; one line."""


@dataclass(frozen=True)
class Registration:
    """Where a CT belongs: its point p, LPS mm, lies at matrix @ p + translation in the MR.

    matrix: (3, 3), a rotation.  translation: (3,) mm.  metric, start: Mattes mutual information in the end and at the
    start, negative; lower is better.  iterations: at the finest resolution.  stop: why they ended, in ITK's words.
    """

    matrix: Vector
    translation: Vector
    metric: float
    start: float
    iterations: int
    stop: str

    def moved(self, ct: Volume) -> Volume:
        """The CT where it belongs: the same voxels on a grid that has moved."""
        x, y, z = (self.matrix @ np.array(ct.grid.origin) + self.translation).tolist()
        a, b, c, d, e, f, g, h, i = (self.matrix @ ct.grid.axes).ravel().tolist()
        return Volume(ct.voxels, Grid(ct.grid.size, ct.grid.spacing, (x, y, z), (a, b, c, d, e, f, g, h, i)))

    def to_json(self) -> dict[str, Any]:
        """For a data set's manifest; transform: 12 numbers, the matrix row-major, then the translation."""
        return {
            "metric": self.metric,
            "start": self.start,
            "iterations": self.iterations,
            "stop": self.stop,
            "transform": [*self.matrix.ravel().tolist(), *self.translation.tolist()],
        }


def register(ct: Volume, ct_head: Mask, mr: Volume, mr_head: Mask, *, iterations: int = ITERATIONS) -> Registration:
    """Lay a CT, HU, onto an MR of the same head; the heads are (k, j, i) on the grid of each.

    iterations: the most at one resolution. Raises RegistrationError when that is not enough, when the heads do not
    overlap in the end, when the CT has turned or moved implausibly far, when the metric is worse than at the start, or
    when it is better with the CT half turned around.
    """
    dark, bright = float(mr.voxels.min()), float(np.percentile(mr.voxels[mr_head], MR_PERCENTILE))
    fixed = _cubes(mr, mr_head, dark, (dark, bright))
    moving = _cubes(ct, ct_head, PAPER_CT_WINDOW_HU[0], PAPER_CT_WINDOW_HU)
    heads = _cube_mask(mr, mr_head), _cube_mask(ct, ct_head)
    with _one_thread():
        before, start = _best_start(fixed, moving, *heads)
        found = sitk.Euler3DTransform(start)
        method = _method(heads[0], iterations)
        method.SetInitialTransform(found, inPlace=True)
        try:
            method.Execute(fixed, moving)
        except RuntimeError as error:  # ITK's, when no sample of the MR meets the CT any more
            raise RegistrationError("the registration lost the MR; are they of the same patient?") from error
        after = _metric(found, fixed, moving, heads[0])
        turned = min(_metric(half_turn, fixed, moving, heads[0]) for half_turn in _half_turns(found))
    stop = method.GetOptimizerStopConditionDescription()
    if turned < after:
        raise RegistrationError("the CT fits the MR better when turned half around; its file tells its axes wrongly")
    if "Maximum number of iterations" in stop:
        raise RegistrationError(f"the registration did not converge ({stop})")
    _refuse_implausible(start, found, *heads)
    if not after <= before + METRIC_NOISE:
        raise RegistrationError(f"the registration made it worse: metric {after:.3f}, {before:.3f} at the start")
    back = found.GetInverse()  # ITK's own leads from the MR to the CT
    columns = [np.subtract(back.TransformPoint(unit), back.TransformPoint((0.0, 0.0, 0.0))) for unit in np.eye(3)]
    translation = np.array(back.TransformPoint((0.0, 0.0, 0.0)))
    return Registration(np.column_stack(columns), translation, after, before, method.GetOptimizerIteration(), stop)


@contextmanager
def _one_thread() -> Iterator[None]:
    """ITK sums up the metric in the order in which its threads come home; one thread has one order."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _metric(transform: sitk.Euler3DTransform, fixed: sitk.Image, moving: sitk.Image, mr_head: sitk.Image) -> float:
    """Mutual information, negative, over all cubes of COMPARED_MM in and around the MR's head; 0 where none meet."""
    blocks = [round(COMPARED_MM / CUBE_MM)] * 3
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(_around(mr_head))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform)
    try:
        return float(method.MetricEvaluate(sitk.BinShrink(fixed, blocks), sitk.BinShrink(moving, blocks)))
    except RuntimeError:  # ITK: "All samples map outside moving image buffer"
        return 0.0


def _method(mr_head: sitk.Image, iterations: int) -> sitk.ImageRegistrationMethod:
    """ITK's machinery, set up. mr_head: cubes."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(_around(mr_head))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(SAMPLES, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(SHRINK)
    method.SetSmoothingSigmasPerLevel(SIGMAS_MM)
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetOptimizerAsRegularStepGradientDescent(
        STEP_MM, LEAST_STEP_MM, iterations, relaxationFactor=RELAXATION, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _around(head: sitk.Image) -> sitk.Image:
    """The head and AROUND_MM of air."""
    distance = sitk.SignedMaurerDistanceMap(head, squaredDistance=False, useImageSpacing=True)
    around: sitk.Image = distance < AROUND_MM
    return around


def _best_start(
    fixed: sitk.Image, moving: sitk.Image, mr_head: sitk.Image, ct_head: sitk.Image
) -> tuple[float, sitk.Euler3DTransform]:
    """The best of a few places to start from, and the metric there: as the scanners say, or vertex on vertex."""
    points = [_points(head) for head in (mr_head, ct_head)]
    deep = min(TOP_MM, *(float(np.ptp(p[:, 2])) for p in points))
    to, of = (p[p[:, 2] >= p[:, 2].max() - deep].mean(axis=0) for p in points)
    places = [(0.0, np.zeros(3)), *((float(pitch), of - to) for pitch in np.radians(PITCHES_DEG))]
    starts = [sitk.Euler3DTransform(to.tolist(), pitch, 0.0, 0.0, move.tolist()) for pitch, move in places]
    metrics = [_metric(start, fixed, moving, mr_head) for start in starts]
    best = int(np.argmin(metrics))
    return metrics[best], starts[best]


def _half_turns(found: sitk.Euler3DTransform) -> Iterator[sitk.Euler3DTransform]:
    """The same transform with the CT turned by 180 degrees about x, y and z: what it must not be mistaken for."""
    for turn in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        turned = sitk.Euler3DTransform(found)
        turned.SetMatrix((np.array(found.GetMatrix()).reshape(3, 3) @ np.diag(turn)).ravel().tolist())
        yield turned


def _refuse_implausible(
    start: sitk.Euler3DTransform, found: sitk.Euler3DTransform, mr_head: sitk.Image, ct_head: sitk.Image
) -> None:
    middle = start.GetCenter()
    shift = float(np.linalg.norm(np.subtract(found.TransformPoint(middle), start.TransformPoint(middle))))
    matrix = np.array(found.GetMatrix()).reshape(3, 3)
    turn = float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))))
    if turn > MOST_TURN_DEG or shift > MOST_SHIFT_MM:
        raise RegistrationError(
            f"the registration turned the CT by {turn:.0f} degrees and moved it by {shift:.0f} mm; up to "
            f"{MOST_TURN_DEG:g} degrees and {MOST_SHIFT_MM:g} mm are plausible"
        )
    laid = sitk.GetArrayFromImage(sitk.Resample(ct_head, mr_head, found, sitk.sitkNearestNeighbor, BEYOND))
    head = sitk.GetArrayFromImage(mr_head) == 1
    of_mr, of_ct = int(head[laid != BEYOND].sum()), int((laid == 1).sum())  # what of each the other scan shows
    overlap = int((head & (laid == 1)).sum()) / max(1, min(of_mr, of_ct))
    shared = min(of_mr, of_ct) / min(int(head.sum()), int(np.count_nonzero(sitk.GetArrayViewFromImage(ct_head))))
    if overlap < LEAST_OVERLAP or shared < LEAST_SHARED:
        raise RegistrationError(
            f"the heads do not overlap after registration: {shared:.0%} of the smaller one is in both scans, at least "
            f"{LEAST_SHARED:.0%} should be, and {overlap:.0%} of that in the other head, at least {LEAST_OVERLAP:.0%}; "
            "are they of the same patient?"
        )


def _points(head: sitk.Image) -> Vector:
    """(n, 3) LPS mm: the cubes of a head."""
    k, j, i = np.nonzero(sitk.GetArrayViewFromImage(head))
    return Grid.of(head).points(np.column_stack([i, j, k]))


def _cubes(volume: Volume, head: Mask, outside: float, limits: tuple[float, float]) -> sitk.Image:
    """The volume averaged to cubes of CUBE_MM, clipped, and outside wherever there is no head."""
    alone = Volume(np.where(head, volume.voxels, volume.voxels.dtype.type(outside)), volume.grid)
    grid = cubes(volume.grid, CUBE_MM)
    return grid.image(np.clip(to_model_grid(alone, grid, outside), *limits))


def _cube_mask(volume: Volume, head: Mask) -> sitk.Image:
    grid = cubes(volume.grid, CUBE_MM)
    return grid.image((to_model_grid(Volume(head.astype(np.uint8), volume.grid), grid, 0) > 0.5).astype(np.uint8))
