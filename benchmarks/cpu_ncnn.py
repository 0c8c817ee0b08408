"""ncnn, for benchmarks/peers.py: the generator traced by PyTorch, converted by pnnx, run with ncnn's defaults.

Not among mr2ct's extras: pip install ncnn pnnx.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contenders import InPieces, Job, Runner
from cpu_contenders import in_work
from mr2ct.errors import DeviceError, ModelError

try:
    import ncnn
except ImportError as error:
    raise DeviceError(f"needs ncnn ({error}): pip install ncnn pnnx") from error

TRACED, INPUT, OUTPUT = "traced.pt", "in0", "out0"  # pnnx's names of a graph's ends


class Ncnn:
    """A net that takes one slice after the other; see mr2ct.backend.Backend."""

    batch = 1

    def __init__(self, parameters: Path, weights: Path, threads: int | None) -> None:
        self._net = ncnn.Net()
        if threads is not None:
            self._net.opt.num_threads = threads
        if self._net.load_param(str(parameters)) != 0 or self._net.load_model(str(weights)) != 0:
            raise ModelError(f"{parameters}: ncnn cannot load it")
        self.description = f"ncnn {ncnn.__version__}, its defaults, fp32 weights"

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run."""
        answer = np.empty_like(batch)
        for index, one in enumerate(batch):
            extractor = self._net.create_extractor()
            extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(one)))
            code, found = extractor.extract(OUTPUT)
            if code != 0:
                raise DeviceError(f"{self.description}: code {code} on a slice")
            answer[index] = np.asarray(found)
        return answer

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""


def open_ncnn(job: Job) -> Runner:
    """Convert in a process beside this one, whose memory is not counted, once; then open it."""
    traced, slices = in_work(job, TRACED), job.model.card.slices
    parameters, weights = (traced.with_suffix(f".ncnn.{kind}") for kind in ("param", "bin"))
    if not weights.exists():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(convert, job.weights, traced, slices.rows, slices.columns).result()
    return InPieces(Ncnn(parameters, weights, job.threads), job.step)


def convert(checkpoint: Path, traced: Path, rows: int, columns: int) -> None:
    """Write traced.ncnn.param and traced.ncnn.bin beside the traced generator. Raises DeviceError without pnnx."""
    try:
        import pnnx
    except ImportError as error:
        raise DeviceError(f"needs pnnx ({error}): pip install ncnn pnnx") from error
    import torch

    from mr2ct_training.checkpoint import load_checkpoint

    network = load_checkpoint(checkpoint).mr_to_ct.eval()
    with torch.inference_mode():
        torch.jit.trace(network, torch.zeros(1, 1, rows, columns)).save(str(traced))
    pnnx.convert(str(traced), input_shapes=[[1, 1, rows, columns]], input_types=["f32"], fp16=False)
