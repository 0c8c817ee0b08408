"""The paper's synthesis networks Syn_CT and Syn_MR (section 3.1), which are alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

INIT_STD = 0.02  # weights ~ N(0, 0.02), biases 0; Zhu et al., arXiv 1703.10593, section 7.1 and their init_weights


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of a generator.

    width: channels after the first convolution; 64 in the paper.  blocks: residual blocks; nine in the paper.
    """

    width: int = 64
    blocks: int = 9


class Generator(nn.Module):
    """One modality's slice to the other's: (N, 1, H, W) float32 in [-1, 1] to the same; H and W multiples of 4.

    c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-1 in the names of Johnson et al. (arXiv 1603.08155) and Zhu et al.:
    two strided convolutions, nine residual blocks, two fractionally strided convolutions; reflection padding,
    InstanceNorm without affine, tanh. Convolutions keep their bias, as the reference implementation does with
    InstanceNorm. 11,365,633 parameters at the paper's size.
    """

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.entry = nn.Sequential(Reflection(3), nn.Conv2d(1, w, 7), *_norm_relu(w))
        self.down = nn.Sequential(
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), *_norm_relu(2 * w),
            nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1), *_norm_relu(4 * w),
        )  # fmt: skip
        self.residual = nn.Sequential(*(ResidualBlock(4 * w) for _ in range(config.blocks)))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(4 * w, 2 * w, 3, stride=2, padding=1, output_padding=1), *_norm_relu(2 * w),
            nn.ConvTranspose2d(2 * w, w, 3, stride=2, padding=1, output_padding=1), *_norm_relu(w),
        )  # fmt: skip
        self.exit = nn.Sequential(Reflection(3), nn.Conv2d(w, 1, 7), nn.Tanh())

    def forward(self, slices: Tensor) -> Tensor:
        """(N, 1, H, W) in [-1, 1] -> (N, 1, H, W) in [-1, 1]."""
        image: Tensor = self.exit(self.up(self.residual(self.down(self.entry(slices)))))
        return image


class ResidualBlock(nn.Module):
    """x + two 3 x 3 convolutions of x; (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Reflection(1), nn.Conv2d(channels, channels, 3), *_norm_relu(channels),
            Reflection(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        change: Tensor = self.body(features)
        return features + change


class Reflection(nn.ReflectionPad2d):
    """Reflection padding that keeps half precision; (N, C, H, W) to (N, C, H + 2 n, W + 2 n).

    Autocast on a CPU pads in fp32 (docs.pytorch.org/docs/stable/amp.html, "CPU Ops that autocast to float32"), which
    turns every feature map there and back between two convolutions; padding computes nothing.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Any floating dtype, and the same comes out."""
        if features.dtype is torch.float32:
            return super().forward(features)
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features)


def _norm_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU()


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every convolution's weights from N(0, 0.02) and set its biases to 0, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, INIT_STD, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def untrained(config: GeneratorConfig = GeneratorConfig(), seed: int = 0) -> Generator:
    """A freshly initialised generator, the same for the same seed."""
    network = Generator(config)
    initialise(network, torch.Generator().manual_seed(seed))
    return network
