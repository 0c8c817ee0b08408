"""The training loop: load, step, log, validate, save."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

import mr2ct
from mr2ct_training.augmentation import varied
from mr2ct_training.config import TrainConfig
from mr2ct_training.cyclegan import CycleGAN
from mr2ct_training.dataset import Dataset
from mr2ct_training.paired import Paired
from mr2ct_training.processes import any_process, average_gradients, of_the_first, refuse_differences
from mr2ct_training.progress import Progress
from mr2ct_training.sampling import AnchorSampler, PairedSampler, UnpairedSampler, without_pairs
from mr2ct_training.scheme import Scheme
from mr2ct_training.starting import begin
from mr2ct_training.state import Position, load_state, save_state
from mr2ct_training.validation import Validation


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite; one line that names the step."""


class StoppedError(Exception):
    """Asked to stop from outside; the state is saved."""


@dataclass(frozen=True)
class Rhythm:
    """How often, in steps: a line in the log, a checkpoint. Validation and pictures come with the end of an epoch."""

    log_every: int = 20
    save_every: int = 1000


def train(
    config: TrainConfig,
    dataset: Dataset,
    out: Path,
    fabric: Fabric,
    *,
    rhythm: Rhythm = Rhythm(),
    resume: bool = False,
    start_from: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train, or go on with a training, until the config's last epoch; returns the last checkpoint.

    Raises DivergedError, StoppedError, CheckpointError, DatasetError; with several processes, each of which calls this,
    ProcessLostError and DifferenceError. Everything random follows from the config's seed and the position, so an
    interrupted CPU run that is resumed ends with the same weights, bit for bit. start_from: a checkpoint whose
    generators it begins with; not looked at with resume, where the last checkpoint has them and knows of it.
    """
    world, rank = fabric.world_size, fabric.global_rank
    if config.batch % world:
        raise ValueError(f"a batch of {config.batch} does not spread evenly over {world} processes")
    share = config.batch // world
    places = range(rank * share, (rank + 1) * share)
    scheme, sampler, anchors = _scheme_and_samplers(config, dataset, fabric.device, places)
    validation = Validation(dataset)
    scaler = torch.amp.GradScaler(fabric.device.type, enabled=config.precision == "fp16-mixed")
    position, origin, given = Position(), None, out / "last.ckpt" if resume else start_from
    if resume:
        position, origin = load_state(out / "last.ckpt", config, dataset, scheme, scaler, fabric)
    elif start_from is not None:
        origin = begin(start_from, config, dataset.manifest, scheme)
    refuse_differences(_facts(config, dataset, fabric, given), fabric)
    progress = Progress(out, config, fabric, sampler.steps, position)

    def save(name: str, position: Position) -> None:
        save_state(out / name, position, config, dataset, scheme, scaler, fabric, origin)

    def update(loss: Tensor, *names: str) -> None:
        optimisers = [scheme.networks.optimisers[name] for name in names]
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(scaler.scale(loss))
        average_gradients(optimisers, fabric)
        for optimiser in optimisers:
            scaler.step(optimiser)

    with progress:
        for epoch in range(position.epoch, config.epochs):
            scheme.networks.set_learning_rate(config.learning_rate_of(epoch))
            for step in range(position.step if epoch == position.epoch else 0, sampler.steps):
                mr, ct = _there(sampler.batch(epoch, step, places), fabric.device)
                pairs = _there(anchors.batch(epoch, step, places), fabric.device) if anchors else None
                if config.augment:
                    mr, ct = varied((mr, ct), config.seed, (epoch, step), places, alike=config.scheme == "paired")
                    pairs = pairs and varied(pairs, config.seed, (epoch, step), places, alike=True)
                with fabric.autocast():
                    losses = scheme.step(mr, ct, (epoch, step), update, pairs)
                scaler.update()
                here = Position(epoch, step + 1, position.best)
                progress.note(here, losses)
                stop = any_process(asked_to_stop(), fabric)
                if stop or here.count(sampler.steps) % rhythm.log_every == 0:
                    _refuse_nan(progress.flush(), out)
                if stop or here.count(sampler.steps) % rhythm.save_every == 0:
                    _refuse_nan(progress.flush(), out)
                    save("last.ckpt", here)
                if stop:
                    raise StoppedError(
                        f"{out / 'last.ckpt'} keeps epoch {epoch}, step {step + 1}; --resume goes on from there"
                    )
            _refuse_nan(progress.flush(), out)
            measured = of_the_first(validation.measure(scheme, fabric), fabric)  # GPUs may differ in the last bits
            progress.validated(epoch, measured, validation.panels(scheme, fabric))
            better = measured.score < position.best
            position = Position(epoch + 1, 0, min(measured.score, position.best))
            save("last.ckpt", position)
            if better:
                save("best.ckpt", position)
    return out / "last.ckpt"


def _facts(config: TrainConfig, dataset: Dataset, fabric: Fabric, checkpoint: Path | None) -> dict[str, str]:
    """What all processes of a training must have alike."""
    facts = {
        "setting": str(config.to_dict()),
        "data set": dataset.manifest.sha256,
        "kind of device": fabric.device.type,
        "version of mr2ct or torch": f"{mr2ct.__version__}, {torch.__version__}",
    }
    if checkpoint is not None and fabric.world_size > 1:
        with checkpoint.open("rb") as file:
            facts["checkpoint"] = hashlib.file_digest(file, "sha256").hexdigest()
    return facts


def _scheme_and_samplers(
    config: TrainConfig, dataset: Dataset, device: torch.device, places: range
) -> tuple[Scheme, UnpairedSampler | PairedSampler, AnchorSampler | None]:
    mr, ct = dataset.slices("mr", "train"), dataset.slices("ct", "train")
    if config.scheme == "paired":
        return Paired(config, device, places), PairedSampler(config, mr, ct), None
    anchors = AnchorSampler(config, mr, ct) if config.anchor_weight else None
    mr, ct = without_pairs(mr, ct) if anchors else (mr, ct)
    return CycleGAN(config, device, places), UnpairedSampler(config, mr, ct), anchors


def _there(slices: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """On the device; a GPU takes them from pinned memory while it computes."""
    mr, ct = (one.pin_memory() if device.type == "cuda" else one for one in slices)
    return mr.to(device, non_blocking=True), ct.to(device, non_blocking=True)


def _refuse_nan(lines: list[tuple[int, int, dict[str, float]]], out: Path) -> None:
    """Raise DivergedError for the first step of a flushed log whose losses are not finite."""
    for epoch, step, losses in lines:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise DivergedError(
                f"epoch {epoch}, step {step}: {', '.join(bad)} became NaN or infinite; stopped, and "
                f"{out / 'last.ckpt'} is as it was before; try a lower learning rate or precision fp32"
            )
