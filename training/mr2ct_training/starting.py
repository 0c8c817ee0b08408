"""A training that begins with the generators of another one's checkpoint instead of random weights."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from mr2ct_training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import Manifest
from mr2ct_training.generator import Generator
from mr2ct_training.scheme import Scheme


@dataclass(frozen=True)
class Origin:
    """Where a training began. name and sha256 of the file; networks: those taken from it, all else was random."""

    name: str
    sha256: str
    networks: list[str]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for a checkpoint's training facts."""
        return asdict(self)


def begin(path: Path, config: TrainConfig, manifest: Manifest, scheme: Scheme) -> Origin:
    """Put a checkpoint's mr_to_ct, and ct_to_mr where both have one, into a scheme; discriminators stay random.

    Raises CheckpointError, one line: no checkpoint of mr2ct-train, generators of another size, or other windows or
    slices than the data set's. Nothing of the scheme has changed then.
    """
    checkpoint = load_checkpoint(path)
    _refuse_another(path, checkpoint, config, manifest)
    found: dict[str, Generator | None] = {"mr_to_ct": checkpoint.mr_to_ct, "ct_to_mr": checkpoint.ct_to_mr}
    taken = []
    for name, generator in found.items():
        if generator is not None and name in scheme.networks.modules:
            scheme.networks.modules[name].load_state_dict(generator.state_dict())
            taken.append(name)
    with path.open("rb") as file:
        return Origin(path.name, hashlib.file_digest(file, "sha256").hexdigest(), taken)


def _refuse_another(path: Path, checkpoint: Checkpoint, config: TrainConfig, manifest: Manifest) -> None:
    size = checkpoint.mr_to_ct.config
    if (size.width, size.blocks) != (config.width, config.blocks):
        raise CheckpointError(
            f"{path}: its generator has width {size.width} and {size.blocks} blocks, not {config.width} and "
            f"{config.blocks}; --width {size.width} --blocks {size.blocks} starts from it"
        )
    for name, its, ours in (
        ("MR window", checkpoint.mr_window, manifest.mr_window),
        ("CT window in HU", tuple(checkpoint.ct_window_hu), tuple(manifest.ct_window_hu)),
        ("slice grid", checkpoint.slices, manifest.slices),
    ):
        if its != ours:
            raise CheckpointError(
                f"{path}: its {name} is {its}, the data set's {ours}; mr2ct-prepare with the same as it makes one to "
                "start from it with"
            )
