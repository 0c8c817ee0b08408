"""What a training is told, with the reason for every default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Scheme = Literal["unpaired", "paired"]
Precision = Literal["fp32", "bf16-mixed", "fp16-mixed"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training does; saved in its checkpoints. The defaults are the paper's."""

    scheme: Scheme = "unpaired"  # section 3; "paired" is its baseline, section 4
    seed: int = 0  # of weights, sampling, crops and pools
    epochs_flat: int = 100  # section 4: 100 epochs with a fixed learning rate
    epochs_linear: int = 100  # section 4: and 100 in which it was linearly reduced to zero
    learning_rate: float = 0.0002  # section 4
    beta1: float = 0.5  # Adam; Zhu et al. and Isola et al. train their GANs with momentum 0.5, not Adam's 0.9
    beta2: float = 0.999  # Adam's own default
    batch: int = 1  # slices of each modality a step, all processes together; 1 in both reference implementations
    cycle_weight: float = 10.0  # lambda, section 4
    identity_weight: float = 0.0  # of the cycle weight; the reference code's option has 0.5, the paper's equations none
    paired_weight: float = 100.0  # of the L1 loss of the paired baseline, Isola et al., section 3.3
    anchor_weight: float = 0.0  # of the L1 loss on aligned pairs beside an unpaired training; the paper has none
    augment: bool = False  # augmentation.py, for few heads; the paper's is the crop alone
    pool_size: int = 50  # earlier synthetic slices, Zhu et al., section 4; the paired baseline has none
    pad: int = 286  # section 4: padded to 286 x 286, then a random 256 x 256 is cut out; 256 or less: no augmentation
    width: int = 64  # channels of the generators' first convolution, Zhu et al., section 7.2
    blocks: int = 9  # residual blocks, section 3.1
    discriminator_width: int = 64  # Isola et al., section 6.1.2
    steps_per_epoch: int = 0  # 0: as many as the larger of the two modalities has slices, as the reference code does
    precision: Precision = "fp32"  # mixed: convolutions in half precision, weights and optimisers in fp32
    compile: bool = False  # torch.compile of the networks; pays on a GPU after minutes of compiling

    def __post_init__(self) -> None:
        """Raises ValueError for settings that exclude each other."""
        if self.scheme == "paired" and self.anchor_weight:
            raise ValueError("the paired scheme learns from pairs alone; an anchor is for the unpaired one")

    @property
    def epochs(self) -> int:
        """All epochs."""
        return self.epochs_flat + self.epochs_linear

    @property
    def fabric_precision(self) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
        """The precision as Lightning's Fabric names it."""
        names: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]]
        names = {"fp32": "32-true", "bf16-mixed": "bf16-mixed", "fp16-mixed": "16-mixed"}
        return names[self.precision]

    def learning_rate_of(self, epoch: int) -> float:
        """Flat, then down in equal parts that would reach zero one epoch after the last; epoch counts from 0.

        The reference implementation's rule (its get_scheduler, "linear").
        """
        return self.learning_rate * (1 - max(0, epoch + 1 - self.epochs_flat) / (self.epochs_linear + 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Raises ValueError when a name is unknown, as from another version."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**values)
