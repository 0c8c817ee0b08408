"""Noise and blur, by voxels of the head here and there and their neighbours."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from mr2ct.head import Mask
from mr2ct.volume import Volume

EVERY = 6  # voxels along each axis: one of 216 is looked at, and 20,000 of a head are plenty for a median
STENCIL = (1.0, -2.0, 1.0)  # along each axis: a Laplacian of Laplacians, blind to slopes and to edges along an axis
STENCIL_NORM = 6.0**1.5  # root of the sum of squares of all 27 weights; J. Immerkaer, CVIU 1996, in three dimensions
MEDIAN_OF_SIGMA = 0.6745  # the median of |x| where x is normal with standard deviation 1
NEAR_MM, FARTHER = 2.0, 3  # neighbours for sharpness, and others so many times as far
NOISE_SHARE = 6.0  # of the variance of noise in a squared second difference, 1 + 4 + 1

Places = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


def fineness(mr: Volume, head: Mask, contrast: float) -> dict[str, float]:
    """noise and sharpness of SCALARS. contrast: of the head, scanner units.

    sharpness: the root of how much larger second differences (v[-d] - 2 v[0] + v[d])^2, less the noise in them, are at
    FARTHER times NEAR_MM than at NEAR_MM, the other way round. Where all is smooth it is 1 / FARTHER^2 = 0.11, where
    edges are sharp 0.5 and more, whatever the contrast. In a volume too thin to tell both are 0.
    """
    steps = [max(1, round(NEAR_MM / mm)) for mm in mr.grid.spacing[::-1]]
    axes = [_every(count, FARTHER * step) for count, step in zip(mr.voxels.shape, steps, strict=True)]
    inside = np.nonzero(head[np.ix_(*axes)])
    if len(inside[0]) == 0:
        return {"noise": 0.0, "sharpness": 0.0}
    k, j, i = (axis[number] for axis, number in zip(axes, inside, strict=True))
    sigma = _noise(mr, (k, j, i))
    near, far = (_differences(mr, (k, j, i), [step * times for step in steps]) for times in (1, FARTHER))
    floor = NOISE_SHARE * sigma**2
    sharpness = math.sqrt(max(near - floor, 0) / (far - floor)) if far > floor else 0.0
    return {"noise": sigma / contrast if contrast > 0 else 0.0, "sharpness": sharpness}


def _noise(mr: Volume, places: Places) -> float:
    """Standard deviation, scanner units."""
    k, j, i = places
    total = np.zeros(len(k), np.float32)
    for dk, dj, di in itertools.product((-1, 0, 1), repeat=3):
        weight = STENCIL[dk + 1] * STENCIL[dj + 1] * STENCIL[di + 1]
        total += np.float32(weight) * mr.voxels[k + dk, j + dj, i + di].astype(np.float32)
    return float(np.median(np.abs(total))) / MEDIAN_OF_SIGMA / STENCIL_NORM


def _differences(mr: Volume, places: Places, steps: list[int]) -> float:
    """The mean square of second differences, so many voxels apart along each axis; scanner units squared."""
    k, j, i = places
    middle = 2 * mr.voxels[k, j, i].astype(np.float32)
    total = 0.0
    for dk, dj, di in np.diag(steps).tolist():
        before, behind = mr.voxels[k - dk, j - dj, i - di], mr.voxels[k + dk, j + dj, i + di]
        total += float(np.square(before.astype(np.float32) + behind - middle).mean(dtype=np.float64))
    return total / 3


def _every(count: int, margin: int) -> NDArray[np.intp]:
    """Some places along an axis, the same from either end, so far from both ends."""
    place = np.arange(margin, count - margin)
    some: NDArray[np.intp] = place[np.minimum(place, count - 1 - place) % EVERY == min(EVERY // 2, (count - 1) // 2)]
    return some
