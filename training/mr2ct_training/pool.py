"""Earlier synthetic slices, shown to a discriminator again so that it does not forget them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

POOL_SIZE = 50  # Shrivastava et al., arXiv 1612.07828; Zhu et al., arXiv 1703.10593, section 4


class ImagePool:
    """A pool for one place in the batch.

    While it fills, a slice goes in and comes straight back. Then half of the slices are swapped for a random earlier
    one. Each place in a batch has a pool of its own, so that the same slices come out however a batch is spread over
    processes; at the paper's batch of one that is the reference implementation's pool.
    """

    def __init__(self, size: int = POOL_SIZE) -> None:
        self.size = size
        self.slices: list[Tensor] = []

    def swap(self, one: Tensor, random: np.random.Generator) -> Tensor:
        """One slice (1, H, W), detached, for itself or an earlier one."""
        if self.size == 0:
            return one
        if len(self.slices) < self.size:
            self.slices.append(one.clone())
            return one
        if random.random() < 0.5:
            return one
        place = int(random.integers(self.size))
        earlier = self.slices[place]
        self.slices[place] = one.clone()
        return earlier

    def state_dict(self) -> dict[str, Any]:
        """The slices, (n, 1, H, W) or None, for a checkpoint."""
        return {"size": self.size, "slices": torch.stack(self.slices).cpu() if self.slices else None}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up where state_dict left off."""
        self.size = int(state["size"])
        self.slices = [] if state["slices"] is None else list(state["slices"].to(device))
