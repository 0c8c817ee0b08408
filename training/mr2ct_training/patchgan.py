"""The paper's discriminators Dis_CT and Dis_MR (section 3.1), which are alike."""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = 64  # channels after the first convolution; C64-C128-C256-C512, Isola et al., arXiv 1611.07004, section 6.1.2
SLOPE = 0.2  # of the leaky ReLUs, the same place


class PatchGAN(nn.Module):
    """Is every overlapping 70 x 70 patch of a slice real or synthetic?

    (N, channels, H, W) in [-1, 1] to (N, 1, H/8 - 2, W/8 - 2) logits; 256 x 256 gives 30 x 30. channels: 1, or 2 for
    the conditional one of the paired baseline, which sees MR and CT. Convolutions of 4 x 4 keep their bias, as the
    reference implementation does with InstanceNorm; no norm after the first. 2,762,689 parameters, 2,763,713 with two
    channels.
    """

    def __init__(self, channels: int = 1, width: int = WIDTH) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            nn.Conv2d(channels, w, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE),
            *_conv_norm(w, 2 * w, stride=2),
            *_conv_norm(2 * w, 4 * w, stride=2),
            *_conv_norm(4 * w, 8 * w, stride=1),
            nn.Conv2d(8 * w, 1, 4, stride=1, padding=1),
        )  # fmt: skip

    def forward(self, slices: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 1, H/8 - 2, W/8 - 2)."""
        patches: Tensor = self.body(slices)
        return patches


def _conv_norm(channels: int, out: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(channels, out, 4, stride=stride, padding=1), nn.InstanceNorm2d(out), nn.LeakyReLU(SLOPE)
