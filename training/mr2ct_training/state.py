"""Everything a training needs to go on as if it had never stopped."""

from __future__ import annotations

import math
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric

import mr2ct
from mr2ct.gate.measured import Measured
from mr2ct_training.checkpoint import Checkpoint, CheckpointError, read_content, save_checkpoint
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import Dataset, Manifest, from_bytes
from mr2ct_training.generator import Generator
from mr2ct_training.processes import from_every_process, wait_for_all
from mr2ct_training.scheme import Scheme
from mr2ct_training.starting import Origin

REFERENCE_SLICES = 6  # kept for proving engines; see mr2ct_export.reference
LEAST_HEAD = 0.1  # of a slice's pixels


@dataclass(frozen=True)
class Position:
    """How far a training is: whole epochs done, steps done of the next, and the best validation score so far."""

    epoch: int = 0
    step: int = 0
    best: float = math.inf

    def count(self, steps: int) -> int:
        """All steps done, at so many an epoch."""
        return self.epoch * steps + self.step


def save_state(
    path: Path,
    position: Position,
    config: TrainConfig,
    dataset: Dataset,
    scheme: Scheme,
    scaler: torch.amp.GradScaler,
    fabric: Fabric,
    origin: Origin | None = None,
) -> None:
    """Write a checkpoint that mr2ct-export reads and a training resumes from; whole or not at all.

    Every process takes part: each has the pools of its own places in the batch. origin: where the training began, if
    not with random weights.
    """
    pools = {m: {place: pool.state_dict() for place, pool in own.items()} for m, own in scheme.pools.items()}
    gathered = from_every_process(pools, fabric)
    if fabric.global_rank == 0:
        manifest = dataset.manifest
        facts = {
            "state": "trained",
            "scheme": config.scheme,
            "epochs": position.epoch,
            "steps_into_epoch": position.step,
            "mr_patients": len({e.patient for e in manifest.of("mr", "train")}),
            "ct_patients": len({e.patient for e in manifest.of("ct", "train")}),
            "dataset_sha256": manifest.sha256,
            "config": config.to_dict(),
            "mr2ct_version": mr2ct.__version__,
            "commit": _commit(),
            "torch": str(torch.__version__),  # its own type is code to weights_only
        }
        if origin is not None:
            facts["started_from"] = origin.to_dict()
        state = {
            "position": asdict(position),
            "networks": scheme.networks.state_dict(),
            "pools": {m: {p: s for part in gathered for p, s in part[m].items()} for m in pools},
            "scaler": scaler.state_dict(),
            "config": config.to_dict(),
            "dataset_sha256": manifest.sha256,
        }
        generator, way_back = (scheme.networks.modules.get(name) for name in ("mr_to_ct", "ct_to_mr"))
        assert isinstance(generator, Generator) and isinstance(way_back, Generator | None)
        checkpoint = Checkpoint(
            generator,
            manifest.mr_window,
            manifest.ct_window_hu,
            facts,
            {"name": path.parent.name},
            _reference(dataset),
            manifest.slices,
            way_back,  # the paired scheme has none
            _measured(manifest),
        )
        save_checkpoint(checkpoint, path, state)
    wait_for_all(fabric)


def load_state(
    path: Path, config: TrainConfig, dataset: Dataset, scheme: Scheme, scaler: torch.amp.GradScaler, fabric: Fabric
) -> tuple[Position, Origin | None]:
    """Put a training back to where a checkpoint was written; that place, and where the training once began.

    Raises CheckpointError when it is not this training's.
    """
    content = read_content(path)
    state = content.get("state")
    if state is None:
        raise CheckpointError(f"{path}: holds a generator only, no training to resume")
    try:
        trained = TrainConfig.from_dict(state["config"]).to_dict()  # what is newer than it was at its default
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; from another version of mr2ct") from error
    changed = [name for name, value in config.to_dict().items() if trained[name] != value]
    if changed:
        raise CheckpointError(f"{path}: was trained with another {', '.join(changed)}; resume with the same settings")
    if state["dataset_sha256"] != dataset.manifest.sha256:
        raise CheckpointError(f"{path}: {dataset.folder} is not the data set it was trained on; it has changed since")
    try:
        scheme.networks.load_state_dict(state["networks"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: networks of another architecture ({error})".splitlines()[0]) from error
    for modality, own in scheme.pools.items():
        for place, pool in own.items():
            pool.load_state_dict(state["pools"][modality][place], fabric.device)
    scaler.load_state_dict(state["scaler"])
    began = content["training"].get("started_from")
    return Position(**state["position"]), None if began is None else Origin(**began)


def _reference(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor] | None:
    """MR slices of a validation patient and the head in them, so that an export can prove its graphs."""
    if not dataset.manifest.of("mr", "validation"):
        return None
    slices = dataset.slices("mr", "validation")
    full = [index for index in range(len(slices)) if slices.head(index).mean() >= LEAST_HEAD]
    if not full:
        return None
    taken = [full[place] for place in np.linspace(0, len(full) - 1, REFERENCE_SLICES).round().astype(int)]
    mr = from_bytes(np.stack([slices[index] for index in taken])[:, np.newaxis])
    return torch.from_numpy(mr), torch.from_numpy(np.stack([slices.head(index) for index in taken]))


def _measured(manifest: Manifest) -> tuple[Measured, ...]:
    """Every MR that is trained on; none where one of them was not measured."""
    measured = [entry.measured for entry in manifest.of("mr", "train")]
    known = tuple(one for one in measured if one is not None)
    return known if len(known) == len(measured) else ()


def _commit() -> str:
    """The git commit of the sources, "" where they are not in a checkout."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
