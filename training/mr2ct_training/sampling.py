"""Which slices a step sees. Everything random follows from (seed, epoch, step), so a position is all a resume needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import DatasetError, Slices, from_bytes

# What a random stream is for: streams of the same place in a training do not depend on each other.
ORDER, PARTNER, CROP, POOL, ANCHOR, VARIATION = range(6)
Pixels = NDArray[np.uint8]
AIR = 0  # the byte that pads a slice: -1, air in CT, no signal in MR


def stream(seed: int, purpose: int, *position: int) -> np.random.Generator:
    """The random numbers for one purpose at one place of a training."""
    return np.random.default_rng([seed, purpose, *position])


class UnpairedSampler:
    """MR and CT slices that have nothing to do with each other, as Zhu et al. draw them.

    An epoch goes once through the larger modality in a new order; the other's partner is drawn at random.
    """

    def __init__(self, config: TrainConfig, mr: Slices, ct: Slices) -> None:
        self.config, self.mr, self.ct = config, mr, ct
        everything = max(len(mr), len(ct))
        self.steps = config.steps_per_epoch or max(1, everything // config.batch)

    def batch(self, epoch: int, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """MR and CT (len(places), 1, crop, crop) float32 in [-1, 1] for some places of the global batch."""
        seed, larger = self.config.seed, max(len(self.mr), len(self.ct))
        order = stream(seed, ORDER, epoch).permutation(larger)
        pairs = []
        for place in places:
            first = int(order[(step * self.config.batch + place) % larger])
            partner = stream(seed, PARTNER, epoch, step, place)
            if len(self.mr) >= len(self.ct):
                mr, ct = first, int(partner.integers(len(self.ct)))
            else:
                mr, ct = int(partner.integers(len(self.mr))), first
            crop = stream(seed, CROP, epoch, step, place)
            pad = self.config.pad
            pairs.append((_cropped([self.mr[mr]], pad, crop)[0], _cropped([self.ct[ct]], pad, crop)[0]))
        return _stacked([mr for mr, _ in pairs]), _stacked([ct for _, ct in pairs])


class PairedSampler:
    """Slices of the same patient at the same place, cropped alike; an epoch goes once through all of them."""

    def __init__(self, config: TrainConfig, mr: Slices, ct: Slices) -> None:
        self.config, self.mr, self.ct = config, mr, ct
        self.pairs = aligned_pairs(mr, ct)
        if not self.pairs:
            raise DatasetError(
                "no patient has an MR and an aligned CT; mr2ct-prepare --register aligns them, --aligned says they are"
            )
        self.steps = config.steps_per_epoch or max(1, len(self.pairs) // config.batch)

    def batch(self, epoch: int, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See UnpairedSampler.batch."""
        seed = self.config.seed
        order = stream(seed, ORDER, epoch).permutation(len(self.pairs))
        both = []
        for place in places:
            mr, ct = self.pairs[int(order[(step * self.config.batch + place) % len(order)])]
            crop = stream(seed, CROP, epoch, step, place)
            both.append(_cropped([self.mr[mr], self.ct[ct]], self.config.pad, crop))
        return _stacked([mr for mr, _ in both]), _stacked([ct for _, ct in both])


class AnchorSampler:
    """Pairs as PairedSampler has them, drawn at random, for an unpaired training to hold on to."""

    def __init__(self, config: TrainConfig, mr: Slices, ct: Slices) -> None:
        """Raises DatasetError where no patient has an MR and an aligned CT."""
        self.config, self.pairs = config, PairedSampler(config, mr, ct)

    def batch(self, epoch: int, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See UnpairedSampler.batch."""
        pairs = self.pairs
        both = []
        for place in places:
            random = stream(self.config.seed, ANCHOR, epoch, step, place)
            mr, ct = pairs.pairs[int(random.integers(len(pairs.pairs)))]
            both.append(_cropped([pairs.mr[mr], pairs.ct[ct]], self.config.pad, random))
        return _stacked([mr for mr, _ in both]), _stacked([ct for _, ct in both])


def without_pairs(mr: Slices, ct: Slices) -> tuple[Slices, Slices]:
    """The slices of patients that AnchorSampler does not show; all of a modality's where that would leave none."""
    paired = {mr.entries[mr.place(one)[0]].patient for one, _ in aligned_pairs(mr, ct)}
    others = [slices.of([e.patient not in paired for e in slices.entries]) for slices in (mr, ct)]
    return others[0] if len(others[0]) else mr, others[1] if len(others[1]) else ct


def aligned_pairs(mr: Slices, ct: Slices) -> list[tuple[int, int]]:
    """Running indices of the MR and CT slices that show the same place of the same patient."""
    starts, pairs = {}, []
    start = 0
    for entry in ct.entries:
        if entry.registration is not None:
            starts[entry.patient] = (start, entry.slices)
        start += entry.slices
    start = 0
    for entry in mr.entries:
        ct_start, slices = starts.get(entry.patient, (0, -1))
        if slices == entry.slices:
            pairs += [(start + k, ct_start + k) for k in range(entry.slices)]
        start += entry.slices
    return pairs


def _cropped(slices: list[Pixels], pad: int, random: np.random.Generator) -> list[Pixels]:
    """Slices (rows, columns) padded with air to pad x pad, and the same random rows x columns cut out of each."""
    rows, columns = slices[0].shape
    top, left = (int(random.integers(max(0, pad - size) + 1)) for size in (rows, columns))
    down, right = (max(0, pad - size) // 2 for size in (rows, columns))
    cut = []
    for one in slices:
        padded = np.full((max(pad, rows), max(pad, columns)), AIR, np.uint8)
        padded[down : down + rows, right : right + columns] = one
        cut.append(padded[top : top + rows, left : left + columns])
    return cut


def _stacked(slices: list[Pixels]) -> Tensor:
    return torch.from_numpy(from_bytes(np.stack(slices)[:, np.newaxis]))
