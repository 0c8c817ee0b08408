"""The training step as the reference implementation has it: plain eager PyTorch, one pass a network and an image.

What mr2ct_training.cyclegan is measured against for speed, and tested against for the numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from mr2ct_training.config import TrainConfig
from mr2ct_training.generator import Generator, GeneratorConfig, initialise
from mr2ct_training.patchgan import PatchGAN
from mr2ct_training.pool import ImagePool
from mr2ct_training.sampling import POOL, stream


class PlainCycleGAN:
    """Two generators under one Adam, two discriminators under another."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        size = GeneratorConfig(config.width, config.blocks)
        self.mr_to_ct, self.ct_to_mr = Generator(size), Generator(size)
        self.judge_ct, self.judge_mr = PatchGAN(1, config.discriminator_width), PatchGAN(1, config.discriminator_width)
        random = torch.Generator().manual_seed(config.seed)
        for network in (self.mr_to_ct, self.ct_to_mr, self.judge_ct, self.judge_mr):
            initialise(network, random)
            network.to(device)
        self.generators = self._adam(self.mr_to_ct.parameters(), self.ct_to_mr.parameters())
        self.judges = self._adam(self.judge_ct.parameters(), self.judge_mr.parameters())
        self.pools = {"ct": ImagePool(config.pool_size), "mr": ImagePool(config.pool_size)}

    def _adam(self, *weights: Iterable[nn.Parameter]) -> torch.optim.Adam:
        c = self.config
        return torch.optim.Adam(itertools.chain(*weights), lr=c.learning_rate, betas=(c.beta1, c.beta2), foreach=False)

    def step(self, mr: Tensor, ct: Tensor, position: tuple[int, int]) -> dict[str, Tensor]:
        """One step on a batch of one; losses by the names of mr2ct_training.cyclegan."""
        mse, l1 = nn.MSELoss(), nn.L1Loss()
        fake_ct = self.mr_to_ct(mr)
        cycled_mr = self.ct_to_mr(fake_ct)
        fake_mr = self.ct_to_mr(ct)
        cycled_ct = self.mr_to_ct(fake_mr)
        self._freeze(True)
        self.generators.zero_grad()
        judged_ct, judged_mr = self.judge_ct(fake_ct), self.judge_mr(fake_mr)
        fooled_ct, fooled_mr = mse(judged_ct, torch.ones_like(judged_ct)), mse(judged_mr, torch.ones_like(judged_mr))
        cycle_mr, cycle_ct = l1(cycled_mr, mr), l1(cycled_ct, ct)
        (fooled_ct + fooled_mr + self.config.cycle_weight * (cycle_mr + cycle_ct)).backward()
        self.generators.step()
        self._freeze(False)
        self.judges.zero_grad()
        losses = {"fooled_ct": fooled_ct, "fooled_mr": fooled_mr, "cycle_mr": cycle_mr, "cycle_ct": cycle_ct}
        for name, judge, real, fake in (("ct", self.judge_ct, ct, fake_ct), ("mr", self.judge_mr, mr, fake_mr)):
            random: np.random.Generator = stream(self.config.seed, POOL, *position, 0, name == "ct")
            seen = self.pools[name].swap(fake.detach()[0], random)[None]
            of_real, of_fake = judge(real), judge(seen)
            loss = (mse(of_real, torch.ones_like(of_real)) + mse(of_fake, torch.zeros_like(of_fake))) * 0.5
            loss.backward()
            losses[f"{name}_discriminator"] = loss
        self.judges.step()
        return {name: value.detach() for name, value in losses.items()}

    def _freeze(self, frozen: bool) -> None:
        for weight in itertools.chain(self.judge_ct.parameters(), self.judge_mr.parameters()):
            weight.requires_grad_(not frozen)
