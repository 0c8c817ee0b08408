"""What runs a model, and the one place that may choose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, graph_file

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "fp16")


class Backend(Protocol):
    """An engine that is ready to run. Construction loads, builds and checks; there is no other step.

    description: engine, version and device, for people. batch: slices a call it does best with.
    """

    description: str
    batch: int

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 1, rows, columns) float32 in [-1, 1] to the same shape, dtype and range; 1 <= N <= the card's max_batch.

        The result is a new array that the caller owns; the input is not kept and not changed.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """A backend, the file of the model and the precision it runs, and why these."""

    backend: Backend
    file: str
    precision: str
    why: str


def choose_backend(model: Model, device: str = "auto", precision: str = "auto", *, uncertified: bool = False) -> Choice:
    """Open the engine that was asked for, or for "auto" the fastest certified one that is here.

    device: one of DEVICES. precision: one of PRECISIONS. uncertified: also take a graph without a passing certificate.
    Raises DeviceError when a named device is not here (no other one is taken instead), ModelError when the model has no
    certified graph of the precision.
    """
    if device not in DEVICES:
        raise DeviceError(f"device {device!r} is not known; known: {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise ModelError(f"precision {precision!r} is not known; known: {', '.join(PRECISIONS)}")
    if device != "auto":
        return _open(model, device, precision, "as asked", uncertified=uncertified)
    from mr2ct.onnxruntime_backend import has_cuda

    if not has_cuda():
        return _open(model, "cpu", precision, "auto: onnxruntime was built without CUDA", uncertified=uncertified)
    try:
        return _open(model, "cuda", precision, "auto: an NVIDIA GPU is here", uncertified=uncertified)
    except DeviceError as error:
        return _open(model, "cpu", precision, f"auto: {error}", uncertified=uncertified)


def _open(model: Model, device: str, precision: str, why: str, *, uncertified: bool) -> Choice:
    from mr2ct.onnxruntime_backend import OnnxruntimeBackend  # loads the engine; importing mr2ct stays light

    # CPUs convolve in fp32: there fp16 is only slower
    preferred = ("fp16", "fp32") if device == "cuda" else ("fp32", "fp16")
    taken = _certified(model, preferred if precision == "auto" else (precision,), uncertified=uncertified)
    file = graph_file(taken)
    return Choice(OnnxruntimeBackend(model, file, device), file, taken, why)


def _certified(model: Model, precisions: tuple[str, ...], *, uncertified: bool) -> str:
    """The first of the precisions whose graph may be run."""
    there = [precision for precision in precisions if precision in model.precisions]
    if not there:
        raise ModelError(
            f"{model.folder}: no {' or '.join(precisions)} graph; it has {', '.join(model.precisions) or 'none'}; "
            "mr2ct-export --fp16 makes both"
        )
    for precision in there:
        if uncertified or model.card.certificate(graph_file(precision)):
            return precision
    raise ModelError(
        f"{model.folder}: {graph_file(there[0])} has no passing certificate; export it again, or --uncertified runs it "
        "all the same"
    )
