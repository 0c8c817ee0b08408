"""Who races in benchmarks/gpu.py, and how each is opened. Nothing heavy is imported before its contender loads.

A contender starts in two steps that are timed apart: load(device) imports its libraries and returns what opens it;
that takes a Job and returns a Runner, ready to run. What is not on this machine raises DeviceError in either step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, graph_file

HALF = graph_file("fp16")
SLICES, HEADS, EXPECTED, WEIGHTS = "slices.npy", "heads.npy", "expected.npy", "weights.pt"  # files that all are given


@dataclass(frozen=True)
class Job:
    """What every contender is given.

    model: its graphs.  weights: the same generator as a checkpoint, for PyTorch.  device: "cuda" or "cpu".  slices: of
    the volume.  step: slices at once, None for the contender's own; an engine is then tuned for as many.
    """

    model: Model
    weights: Path
    device: str
    slices: int
    step: int | None


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

    keeps: its second start finds what its first has built.
    """

    name: str
    title: str
    load: Callable[[str], Opener]
    precision: str = "fp16"
    keeps: bool = False


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


def _pytorch(_: str, **how: Any) -> Opener:
    from gpu_pytorch import open_half

    return partial(open_half, **how)


def _onnxruntime(device: str, *, provider: str, file: str = HALF) -> Opener:
    if provider != "cpu":
        _gpu(device)
    from mr2ct.onnxruntime_backend import OnnxruntimeBackend

    def opened(job: Job) -> Runner:
        return InPieces(OnnxruntimeBackend(job.model, _there(job.model, file), provider), job.step)

    return opened


def _tensorrt(device: str, *, flavour: str, cuda_graphs: bool = True) -> Opener:
    gpu = _gpu(device)
    from mr2ct.cuda_device import load_pycuda
    from mr2ct.kept_kernels import KeptKernels
    from mr2ct.tensorrt_backend import TensorrtBackend
    from mr2ct.tensorrt_builder import BuildOptions, build
    from mr2ct.tensorrt_engine import engine_of
    from mr2ct.tensorrt_flavour import open_flavour

    library = open_flavour(flavour)
    load_pycuda()

    def opened(job: Job) -> Runner:
        graph, kernels = _there(job.model, HALF), None
        if job.step is None:  # as mr2ct-run starts it
            engine, plan = engine_of(library, job.model, "fp16", _say)
            kernels = None if library.builds_on_gpu else KeptKernels(engine.key, gpu)
        else:
            most = job.model.card.max_batch
            options = BuildOptions(max_batch=most, opt_batch=min(job.step, most))
            plan = build(library, job.model.read(graph), options).plan
        return TensorrtBackend(
            job.model, library, plan, gpu, _say, step=job.step, kernels=kernels, cuda_graphs=cuda_graphs
        )

    return opened


def _gpu(device: str) -> Any:
    """The GPU. Raises DeviceError where there is none, or it is not to be used."""
    from mr2ct.gpu import first_gpu

    gpu = first_gpu()
    if device != "cuda":
        raise DeviceError(f"needs the GPU, and the {device.upper()} was asked for")
    return gpu


def _there(model: Model, file: str) -> str:
    if file not in model.card.files:
        raise ModelError(f"{model.folder}: no {file}; mr2ct-export --fp16 writes it when it is within its budget")
    return file


def _say(line: str) -> None:
    print(line, file=sys.stderr)


TENSORRT = ("tensorrt-rtx", "tensorrt")  # those whose slices at once are swept
CONTENDERS = (
    Contender("pytorch", "PyTorch eager", _pytorch),
    Contender("pytorch-channels-last", "PyTorch eager, channels last", partial(_pytorch, channels_last=True)),
    Contender("compile", "torch.compile", partial(_pytorch, compile_mode="default"), keeps=True),
    Contender(
        "compile-max", "torch.compile, max-autotune",
        partial(_pytorch, compile_mode="max-autotune-no-cudagraphs"), keeps=True,
    ),
    Contender("cuda-graphs", "PyTorch, CUDA graph", partial(_pytorch, cuda_graph=True)),
    Contender(
        "onnxruntime-cpu", "onnxruntime CPU",
        partial(_onnxruntime, provider="cpu", file=graph_file("fp32")), precision="fp32",
    ),
    Contender("onnxruntime-cuda", "onnxruntime CUDA", partial(_onnxruntime, provider="cuda")),
    Contender("onnxruntime-rtx", "onnxruntime TensorRT-RTX", partial(_onnxruntime, provider="onnxruntime-rtx")),
    Contender("tensorrt-rtx", "TensorRT-RTX", partial(_tensorrt, flavour="tensorrt-rtx"), keeps=True),
    Contender(
        "tensorrt-rtx-no-graphs", "TensorRT-RTX, no CUDA graphs",
        partial(_tensorrt, flavour="tensorrt-rtx", cuda_graphs=False), keeps=True,
    ),
    Contender("tensorrt", "TensorRT", partial(_tensorrt, flavour="tensorrt"), keeps=True),
)  # fmt: skip
BY_NAME = {contender.name: contender for contender in CONTENDERS}
