"""What races in benchmarks/gpu.py and benchmarks/peers.py: what every contender is given, and what it has to do.

A contender starts in two steps that are timed apart: load(device) imports its libraries and returns what opens it;
that takes a Job and returns a Runner, ready to run. What is not on this machine raises DeviceError in either step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.errors import DeviceError
from mr2ct.model import Model

SLICES, HEADS, EXPECTED, WEIGHTS = "slices.npy", "heads.npy", "expected.npy", "weights.pt"  # files that all are given
HOW_TO_WRITE = {"fp16": "--fp16", "int8": "--int8 --calibration MR"}  # options of mr2ct-export, by precision


@dataclass(frozen=True)
class Job:
    """What every contender is given.

    model: its graphs.  weights: the same generator as a checkpoint, for PyTorch.  device: "cuda" or "cpu".  slices: of
    the volume.  step: slices at once, None for the contender's own; an engine is then tuned for as many.  threads:
    cores of the CPU, None for the contender's own.
    """

    model: Model
    weights: Path
    device: str
    slices: int
    step: int | None
    threads: int | None = None


class Runner(Backend, Protocol):
    """A backend that says how long a call took on the GPU.  step: slices at once."""

    step: int

    @property
    def gpu_seconds(self) -> float | None:
        """Of the last call, from its first copy up to its last copy down; None without CUDA events."""
        ...


Opener = Callable[[Job], Runner]


@dataclass(frozen=True)
class Contender:
    """name: for the command line and the JSON.  title: for people.  precision: of what it runs, for its budget in HU.

    keeps: its second start finds what its first has built.  swept: its slices at once are to be swept.
    """

    name: str
    title: str
    load: Callable[[str], Opener]
    precision: str = "fp16"
    keeps: bool = False
    swept: bool = False


class InPieces:
    """A backend of a few slices a call, given a whole volume, as mr2ct.synthesize does. It has no events to time by."""

    gpu_seconds = None

    def __init__(self, backend: Backend, step: int | None) -> None:
        self._backend, self.description = backend, backend.description
        self.batch = self.step = backend.batch if step is None else step

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run; any number of slices."""
        answer = np.empty_like(batch)
        for start in range(0, len(batch), self.step):
            piece = slice(start, start + self.step)
            answer[piece] = self._backend.run(batch[piece])
        return answer

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""
        self._backend.close()


def refuse_missing(model: Model, precision: str, file: str) -> None:
    """Raise DeviceError when the model has no such graph: its contender is absent, and the others run."""
    if file not in model.card.files:
        how = HOW_TO_WRITE.get(precision, "")
        raise DeviceError(f"the model has no {file}; mr2ct-export {how} writes it when it is within its budget")
