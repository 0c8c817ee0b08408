"""Who races in benchmarks/gpu.py, and how each is opened. Nothing heavy is imported before its contender loads."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from contenders import Contender, InPieces, Job, Opener, Runner
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, graph_file

HALF = graph_file("fp16")


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
    Contender("tensorrt-rtx", "TensorRT-RTX", partial(_tensorrt, flavour="tensorrt-rtx"), keeps=True, swept=True),
    Contender(
        "tensorrt-rtx-no-graphs", "TensorRT-RTX, no CUDA graphs",
        partial(_tensorrt, flavour="tensorrt-rtx", cuda_graphs=False), keeps=True,
    ),
    Contender("tensorrt", "TensorRT", partial(_tensorrt, flavour="tensorrt"), keeps=True, swept=True),
)  # fmt: skip
BY_NAME = {contender.name: contender for contender in CONTENDERS}
