"""One step of the CycleGAN: the paper's equations, and the same numbers as the plain loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mr2ct_training.config import TrainConfig
from mr2ct_training.cyclegan import CycleGAN
from mr2ct_training.generator import Reflection
from mr2ct_training.networks import Networks
from mr2ct_training.paired import Paired
from mr2ct_training.patchgan import PatchGAN
from plain_cyclegan import PlainCycleGAN

CPU = torch.device("cpu")
SMALL = TrainConfig(width=8, blocks=2, discriminator_width=8, seed=3, pool_size=3)


def updating(networks: Networks) -> Callable[..., None]:
    def update(loss: Tensor, *names: str) -> None:
        for name in names:
            networks.optimisers[name].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for name in names:
            networks.optimisers[name].step()

    return update


def slices(seed: int, count: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    mr, ct = torch.rand(2, count, 1, 64, 64, generator=random) * 2 - 1
    return mr, ct


@pytest.mark.parametrize(("channels", "parameters"), [(1, 2_762_689), (2, 2_763_713)])
def test_the_discriminator_is_the_papers_and_sees_70_by_70_pixels(channels: int, parameters: int) -> None:
    judge = PatchGAN(channels)
    assert sum(weight.numel() for weight in judge.parameters()) == parameters
    norms_off = nn.Sequential(*[m for m in judge.body if not isinstance(m, nn.InstanceNorm2d)])
    slices = torch.zeros(1, channels, 256, 256, requires_grad=True)
    patches = norms_off(slices)
    assert patches.shape == (1, 1, 30, 30)
    patches[0, 0, 15, 15].backward()
    assert slices.grad is not None
    rows = slices.grad[0, 0].abs().sum(dim=1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


def test_twenty_steps_have_the_losses_of_the_plain_loop() -> None:
    """In float64: Adam's first steps are as long for a gradient of 1e-9 as for one of 1, so fp32 rounding shows."""
    config = TrainConfig(width=4, blocks=1, discriminator_width=4, seed=3, pool_size=3)
    plain, shipped = PlainCycleGAN(config, CPU), CycleGAN(config, CPU, range(1))
    for network in (plain.mr_to_ct, plain.ct_to_mr, plain.judge_ct, plain.judge_mr, *shipped.networks.modules.values()):
        network.double()
    update = updating(shipped.networks)
    for step in range(20):
        mr, ct = (image.double() for image in slices(step))
        wanted, got = plain.step(mr, ct, (0, step)), shipped.step(mr, ct, (0, step), update)
        assert set(got) == set(wanted)
        for name in wanted:
            assert got[name].item() == pytest.approx(wanted[name].item(), rel=1e-6), (step, name)


def test_twenty_steps_in_half_precision_stay_near_the_plain_loop() -> None:
    """Cycle losses to 3 %; adversarial ones, which rounding drives apart step by step, to 25 %; the first to 1 %."""
    plain, shipped = PlainCycleGAN(SMALL, CPU), CycleGAN(SMALL, CPU, range(1))
    update = updating(shipped.networks)
    for step in range(20):
        wanted = plain.step(*slices(step), (0, step))
        with torch.autocast("cpu", torch.bfloat16):
            got = shipped.step(*slices(step), (0, step), update)
        for name, value in wanted.items():
            near = 0.01 if step == 0 else 0.03 if name.startswith("cycle") else 0.25
            assert got[name].item() == pytest.approx(value.item(), rel=near), (step, name)


