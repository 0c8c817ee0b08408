"""The generator in PyTorch, for benchmarks/gpu.py: in half precision, and in fp32 as what all are measured against."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contenders import Job
from mr2ct.errors import DeviceError
from mr2ct_training.checkpoint import load_checkpoint

STEP = 61  # slices at once, a third of the paper's 183: each piece has the same shape, and nothing is compiled twice
EXACT_STEP = 8  # of fp32, which is not in the race: little memory
# Side and dtype of the product for the peak, and how many of it: at 800 TFLOP/s 0.14 s, for the clocks to rise.
MATRIX = {"cuda": (8192, torch.float16, 100), "cpu": (512, torch.float32, 10)}


class PytorchBackend:
    """A network in half precision; see contenders.Runner.

    A volume goes up in one copy from pinned memory, through the network `step` slices at a time, and down in one copy:
    at 183 slices that is 2 x 48 MB, 2 ms at 50 GB/s.
    """

    def __init__(self, network: nn.Module, device: str, step: int, description: str, *, cuda_graph: bool) -> None:
        self.batch = self.step = step
        self.description = description
        self.gpu_seconds: float | None = None
        self._network, self._on, self._cuda_graph = network, torch.device(device), cuda_graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._up = self._down = self._given = self._answer = torch.empty(0)

    @torch.inference_mode()
    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run; any number of slices."""
        if len(batch) != len(self._up):
            self._prepare(batch.shape)
        timed = self._on.type == "cuda"
        self._up.copy_(torch.from_numpy(batch))
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if timed else []
        if timed:
            events[0].record()
        self._given.copy_(self._up, non_blocking=True)
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()
        self._down.copy_(self._answer, non_blocking=True)
        if timed:
            events[1].record()
            events[1].synchronize()
            self.gpu_seconds = events[0].elapsed_time(events[1]) / 1e3
        result: NDArray[np.float32] = self._down.numpy().copy()
        return result

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""
        self._graph = None
        self._up = self._down = self._given = self._answer = torch.empty(0)

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Buffers that never move, and the graph of a whole volume over them."""
        pinned = self._on.type == "cuda"
        self._up, self._down = (torch.empty(shape, pin_memory=pinned) for _ in range(2))
        self._given, self._answer = (torch.full(shape, -1.0, device=self._on) for _ in range(2))
        if not self._cuda_graph:
            return
        # https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture: warmed up on a stream beside
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                self._compute()
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._compute()

    def _compute(self) -> None:
        for start in range(0, len(self._given), self.step):
            piece = slice(start, start + self.step)
            self._answer[piece].copy_(self._network(self._given[piece].half()))


def open_half(
    job: Job, *, channels_last: bool = False, compile_mode: str | None = None, cuda_graph: bool = False
) -> PytorchBackend:
    """The generator in fp16, weights and activations, as torch runs it; compiled and captured before it returns."""
    if cuda_graph and job.device != "cuda":
        raise DeviceError("needs the GPU: CUDA graphs are its own")
    network: nn.Module = load_checkpoint(job.weights).mr_to_ct.half().to(job.device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = True
    if compile_mode is not None:
        compiled: Any = torch.compile(network, mode=compile_mode, dynamic=False)
        network = compiled
    step = min(STEP if job.step is None else job.step, job.slices)
    version = f"PyTorch {torch.__version__}, {torch.cuda.get_device_name() if job.device == 'cuda' else 'CPU'}"
    backend = PytorchBackend(network, job.device, step, version, cuda_graph=cuda_graph)
    if compile_mode is not None or cuda_graph:
        slices = job.model.card.slices
        backend.run(np.full((job.slices, 1, slices.rows, slices.columns), -1, np.float32))
    return backend


def exact(weights: Path, device: str, slices: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """What the generator makes of slices in fp32 without TF32, and in how many seconds, the copies included."""
    network = load_checkpoint(weights).mr_to_ct.to(device)
    answer, convolutions = np.empty_like(slices), torch.backends.cudnn.conv
    usual = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"  # by itself cuDNN takes TF32, which rounds as coarsely as fp16
    try:
        with torch.inference_mode():
            network(torch.from_numpy(slices[:EXACT_STEP]).to(device)).cpu()
            started = time.perf_counter()
            for start in range(0, len(slices), EXACT_STEP):
                piece = slice(start, start + EXACT_STEP)
                answer[piece] = network(torch.from_numpy(slices[piece]).to(device)).cpu().numpy()
            return answer, time.perf_counter() - started
    finally:
        convolutions.fp32_precision = usual


def matrix_peak(device: str) -> dict[str, Any]:
    """TFLOP/s of the best of several large matrix products: what the device's matrix units reach in practice."""
    side, dtype, products = MATRIX[device]
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = min(_seconds_of_product(one, other, device) for _ in range(products))
    return {
        "tflop_per_second": 2 * side**3 / seconds / 1e12,
        "product": f"{side} x {side} x {side} {str(dtype).removeprefix('torch.')}, best of {products}",
    }


def _seconds_of_product(one: Tensor, other: Tensor, device: str) -> float:
    if device == "cuda":
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        one @ other
        ended.record()
        ended.synchronize()
        return begun.elapsed_time(ended) / 1e3
    started = time.perf_counter()
    one @ other
    return time.perf_counter() - started
