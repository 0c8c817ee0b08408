"""The losses of the paper's equations 1 to 3, and of its paired baseline."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def least_squares(patches: Tensor, real: bool) -> Tensor:
    """Equations 1 and 2: the mean of (1 - Dis)^2 for real patches, of Dis^2 for synthetic ones. A scalar, fp32."""
    patches = _summable(patches)
    return ((patches - 1) ** 2 if real else patches**2).mean()


def cross_entropy(patches: Tensor, real: bool) -> Tensor:
    """The GAN loss of Isola et al., arXiv 1611.07004, equation 1, on logits. A scalar, fp32."""
    patches = _summable(patches)
    return functional.binary_cross_entropy_with_logits(patches, torch.full_like(patches, float(real)))


def discriminator(loss_on_real: Tensor, loss_on_synthetic: Tensor) -> Tensor:
    """Half the sum, which slows the discriminator down: both reference implementations do so (section 7.1 of
    arXiv 1703.10593, section 3.3 of arXiv 1611.07004)."""
    return (loss_on_real + loss_on_synthetic) / 2


def absolute(one: Tensor, other: Tensor) -> Tensor:
    """The L1 distance of equation 3, as a mean over pixels. A scalar, fp32."""
    return (_summable(one) - _summable(other)).abs().mean()


def _summable(image: Tensor) -> Tensor:
    """In at least fp32: half precision is for convolutions, not for sums over a slice."""
    return image.to(torch.promote_types(image.dtype, torch.float32))
