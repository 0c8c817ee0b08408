"""The network is the paper's: its size, its layers, its numbers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mr2ct_training.generator import Generator, GeneratorConfig, untrained

SIGMAS = 5.0  # a sampling error this large comes once in two million
NARROW = GeneratorConfig(width=8)


@pytest.fixture(scope="module")
def full_size() -> Generator:
    return untrained(seed=0)


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def by_hand(weights: dict[str, Tensor], slices: Tensor, blocks: int) -> Tensor:
    """The network of section 3.1 as a formula, from its weights in the order of the paper's layers."""
    pairs = iter(list(zip(list(weights.values())[::2], list(weights.values())[1::2], strict=True)))

    def mirrored(x: Tensor, by: int) -> Tensor:
        return functional.pad(x, (by, by, by, by), mode="reflect")

    def normed(x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        return centred / torch.sqrt((centred * centred).mean(dim=(2, 3), keepdim=True) + 1e-5)

    x = functional.relu(normed(functional.conv2d(mirrored(slices, 3), *next(pairs))))
    for _ in range(2):
        x = functional.relu(normed(functional.conv2d(x, *next(pairs), stride=2, padding=1)))
    for _ in range(blocks):
        change = functional.relu(normed(functional.conv2d(mirrored(x, 1), *next(pairs))))
        x = x + normed(functional.conv2d(mirrored(change, 1), *next(pairs)))
    for _ in range(2):
        x = functional.relu(normed(functional.conv_transpose2d(x, *next(pairs), stride=2, padding=1, output_padding=1)))
    answer = torch.tanh(functional.conv2d(mirrored(x, 3), *next(pairs)))
    assert next(pairs, None) is None
    return answer


def test_the_paper_s_size_has_11365633_parameters(full_size: Generator) -> None:
    assert sum(parameter.numel() for parameter in full_size.parameters()) == 11_365_633


def test_layers_are_the_paper_s_in_the_paper_s_order(full_size: Generator) -> None:
    found = [
        (type(c).__name__, c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0])
        for c in convolutions(full_size)
    ]
    assert found == [
        ("Conv2d", 1, 64, 7, 1),
        ("Conv2d", 64, 128, 3, 2),
        ("Conv2d", 128, 256, 3, 2),
        *[("Conv2d", 256, 256, 3, 1)] * 18,
        ("ConvTranspose2d", 256, 128, 3, 2),
        ("ConvTranspose2d", 128, 64, 3, 2),
        ("Conv2d", 64, 1, 7, 1),
    ]


def test_every_convolution_but_the_last_is_followed_by_instance_norm_without_affine(full_size: Generator) -> None:
    layers = [m for m in full_size.modules() if not list(m.children())]
    for layer, following in itertools.pairwise(layers):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            wanted = nn.Tanh if following is layers[-1] else nn.InstanceNorm2d
            assert type(following) is wanted
    norms = [m for m in layers if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 23
    assert not any(norm.affine or norm.track_running_stats for norm in norms)


def test_nothing_but_the_weights_and_biases_of_convolutions_is_kept(full_size: Generator) -> None:
    assert len(full_size.state_dict()) == 2 * 24
    assert all(c.bias is not None for c in convolutions(full_size))


@pytest.mark.parametrize(("config", "seed"), [(NARROW, 1), (GeneratorConfig(width=3, blocks=2), 2)])
def test_the_network_equals_the_formula_written_out_by_hand(config: GeneratorConfig, seed: int) -> None:
    network, random = Generator(config).eval(), torch.Generator().manual_seed(seed)
    for parameter in network.parameters():  # biases too, which untrained are zero
        nn.init.normal_(parameter, 0.0, 0.3, generator=random)
    network.double()  # so that rounding is no excuse
    slices = torch.rand(2, 1, 48, 64, generator=random, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        found, wanted = network(slices), by_hand(network.state_dict(), slices, config.blocks)
    assert wanted.std() > 0.1  # something to compare
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(256, 256), (64, 96)])
def test_slices_come_out_in_the_size_they_went_in_and_within_minus_one_and_one(rows: int, columns: int) -> None:
    network = Generator(NARROW).eval()
    slices = torch.rand(2, 1, rows, columns, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(100)  # far beyond what tanh leaves
        answer = network(slices)
    assert answer.shape == slices.shape
    assert answer.dtype == torch.float32
    assert -1 <= answer.min() < -0.9
    assert 0.9 < answer.max() <= 1


def test_a_slice_is_answered_alike_alone_and_in_a_batch() -> None:
    network = untrained(NARROW).eval()
    slices = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        together, alone = network(slices), torch.cat([network(one[None]) for one in slices])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_every_layer_s_weights_are_drawn_from_a_normal_distribution_of_0_02(full_size: Generator) -> None:
    for convolution in convolutions(full_size):
        weights = convolution.weight.detach().double()
        n = weights.numel()
        assert abs(float(weights.mean())) < SIGMAS * 0.02 / n**0.5
        assert abs(float(weights.std()) - 0.02) < SIGMAS * 0.02 / (2 * n) ** 0.5


def test_the_weights_have_the_tails_of_a_normal_distribution(full_size: Generator) -> None:
    weights = torch.cat([c.weight.detach().flatten() for c in convolutions(full_size)]).abs() / 0.02
    for sigmas, share in ((1, 0.31731), (2, 0.04550), (3, 0.00270)):
        error = (share * (1 - share) / len(weights)) ** 0.5
        assert abs(float((weights > sigmas).double().mean()) - share) < SIGMAS * error


def test_biases_begin_at_zero(full_size: Generator) -> None:
    assert all(c.bias is not None and not c.bias.any() for c in convolutions(full_size))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, again, other = (untrained(NARROW, seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one if name.endswith("weight"))


def test_the_weights_do_not_depend_on_the_global_random_state() -> None:
    torch.manual_seed(1)
    one = untrained(NARROW, seed=4).state_dict()
    torch.manual_seed(2)
    again = untrained(NARROW, seed=4).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
