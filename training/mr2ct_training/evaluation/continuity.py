"""Does a synthetic CT jump from one sagittal slice to the next? A 2D network never sees the neighbour of its slice.

Between two neighbouring sagittal slices, over the voxels that are in the mask in both:

    jump of a volume = mean |next - this|            anatomy changes from slice to slice, in the reference as well
    excess           = jump of the synthetic CT - jump of the reference      detail that flickers, HU; 0 is best
    step             = mean of next - this in the synthetic CT, less that in the reference    brightness that flickers

The ratio of the two jumps is taken over all pairs of voxels: above 1 the synthetic CT flickers, below 1 it is smoother
than a CT. Largest excess and step say where, as the patient's x (LPS mm, to the Left) half-way between the two slices.
The measures are ours; CONVENTIONS has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.grid import Grid
from mr2ct_training.evaluation.metrics import Metric, Values

LEAST_SHARE = 0.1  # of the voxels of the largest pair of slices; smaller pairs, at the ears, say nothing of the model

CONTINUITY_METRICS = (
    Metric("jump_ratio_in_mask", "jumps", "in mask", "sCT/CT", "near 1", 2),
    Metric("jump_excess_hu_in_mask", "excess", "largest", "HU", "near 0", 1),
    Metric("step_hu_in_mask", "step", "largest", "HU", "lower", 1),
)


@dataclass(frozen=True)
class Continuity:
    """From the patient's right to the left, one entry for each pair of neighbouring sagittal slices that counts.

    x_mm: LPS mm.  synthetic_hu, reference_hu: the jumps.  step_hu: with its sign.  ratio: None where the reference does
    not change from slice to slice, or no pair counts.
    """

    x_mm: tuple[float, ...]
    synthetic_hu: tuple[float, ...]
    reference_hu: tuple[float, ...]
    step_hu: tuple[float, ...]
    ratio: float | None

    @property
    def largest_excess(self) -> tuple[float, float] | None:
        """(HU, x in LPS mm) of the pair whose jump exceeds the reference's most; None where no pair counts."""
        excess = np.subtract(self.synthetic_hu, self.reference_hu)
        return self._at(int(excess.argmax()), excess) if excess.size else None

    @property
    def largest_step(self) -> tuple[float, float] | None:
        """(HU with its sign, x in LPS mm) of the greatest step of brightness; None where no pair counts."""
        step = np.array(self.step_hu)
        return self._at(int(np.abs(step).argmax()), step) if step.size else None

    def _at(self, pair: int, values: NDArray[np.float64]) -> tuple[float, float]:
        return float(values[pair]), self.x_mm[pair]

    def values(self) -> Values:
        """The metrics of CONTINUITY_METRICS, by key; the step without its sign, which means nothing over patients."""
        excess, step = self.largest_excess, self.largest_step
        numbers = (self.ratio, excess and excess[0], step and abs(step[0]))
        return {metric.key: value for metric, value in zip(CONTINUITY_METRICS, numbers, strict=True)}


def sagittal_axis(grid: Grid) -> int:
    """The array axis (0, 1, 2 for k, j, i) that runs most along the patient's left to right."""
    return 2 - int(np.abs(grid.axes[0]).argmax())


def continuity(synthetic: NDArray[Any], reference: NDArray[Any], mask: NDArray[np.bool_], grid: Grid) -> Continuity:
    """How a synthetic CT goes on from slice to slice. Volumes: HU, (k, j, i) on the grid; mask: likewise, bool."""
    axis = sagittal_axis(grid)
    ours, theirs, inside = (np.moveaxis(array, axis, 0) for array in (synthetic, reference, mask))
    jumps, counts = np.zeros((len(inside) - 1, 3)), np.zeros(len(inside) - 1, np.int64)
    for pair in range(len(counts)):
        both = inside[pair] & inside[pair + 1]
        counts[pair] = np.count_nonzero(both)
        if counts[pair]:
            one, other = (
                np.subtract(volume[pair + 1][both], volume[pair][both], dtype=np.float64) for volume in (ours, theirs)
            )
            jumps[pair] = np.abs(one).mean(), np.abs(other).mean(), (one - other).mean()
    centres = np.tile((np.array(grid.size) - 1) / 2, (len(counts), 1))
    centres[:, 2 - axis] = np.arange(len(counts)) + 0.5
    x = grid.points(centres)[:, 0]
    jumps[:, 2] *= np.sign(grid.axes[0, 2 - axis])  # from right to left
    counted = np.flatnonzero((counts > 0) & (counts >= LEAST_SHARE * counts.max(initial=0)))
    counted = counted[np.argsort(x[counted])]
    total = (jumps[counted] * counts[counted, None]).sum(axis=0)
    ratio = float(total[0] / total[1]) if counted.size and total[1] else None
    of_ours, of_theirs, steps = (tuple(column.tolist()) for column in jumps[counted].T)
    return Continuity(tuple(x[counted].tolist()), of_ours, of_theirs, steps, ratio)