def test_padding_keeps_half_precision_and_reflects() -> None:
    features = torch.randn(1, 2, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        padded = Reflection(2)(features.bfloat16())
    assert padded.dtype is torch.bfloat16
    assert torch.equal(padded, nn.ReflectionPad2d(2)(features.bfloat16().float()).bfloat16())


def test_the_losses_are_the_equations() -> None:
    gan = CycleGAN(SMALL, CPU, range(1))
    mr, ct = slices(1)
    net = gan.networks
    with torch.no_grad():
        synthetic_ct, synthetic_mr = net["mr_to_ct"](mr), net["ct_to_mr"](ct)
        wanted = {
            "cycle_mr": (net["ct_to_mr"](synthetic_ct) - mr).abs().mean(),
            "cycle_ct": (net["mr_to_ct"](synthetic_mr) - ct).abs().mean(),
            "fooled_ct": ((1 - net["ct_discriminator"](synthetic_ct)) ** 2).mean(),
            "fooled_mr": ((1 - net["mr_discriminator"](synthetic_mr)) ** 2).mean(),
            "ct_discriminator": (
                ((1 - net["ct_discriminator"](ct)) ** 2).mean() + (net["ct_discriminator"](synthetic_ct) ** 2).mean()
            )
            / 2,
        }
    got = gan.step(mr, ct, (0, 0), lambda *_: None)
    for name, value in wanted.items():
        assert got[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_the_generator_step_leaves_discriminators_alone_and_the_other_way_round() -> None:
    gan = CycleGAN(SMALL, CPU, range(1))
    touched: list[set[str]] = []

    def update(loss: Tensor, *names: str) -> None:
        for module in gan.networks.modules.values():
            module.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        with_gradient = {
            name
            for name, module in gan.networks.modules.items()
            if any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())
        }
        touched.append(with_gradient)
        assert with_gradient == set(names)

    gan.step(*slices(2), (0, 0), update)
    assert touched == [{"mr_to_ct", "ct_to_mr"}, {"ct_discriminator", "mr_discriminator"}]


def test_the_identity_loss_is_an_option_and_off() -> None:
    assert "identity" not in CycleGAN(SMALL, CPU, range(1)).step(*slices(1), (0, 0), lambda *_: None)
    with_identity = TrainConfig(width=8, blocks=2, discriminator_width=8, identity_weight=0.5)
    assert "identity" in CycleGAN(with_identity, CPU, range(1)).step(*slices(1), (0, 0), lambda *_: None)


def test_the_paired_baseline_learns_one_pair() -> None:
    paired = Paired(SMALL, CPU, range(1))
    mr, ct = slices(5)
    ct = torch.nn.functional.avg_pool2d(ct, 9, 1, 4)
    update = updating(paired.networks)
    first, *_, last = (paired.step(mr, ct, (0, step), update)["paired_ct"].item() for step in range(40))
    assert last < 0.7 * first
    assert paired.translate(mr)[1] is None


def test_the_papers_numbers_are_the_defaults() -> None:
    config = TrainConfig()
    assert (config.learning_rate, config.cycle_weight, config.epochs, config.batch) == (0.0002, 10, 200, 1)
    assert (config.beta1, config.beta2, config.pool_size, config.pad, config.identity_weight) == (
        0.5,
        0.999,
        50,
        286,
        0,
    )
    assert config.learning_rate_of(0) == config.learning_rate_of(98) == 0.0002
    rates = [config.learning_rate_of(epoch) for epoch in range(99, 200)]
    steps = {round(a - b, 12) for a, b in itertools.pairwise(rates)}
    assert len(steps) == 1
    assert 0 < rates[-1] < 2.1e-6


def test_an_anchor_pulls_the_generator_towards_known_pairs() -> None:
    mr, ct = slices(1)
    paired_mr, paired_ct = slices(2)
    last = {}
    for weight in (0.0, 100.0):
        gan = CycleGAN(replace(SMALL, anchor_weight=weight), CPU, range(1))
        update = updating(gan.networks)
        for step in range(15):
            gan.step(mr, ct, (0, step), update, (paired_mr, paired_ct) if weight else None)
        last[weight] = (gan.networks["mr_to_ct"](paired_mr) - paired_ct).abs().mean().item()
    assert last[100.0] < 0.9 * last[0.0]
