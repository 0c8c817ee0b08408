"""What the paper's CycleGAN and its paired baseline have in common; all that the loop knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from mr2ct_training.networks import Networks
from mr2ct_training.pool import ImagePool


class Scheme(Protocol):
    """A way of training: its networks, its pools, one step, and its translations for validation."""

    networks: Networks
    pools: dict[str, dict[int, ImagePool]]

    def step(
        self,
        mr: Tensor,
        ct: Tensor,
        position: tuple[int, int],
        update: Callable[..., None],
        anchor: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]: ...

    def translate(self, mr: Tensor) -> tuple[Tensor, Tensor | None]: ...

    def translate_back(self, ct: Tensor) -> tuple[Tensor, Tensor] | None: ...
