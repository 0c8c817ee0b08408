"""The one place that may choose what runs a model, and that proves it before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.errors import DeviceError, ModelError, OutputError
from mr2ct.gpu import Gpu, first_gpu
from mr2ct.machine_certificate import certify_here
from mr2ct.model import Model, graph_file
from mr2ct.tensorrt_flavour import open_flavour

# The graph a device takes by itself: the first of these that the model has. CPUs convolve in fp32: there fp16 is only
# slower. TensorRT is strongly typed, so for it fp16 is another graph too.
PREFERRED = {
    "tensorrt": ("fp16", "fp32"),
    "tensorrt-rtx": ("fp16", "fp32"),
    "onnxruntime-rtx": ("fp16", "fp32"),
    "cuda": ("fp16", "fp32"),
    "cpu": ("fp32", "fp16"),
}
DEVICES = ("auto", *sorted(PREFERRED))
PRECISIONS = ("auto", "fp32", "fp16")
FASTEST_FIRST = ("tensorrt", "tensorrt-rtx", "cuda")  # of the GPU; what "auto" tries before it takes the CPU

Say = Callable[[str], None]


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Choice:
    """A backend, the file of the model and the precision it runs, why these, and what proves them.

    certificate: of this machine where the engine runs on a GPU, else of the model's card; None only when it was asked
    for uncertified. A context manager: the end of the block closes the backend.
    """

    backend: Backend
    file: str
    precision: str
    why: str
    certificate: Certificate | None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.backend.close()


def choose_backend(
    model: Model,
    device: str = "auto",
    precision: str = "auto",
    *,
    uncertified: bool = False,
    say: Say = _silent,
) -> Choice:
    """Open the engine that was asked for, or for "auto" the fastest certified one that is here.

    device: one of DEVICES. precision: one of PRECISIONS. uncertified: also take a graph without a passing certificate.
    say: is told in a line what takes long, such as the build of an engine.
    Raises DeviceError when a named device is not here (no other one is taken instead), ModelError when the model has no
    certified graph of the precision or the engine is outside its budget on this machine, OutputError when an engine
    that is built cannot be kept.
    """
    if device not in DEVICES:
        raise DeviceError(f"device {device!r} is not known; known: {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise ModelError(f"precision {precision!r} is not known; known: {', '.join(PRECISIONS)}")
    if device != "auto":
        return _open(model, device, precision, "as asked", uncertified, say)
    try:
        first_gpu()
    except DeviceError as error:
        return _open(model, "cpu", precision, f"auto: {error}", uncertified, say)
    reasons: list[str] = []
    for gpu in FASTEST_FIRST:
        try:
            return _open(model, gpu, precision, "; ".join(["auto: the fastest here", *reasons]), uncertified, say)
        except (DeviceError, ModelError, OutputError) as error:
            reasons.append(f"not {gpu} ({error})")
            say(reasons[-1])
    return _open(model, "cpu", precision, f"auto: {'; '.join(reasons)}", uncertified, say)


def _open(model: Model, device: str, precision: str, why: str, uncertified: bool, say: Say) -> Choice:
    """Open one device with a graph that may be run, and prove it here where the card cannot speak for it."""
    taken = _certified(model, PREFERRED[device] if precision == "auto" else (precision,), uncertified)
    file = graph_file(taken)
    if device == "cpu":
        from mr2ct.onnxruntime_backend import OnnxruntimeBackend  # loads the engine; importing mr2ct stays light

        return Choice(OnnxruntimeBackend(model, file, device), file, taken, why, model.card.certificate(file))
    backend, made_of, gpu = _open_gpu(model, device, file, taken, say)
    certificate = None
    try:
        if not uncertified:
            certificate = certify_here(
                backend, model, file=file, precision=taken, made_of=made_of, hardware=str(gpu), say=say
            )
    except BaseException:
        backend.close()
        raise
    return Choice(backend, file, taken, why, certificate)


def _open_gpu(model: Model, device: str, file: str, precision: str, say: Say) -> tuple[Backend, str, Gpu]:
    """A backend on the first GPU, the sha256 of what it runs, and the GPU."""
    if device == "cuda":  # onnxruntime itself tells best what it lacks for it
        from mr2ct.onnxruntime_backend import OnnxruntimeBackend

        return OnnxruntimeBackend(model, file, device), model.card.files[file].sha256, first_gpu()
    gpu = first_gpu()  # without one there is no use in looking for TensorRT
    if device == "onnxruntime-rtx":
        from mr2ct.onnxruntime_backend import OnnxruntimeBackend

        return OnnxruntimeBackend(model, file, device), model.card.files[file].sha256, gpu
    from mr2ct.kept_kernels import KeptKernels
    from mr2ct.tensorrt_backend import TensorrtBackend
    from mr2ct.tensorrt_engine import engine_of

    flavour = open_flavour(device)
    engine, plan = engine_of(flavour, model, precision, say)
    kernels = None if flavour.builds_on_gpu else KeptKernels(engine.key, gpu)
    return TensorrtBackend(model, flavour, plan, gpu, say, kernels=kernels), engine.about["plan"]["sha256"], gpu


def _certified(model: Model, precisions: tuple[str, ...], uncertified: bool) -> str:
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
