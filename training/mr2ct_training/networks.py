"""The networks of a scheme, each with its optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mr2ct_training.config import TrainConfig
from mr2ct_training.generator import initialise

Network = Callable[[Tensor], Tensor]


class Networks:
    """Networks by name, initialised from the config's seed, each with an Adam of its own.

    One Adam a network equals one Adam over several: it treats every weight alone.
    """

    def __init__(self, modules: Mapping[str, nn.Module], config: TrainConfig, device: torch.device) -> None:
        random = torch.Generator().manual_seed(config.seed)
        self.modules: dict[str, nn.Module] = {}
        for name, module in modules.items():
            initialise(module, random)
            # not channels_last: InstanceNorm's backward is wrong there at batch 1, see benchmarks/LOG.md
            self.modules[name] = module.to(device)
        self._run: dict[str, Network] = {
            name: torch.compile(module) if config.compile else module for name, module in self.modules.items()
        }
        self.optimisers = {
            name: torch.optim.Adam(
                module.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True
            )
            for name, module in self.modules.items()
        }

    def __getitem__(self, name: str) -> Network:
        """The network, to be called."""
        return self._run[name]

    def set_learning_rate(self, rate: float) -> None:
        """For every optimiser."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimisers by name."""
        return {
            name: {"weights": module.state_dict(), "optimiser": self.optimisers[name].state_dict()}
            for name, module in self.modules.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where state_dict left off. Raises KeyError or RuntimeError for another architecture."""
        if set(state) != set(self.modules):
            raise KeyError(f"networks {', '.join(sorted(state))} where {', '.join(sorted(self.modules))} are needed")
        for name, module in self.modules.items():
            module.load_state_dict(state[name]["weights"])
            self.optimisers[name].load_state_dict(state[name]["optimiser"])


@contextmanager
def frozen(*networks: Network) -> Iterator[None]:
    """Gradients flow through the networks, none into their weights."""
    weights = [weight for network in networks if isinstance(network, nn.Module) for weight in network.parameters()]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def both(judge: Network, real: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
    """One pass of a discriminator over real and synthetic slices together; InstanceNorm keeps slices apart."""
    patches = judge(torch.cat([real, synthetic]))
    return patches[: len(real)], patches[len(real) :]
