"""How much a generator computes, counted from its own layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn


def macs_a_slice(network: nn.Module, rows: int, columns: int) -> int:
    """Multiply-accumulates of all convolutions for one slice of rows x columns pixels; the rest is under 1 %.

    A convolution multiplies at each pixel of its output, a transposed one at each of its input. One slice goes through
    the network, which has to be on the CPU, to see the sizes.
    """
    counts: list[int] = []

    def note(transposed: bool, module: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)  # (out, in / groups, height, width), transposed (in, out / groups, ...)
        pixels = (given[0] if transposed else answer).shape[-2:].numel()
        counts.append(pixels * weight.numel())

    hooks = [
        module.register_forward_hook(partial(note, isinstance(module, nn.ConvTranspose2d)))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 1, rows, columns))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def parameters(network: nn.Module) -> int:
    """How many weights and biases a network has."""
    return sum(parameter.numel() for parameter in network.parameters())
