"""How good the generator is on patients that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from mr2ct_training.dataset import Dataset, Slices, from_bytes
from mr2ct_training.sampling import aligned_pairs
from mr2ct_training.scheme import Scheme

MOST_SLICES = 48  # evenly over the held-out heads: a minute on two cores at the paper's size
PSNR_RANGE_HU = 4095  # section 3.2, equation 5, with the square root that its text leaves out
PANEL_SLICES = 3
Pixels = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """Validation figures; None where there is nothing to measure against.

    cycle_error: mean |cycled MR - MR| inside the head, as a fraction of the MR window.  mae_hu: mean |synthetic CT -
    CT| inside the head where a held-out patient has an aligned CT.  psnr_db: 20 log10(4095 / RMSE) of the same voxels.
    """

    cycle_error: float | None
    mae_hu: float | None
    psnr_db: float | None

    @property
    def score(self) -> float:
        """What "best" means, smaller is better: the MAE where there is a reference, else the cycle error."""
        if self.mae_hu is not None:
            return self.mae_hu
        return float("inf") if self.cycle_error is None else self.cycle_error


class Validation:
    """Measures a scheme on the validation split; without one there is nothing to measure."""

    def __init__(self, dataset: Dataset) -> None:
        manifest = dataset.manifest
        self.mr: Slices | None = dataset.slices("mr", "validation") if manifest.of("mr", "validation") else None
        self.ct: Slices | None = dataset.slices("ct", "validation") if manifest.of("ct", "validation") else None
        self.hu_per_unit = (manifest.ct_window_hu[1] - manifest.ct_window_hu[0]) / 2
        pairs = dict(aligned_pairs(self.mr, self.ct)) if self.mr is not None and self.ct is not None else {}
        self.partner = pairs
        wanted = sorted(pairs) if pairs else list(range(len(self.mr) if self.mr is not None else 0))
        with_head = [index for index in wanted if self.mr is not None and self.mr.head(index).any()]
        self.indices = _evenly(with_head, MOST_SLICES)
        ct_slices = range(len(self.ct) if self.ct is not None else 0)
        self.ct_indices = [index for index in ct_slices if self.ct is not None and self.ct.head(index).any()]

    @torch.inference_mode()
    def measure(self, scheme: Scheme, fabric: Fabric) -> Measured:
        """Every process measures the same slices, so that all agree on what is best."""
        if self.mr is None:
            return Measured(None, None, None)
        cycle, absolute, squared, pixels, paired_pixels = 0.0, 0.0, 0.0, 0, 0
        for index in self.indices:
            mr, head = self._slice(self.mr, index, fabric), self.mr.head(index)
            synthetic_ct, cycled_mr = _translate(scheme, mr, fabric)
            if cycled_mr is not None:
                cycle += (
                    float(np.abs(_numbers(cycled_mr) - from_bytes(self.mr[index]))[head].sum()) / 2
                )  # [-1, 1] is 2 wide
                pixels += int(head.sum())
            if self.ct is not None and index in self.partner:
                partner = self.partner[index]
                inside = head & self.ct.head(partner)
                error = (_numbers(synthetic_ct) - from_bytes(self.ct[partner]))[inside] * self.hu_per_unit
                absolute += float(np.abs(error).sum())
                squared += float((error**2).sum())
                paired_pixels += int(inside.sum())
        cycle_error = cycle / pixels if pixels else None
        if not paired_pixels:
            return Measured(cycle_error, None, None)
        rmse = (squared / paired_pixels) ** 0.5
        return Measured(cycle_error, absolute / paired_pixels, float(20 * np.log10(PSNR_RANGE_HU / max(rmse, 1e-9))))

    @torch.inference_mode()
    def panels(self, scheme: Scheme, fabric: Fabric) -> dict[str, Picture]:
        """Pictures by title, (rows, columns) uint8, a line a held-out slice; those there is something to show of.

        The way there: MR, synthetic CT, cycled MR, |cycled MR - MR|, and CT where it is aligned. And the way back.
        """
        pictures = {}
        there = []
        for index in _evenly(self.indices, PANEL_SLICES):
            assert self.mr is not None
            mr = from_bytes(self.mr[index])
            synthetic_ct, cycled_mr = _translate(scheme, self._slice(self.mr, index, fabric), fabric)
            line = [mr, _numbers(synthetic_ct)]
            if cycled_mr is not None:
                line += _cycled(mr, cycled_mr)
            if self.ct is not None and index in self.partner:
                line.append(from_bytes(self.ct[self.partner[index]]))
            there.append(np.concatenate(line, axis=1))
        if there:
            pictures["MR, synthetic CT, cycled MR, difference"] = _grey(there)
        back = []
        for index in _evenly(self.ct_indices, PANEL_SLICES):
            assert self.ct is not None
            with fabric.autocast():
                images = scheme.translate_back(self._slice(self.ct, index, fabric))
            if images is not None:
                ct = from_bytes(self.ct[index])
                back.append(np.concatenate([ct, _numbers(images[0]), *_cycled(ct, images[1])], axis=1))
        if back:
            pictures["CT, synthetic MR, cycled CT, difference"] = _grey(back)
        return pictures

    @staticmethod
    def _slice(slices: Slices, index: int, fabric: Fabric) -> Tensor:
        return torch.from_numpy(from_bytes(slices[index])[np.newaxis, np.newaxis]).to(fabric.device)


def _translate(scheme: Scheme, mr: Tensor, fabric: Fabric) -> tuple[Tensor, Tensor | None]:
    with fabric.autocast():
        return scheme.translate(mr)


def _cycled(image: Pixels, cycled: Tensor) -> list[Pixels]:
    """The cycled image and how far it is from the image, black where they agree, each (H, W)."""
    numbers = _numbers(cycled)
    return [numbers, np.abs(numbers - image) - 1]


def _grey(lines: list[Pixels]) -> Picture:
    """Lines of images, [-1, 1], below each other, as grey values."""
    picture: Picture = np.rint((np.clip(np.concatenate(lines), -1, 1) + 1) * 127.5).astype(np.uint8)
    return picture


def _numbers(image: Tensor) -> Pixels:
    """(1, 1, H, W) to (H, W) float32."""
    numbers: Pixels = image[0, 0].float().cpu().numpy()
    return numbers


def _evenly(values: list[int], most: int) -> list[int]:
    if len(values) <= most:
        return values
    return [values[place] for place in np.linspace(0, len(values) - 1, most).round().astype(int)]
