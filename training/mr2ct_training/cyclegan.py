"""One step of the paper's CycleGAN (section 3), read like its equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mr2ct_training.config import TrainConfig
from mr2ct_training.generator import Generator, GeneratorConfig
from mr2ct_training.losses import absolute, discriminator, least_squares
from mr2ct_training.networks import Networks, both, frozen
from mr2ct_training.patchgan import PatchGAN
from mr2ct_training.pool import ImagePool
from mr2ct_training.sampling import POOL, stream

Losses = dict[str, Tensor]


class CycleGAN:
    """Syn_CT, Syn_MR, Dis_CT, Dis_MR, their optimisers and pools. See mr2ct_training.scheme.Scheme."""

    def __init__(self, config: TrainConfig, device: torch.device, places: range) -> None:
        """places: which places of the global batch this process has; it keeps a pool for each."""
        self.config = config
        size = GeneratorConfig(config.width, config.blocks)
        modules = {
            "mr_to_ct": Generator(size),
            "ct_to_mr": Generator(size),
            "ct_discriminator": PatchGAN(1, config.discriminator_width),
            "mr_discriminator": PatchGAN(1, config.discriminator_width),
        }
        self.networks = Networks(modules, config, device)
        self.pools = {modality: {place: ImagePool(config.pool_size) for place in places} for modality in ("ct", "mr")}

    def step(
        self,
        mr: Tensor,
        ct: Tensor,
        position: tuple[int, int],
        update: Callable[[Tensor, str, str], None],
        anchor: tuple[Tensor, Tensor] | None = None,
    ) -> Losses:
        """Improve the generators, then the discriminators, on one batch.

        mr, ct: (n, 1, H, W) in [-1, 1].  position: epoch and step.  update(loss, *names): backward and optimiser step
        of the named networks.  anchor: MR and CT of the same places, for a supervised term.  Returns detached losses.
        """
        net, config = self.networks, self.config
        mr_to_ct, ct_to_mr = net["mr_to_ct"], net["ct_to_mr"]
        judge_ct, judge_mr = net["ct_discriminator"], net["mr_discriminator"]

        synthetic_ct, synthetic_mr = mr_to_ct(mr), ct_to_mr(ct)
        cycled_mr, cycled_ct = ct_to_mr(synthetic_ct), mr_to_ct(synthetic_mr)
        with frozen(judge_ct, judge_mr):
            fooled_ct = least_squares(judge_ct(synthetic_ct), real=True)
            fooled_mr = least_squares(judge_mr(synthetic_mr), real=True)
        cycle_mr, cycle_ct = absolute(cycled_mr, mr), absolute(cycled_ct, ct)  # equation 3
        loss = fooled_ct + fooled_mr + config.cycle_weight * (cycle_mr + cycle_ct)
        losses = {"fooled_ct": fooled_ct, "fooled_mr": fooled_mr, "cycle_mr": cycle_mr, "cycle_ct": cycle_ct}
        if config.identity_weight:
            identity = absolute(mr_to_ct(ct), ct) + absolute(ct_to_mr(mr), mr)
            loss = loss + config.cycle_weight * config.identity_weight * identity
            losses["identity"] = identity
        if anchor is not None:
            losses["anchor"] = absolute(mr_to_ct(anchor[0]), anchor[1])
            loss = loss + config.anchor_weight * losses["anchor"]
        update(loss, "mr_to_ct", "ct_to_mr")

        seen_ct = self._from_pool("ct", synthetic_ct, position)
        seen_mr = self._from_pool("mr", synthetic_mr, position)
        for name, judge, real, synthetic in (
            ("ct_discriminator", judge_ct, ct, seen_ct),  # equation 1
            ("mr_discriminator", judge_mr, mr, seen_mr),  # equation 2
        ):
            of_real, of_synthetic = both(judge, real, synthetic)
            losses[name] = discriminator(least_squares(of_real, real=True), least_squares(of_synthetic, real=False))
        # one backward for both: they share no weight, so neither's gradient meets the other's
        update(losses["ct_discriminator"] + losses["mr_discriminator"], "ct_discriminator", "mr_discriminator")
        return {name: value.detach() for name, value in losses.items()}

    def _from_pool(self, modality: str, synthetic: Tensor, position: tuple[int, int]) -> Tensor:
        """The synthetic slices, some swapped for earlier ones, without a graph."""
        swapped = []
        for (place, pool), one in zip(self.pools[modality].items(), synthetic.detach(), strict=True):
            random = stream(self.config.seed, POOL, *position, place, modality == "ct")
            swapped.append(pool.swap(one, random))
        return torch.stack(swapped)

    def translate(self, mr: Tensor) -> tuple[Tensor, Tensor | None]:
        """The synthetic CT of MR slices and the MR cycled back from it, both (n, 1, H, W) in [-1, 1]."""
        synthetic_ct = self.networks.modules["mr_to_ct"](mr)
        return synthetic_ct, self.networks.modules["ct_to_mr"](synthetic_ct)

    def translate_back(self, ct: Tensor) -> tuple[Tensor, Tensor]:
        """The synthetic MR of CT slices and the CT cycled back from it, both (n, 1, H, W) in [-1, 1]."""
        synthetic_mr = self.networks.modules["ct_to_mr"](ct)
        return synthetic_mr, self.networks.modules["mr_to_ct"](synthetic_mr)
