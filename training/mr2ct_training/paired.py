"""One step of the paper's paired baseline: pix2pix (its reference 5, arXiv 1611.07004) with the same generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mr2ct_training.config import TrainConfig
from mr2ct_training.generator import Generator, GeneratorConfig
from mr2ct_training.losses import absolute, cross_entropy, discriminator
from mr2ct_training.networks import Networks, both, frozen
from mr2ct_training.patchgan import PatchGAN
from mr2ct_training.pool import ImagePool


class Paired:
    """A generator and a discriminator that sees MR and CT together. See mr2ct_training.scheme.Scheme."""

    def __init__(self, config: TrainConfig, device: torch.device, places: range) -> None:
        del places  # no pool, so no place in the batch has a memory
        self.config = config
        modules = {
            "mr_to_ct": Generator(GeneratorConfig(config.width, config.blocks)),
            "ct_discriminator": PatchGAN(2, config.discriminator_width),
        }
        self.networks = Networks(modules, config, device)
        self.pools: dict[str, dict[int, ImagePool]] = {}

    def step(
        self,
        mr: Tensor,
        ct: Tensor,
        position: tuple[int, int],
        update: Callable[..., None],
        anchor: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """See CycleGAN.step; mr and ct show the same place of the same patient."""
        del position, anchor
        mr_to_ct, judge = self.networks["mr_to_ct"], self.networks["ct_discriminator"]

        synthetic_ct = mr_to_ct(mr)
        with frozen(judge):
            fooled_ct = cross_entropy(judge(torch.cat([mr, synthetic_ct], dim=1)), real=True)
        difference = absolute(synthetic_ct, ct)
        update(fooled_ct + self.config.paired_weight * difference, "mr_to_ct")

        of_real, of_synthetic = both(judge, torch.cat([mr, ct], dim=1), torch.cat([mr, synthetic_ct.detach()], dim=1))
        judged = discriminator(cross_entropy(of_real, real=True), cross_entropy(of_synthetic, real=False))
        update(judged, "ct_discriminator")
        losses = {"fooled_ct": fooled_ct, "paired_ct": difference, "ct_discriminator": judged}
        return {name: value.detach() for name, value in losses.items()}

    def translate(self, mr: Tensor) -> tuple[Tensor, Tensor | None]:
        """The synthetic CT of MR slices, (n, 1, H, W) in [-1, 1]; there is no way back."""
        return self.networks.modules["mr_to_ct"](mr), None

    def translate_back(self, ct: Tensor) -> None:
        """There is no way back."""
