"""onnxruntime's own quantisation of the fp32 graph, for benchmarks/peers.py: what its documentation advises for CNNs.

Static, QDQ, int8 on both sides, a scale for each channel of weights, ranges from the model's reference slices.
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contenders import InPieces, Job, Runner
from cpu_contenders import in_work
from mr2ct.errors import DeviceError
from plain_graph import PLAIN

try:
    import onnxruntime
except ImportError as error:
    raise DeviceError(f"needs onnxruntime ({error}): pip install 'mr2ct[cpu]'") from error

QUANTISED = "onnxruntime-int8.onnx"


class OwnInt8:
    """A session with its defaults; see mr2ct.backend.Backend."""

    batch = 1

    def __init__(self, graph: Path, name: str, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        if threads is not None:
            options.intra_op_num_threads = threads
        self._name = name
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.description = f"onnxruntime {onnxruntime.__version__}, its own static int8"

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run."""
        (answer,) = self._session.run(None, {self._name: batch})
        result: NDArray[np.float32] = answer
        return result

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""


def open_own_int8(job: Job) -> Runner:
    """Quantise in a process beside this one, whose memory is not counted, once; then open it."""
    quantised, name = in_work(job, QUANTISED), job.model.card.input_name
    if not quantised.exists():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(quantise, in_work(job, PLAIN), quantised, job.model.reference().mr, name).result()
    return InPieces(OwnInt8(quantised, name, job.threads), job.step)


def quantise(graph: Path, quantised: Path, slices: NDArray[np.float32], name: str) -> None:
    """Write a graph in int8. slices: to find the ranges by, (N, 1, rows, columns) float32 in [-1, 1]."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = [{name: one[np.newaxis]} for one in slices]

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return self._left.pop(0) if self._left else None

    prepared, partial = quantised.with_suffix(".prepared.onnx"), quantised.with_suffix(".partial.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(partial), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    partial.replace(quantised)
