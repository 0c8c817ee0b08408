"""OpenVINO on the CPU: a graph in fp32, in bfloat16, or in int8 and bfloat16.

In bfloat16 OpenVINO chooses itself what it rounds, by its hint, and everything between the image that is read and the
image that is made is rounded. Keeping norms, residual sums or the last convolutions in fp32 by Converts in the graph
takes 0.05 of 0.43 HU away and a fifth to a third more time (benchmarks/LOG.md).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mr2ct.cpu import BF16, this_cpu
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model
from mr2ct.openvino_compiling import DEVICE, compiled
from mr2ct.openvino_first_convolution import in_parts
from mr2ct.openvino_library import openvino
from mr2ct.slabs import allowed_threads

PRECISIONS = ("fp32", "bf16", "int8")
# LATENCY: all cores on one slice. THROUGHPUT: several slices at once, on some cores each.
# On two AMX cores they differ by less than the noise: bf16 0.18 and 0.16, int8 0.15 and 0.15 s a slice.
HINT = "LATENCY"
BATCHES_AHEAD = 4  # times the slices at once: in a batch of so many, cores wait at its end only

_BORING = ("Exception from ", "Check '", "FrontEnd API failed", "Summary:", "To facilitate ")


class OpenvinoBackend:
    """One graph of a model, compiled for this machine's CPU; see mr2ct.backend.Backend."""

    def __init__(
        self, model: Model, file: str, precision: str, *, say: Callable[[str], None], threads: int | None = None
    ) -> None:
        """file: of the fp32 graph for "fp32" and "bf16", of the int8 one for "int8". say: is told in a line what is not
        as it might be expected. threads: cores to use, None for all of them.

        In int8, what is not quantised runs as in bf16 where the CPU has that, else in fp32; the description says which.
        Raises DeviceError when the CPU has no bf16 and it was asked for, ModelError when the graph is not ours.
        """
        if precision not in PRECISIONS:
            raise DeviceError(f"openvino: precision {precision!r} is not known; known: {', '.join(PRECISIONS)}")
        self._requests: list[openvino.InferRequest] = []
        core = openvino.Core()
        bf16 = has_bf16(core)
        if precision == "bf16" and not bf16:
            raise DeviceError(f"openvino: {this_cpu()} computes no bfloat16; take fp32 or int8")
        if precision == "int8" and not this_cpu().fast_int8:
            say(f"int8 on {this_cpu()}: it has no 8-bit products that are known here, fp32 may be as fast")
        rounding = "bf16" if precision != "fp32" and bf16 else "f32"
        settings = {"PERFORMANCE_HINT": HINT, "INFERENCE_PRECISION_HINT": rounding}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(allowed_threads(threads, say))
        try:
            ready = compiled(
                core, model, file, precision=precision, rounding=rounding, settings=settings, say=say
            )  # fmt: skip
            self._in_parts = ready.what.in_parts
            at_once = int(ready.graph.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self._requests = [ready.graph.create_infer_request() for _ in range(at_once)]
        except ModelError:
            raise
        except Exception as error:  # OpenVINO has no base exception of its own
            raise ModelError(f"{model.folder / file}: OpenVINO cannot load it ({_reason(error)})") from error
        self._max_batch = model.card.max_batch
        self.batch = min(1 if at_once == 1 else BATCHES_AHEAD * at_once, self._max_batch)
        told = {"fp32": "fp32", "bf16": "bf16", "int8": "int8 and bf16" if bf16 else "int8 and fp32"}[precision]
        self.made_of = ready.what.made_of  # see mr2ct.opening.Opened
        self.description = f"OpenVINO {_version()}, CPU, {told}"

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run. Raises DeviceError when the engine fails, or when it is closed."""
        if not self._requests:
            raise DeviceError(f"{self.description}: closed; open it again")
        if not 1 <= len(batch) <= self._max_batch:
            raise DeviceError(f"{len(batch)} slices at once; this model takes 1 to {self._max_batch}")
        answer, at_once = np.empty_like(batch), len(self._requests)
        try:
            for index, one in enumerate(batch):
                request = self._requests[index % at_once]
                if index >= at_once:
                    answer[index - at_once] = _taken(request)
                image = one[np.newaxis]
                request.start_async([in_parts(image) if self._in_parts else image])
            for index in range(max(len(batch) - at_once, 0), len(batch)):
                answer[index] = _taken(self._requests[index % at_once])
        except BaseException as error:
            for request in self._requests:  # one that still computes would refuse the next batch
                with suppress(Exception):
                    request.wait()
            if not isinstance(error, Exception):
                raise
            raise DeviceError(f"{self.description}: failed on {len(batch)} slices ({_reason(error)})") from error
        return answer

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""
        self._requests = []


def has_bf16(core: openvino.Core) -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU, with the CPU's own instructions as far as these are known."""
    known = sys.platform != "linux" or any(feature in BF16 for feature in this_cpu().features)
    return known and "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def _taken(request: openvino.InferRequest) -> NDArray[np.float32]:
    """(1, rows, columns): what a request computed, in its own buffer until it is started again."""
    request.wait()
    result: NDArray[np.float32] = request.get_output_tensor().data[0]
    return result


def _version() -> str:
    return str(openvino.__version__).partition("-")[0]  # "2026.4.1-22982-e213a147257-releases/2026/4"


def _reason(error: Exception) -> str:
    """What OpenVINO's error says, on one line, without the places in its sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = " ".join(line for line in lines if line and not line.startswith(_BORING))
    return f"{told[:240]}..." if len(told) > 243 else told or type(error).__name__
