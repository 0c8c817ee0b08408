"""OpenVINO as a user would take it, for benchmarks/peers.py: the ONNX graph, read and compiled with its defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contenders import InPieces, Job, Runner
from cpu_contenders import in_work
from mr2ct.openvino_library import openvino
from plain_graph import PLAIN


class PlainOpenvino:
    """A compiled model that is called; see mr2ct.backend.Backend."""

    batch = 1

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        version = str(openvino.__version__).partition("-")[0]
        numbers = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()  # fp32 was given; this is computed
        self.description = f"OpenVINO {version}, its defaults, which compute in {numbers}"

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run."""
        result: NDArray[np.float32] = self._compiled(batch)[0].copy()
        return result

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""


def open_plain(job: Job) -> Runner:
    """openvino.Core().compile_model of the fp32 graph, without anything that mr2ct does to it."""
    settings = {} if job.threads is None else {"INFERENCE_NUM_THREADS": str(job.threads)}
    compiled = openvino.Core().compile_model(str(in_work(job, PLAIN)), "CPU", settings)
    return InPieces(PlainOpenvino(compiled), job.step)
