"""The generator in PyTorch on a CPU, for benchmarks/peers.py: eager or compiled, in fp32 or under autocast to bf16."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from contenders import InPieces, Job, Runner
from mr2ct_training.checkpoint import load_checkpoint


class PytorchOnCpu:
    """A network that is given numpy arrays; see mr2ct.backend.Backend."""

    batch = 1  # as pytorch-CycleGAN-and-pix2pix's test.py does

    def __init__(self, network: nn.Module, bf16: bool, description: str) -> None:
        self._network, self._bf16, self.description = network, bf16, description

    @torch.inference_mode()
    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run."""
        with torch.autocast("cpu", torch.bfloat16) if self._bf16 else nullcontext():
            answer = self._network(torch.from_numpy(batch))
        result: NDArray[np.float32] = answer.float().numpy()
        return result

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""


def open_pytorch(job: Job, *, bf16: bool, compiled: bool) -> Runner:
    """The generator as PyTorch's documentation runs it; compiled for slices of one shape before it returns."""
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    network: nn.Module = load_checkpoint(job.weights).mr_to_ct.eval()
    if compiled:
        made: Any = torch.compile(network, dynamic=False)
        network = made
    how = f"PyTorch {torch.__version__} {'compiled' if compiled else 'eager'}, {'autocast bf16' if bf16 else 'fp32'}"
    runner = InPieces(PytorchOnCpu(network, bf16, how), job.step)
    if compiled:
        slices = job.model.card.slices
        runner.run(np.full((runner.step, 1, slices.rows, slices.columns), -1, np.float32))
    return runner
