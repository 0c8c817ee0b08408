"""What a training says while it runs: a bar, a JSON line, TensorBoard."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mr2ct.stages import peak_memory_bytes
from mr2ct_training.config import TrainConfig
from mr2ct_training.processes import mean
from mr2ct_training.state import Position
from mr2ct_training.validation import Measured

LOG = "log.jsonl"
Lines = list[tuple[int, int, dict[str, float]]]


class Progress:
    """Collects losses on the device and tells them in batches, so that a GPU is not waited for at every step."""

    def __init__(self, out: Path, config: TrainConfig, fabric: Fabric, steps: int, start: Position) -> None:
        self.config, self.fabric, self.steps = config, fabric, steps
        self.first = fabric.global_rank == 0
        self._kept: list[tuple[Position, dict[str, Tensor]]] = []
        self._since = time.perf_counter()
        if self.first:
            out.mkdir(parents=True, exist_ok=True)
            self._log = (out / LOG).open("a", encoding="utf-8")
            self._board = SummaryWriter(str(out))
            self._bar = tqdm(
                total=config.epochs * steps, initial=start.count(steps), unit="step", disable=None, smoothing=0.05
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.first:
            self._bar.close()
            self._board.close()
            self._log.close()

    def note(self, position: Position, losses: dict[str, Tensor]) -> None:
        """Keep a step's losses, scalars on the device, until the next flush."""
        self._kept.append((position, losses))

    def flush(self) -> Lines:
        """Write the mean of the kept steps down; returns (epoch, step, losses) of each, the mean over processes."""
        if not self._kept:
            return []
        names = list(self._kept[0][1])
        values = torch.stack(
            [torch.stack([losses[name] for name in names]) for _, losses in self._kept]
        )  # steps, losses
        values = mean(values.float(), self.fabric).cpu()  # one that is NaN anywhere is NaN everywhere
        now = time.perf_counter()
        position, done = self._kept[-1][0], len(self._kept)
        pairs_per_second = done * self.config.batch / (now - self._since)
        lines = [
            (kept.epoch, kept.step, dict(zip(names, line, strict=True)))
            for (kept, _), line in zip(self._kept, values.tolist(), strict=True)
        ]
        self._kept, self._since = [], now
        if self.first:
            step = position.count(self.steps)
            told = dict(zip(names, values.mean(dim=0).tolist(), strict=True))
            rate = self.config.learning_rate_of(position.epoch)
            peak = self._peak_bytes()
            self._write({"epoch": position.epoch, "step": step, "losses": told, "learning_rate": rate,
                         "pairs_per_second": pairs_per_second, "peak_memory_bytes": peak})  # fmt: skip
            for name, value in told.items():
                self._board.add_scalar(f"loss/{name}", value, step)
            self._board.add_scalar("learning_rate", rate, step)
            self._board.add_scalar("pairs_per_second", pairs_per_second, step)
            self._board.add_scalar("peak_memory_bytes", peak, step)
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix({name: f"{value:.3f}" for name, value in told.items()}, refresh=False)
        return lines

    def validated(self, epoch: int, measured: Measured, panels: dict[str, NDArray[np.uint8]]) -> None:
        """Write an epoch's validation down; panels: (rows, columns) uint8 by title."""
        if not self.first:
            return
        step = (epoch + 1) * self.steps
        figures = {name: value for name, value in asdict(measured).items() if value is not None}
        self._write({"epoch": epoch + 1, "step": step, "validation": figures})
        for name, value in figures.items():
            self._board.add_scalar(f"validation/{name}", value, step)
        for title, picture in panels.items():
            self._board.add_image(title, picture, step, dataformats="HW")
        self._since = time.perf_counter()

    def _write(self, line: dict[str, object]) -> None:
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    def _peak_bytes(self) -> int:
        if self.fabric.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return peak_memory_bytes() or 0
