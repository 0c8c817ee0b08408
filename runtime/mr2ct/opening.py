"""How each device's engine is opened. Each loads only where it is asked for: importing mr2ct stays light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mr2ct.backend import Backend
from mr2ct.cpu import this_cpu
from mr2ct.errors import DeviceError, ModelError
from mr2ct.gpu import first_gpu
from mr2ct.model import Model, Way, graph_file
from mr2ct.slabs import allowed_threads
from mr2ct.triton_model import is_place, parse_place

Say = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """A backend that is ready, and what proves it.

    file: of the graph it came from.  made_of: sha256 of what runs, of the plan or of the graph.  hardware: what the
    backend has to be proved on, see mr2ct.machine_certificate; "" where the model's card speaks for it.  again: of a
    backend behind which the hardware may change: it is given what proves it, to call it then; its certificate is not
    kept, since nobody here can know that the hardware is the same.
    """

    backend: Backend
    file: str
    made_of: str
    hardware: str
    again: Callable[[Callable[[], object]], None] | None = None


def file_of(precision: str, way: Way = "mr_to_ct") -> str:
    """The graph that a precision is made from: bfloat16 is fp32's graph, computed in other numbers."""
    return graph_file("fp32" if precision == "bf16" else precision, way)


def open_device(model: Model, device: str, precision: str, threads: int | None, say: Say) -> Opened:
    """Open a device of mr2ct.choosing, or a Triton server, with a precision it can have.

    Raises DeviceError, ModelError, OutputError.
    """
    if file_of(precision, model.way) not in model.card.files:
        raise ModelError(f"{model.folder}: no {file_of(precision, model.way)}")
    opener = _triton if is_place(device) else _OPENERS[device]
    return opener(model, device, precision, threads, say)


def _onnxruntime(model: Model, device: str, precision: str, threads: int | None, say: Say) -> Opened:
    """The card's certificates of fp32 and fp16 are of onnxruntime on a CPU; int8 differs from CPU to CPU."""
    from mr2ct.onnxruntime_backend import OnnxruntimeBackend

    file = file_of(precision, model.way)
    if device == "onnxruntime-rtx":
        first_gpu()  # without one there is no use in looking for TensorRT; of CUDA onnxruntime itself tells best
    cores = None if threads is None else allowed_threads(threads, say)
    backend = OnnxruntimeBackend(model, file, device, threads=cores)
    hardware = str(first_gpu()) if device != "cpu" else str(this_cpu()) if precision == "int8" else ""
    return Opened(backend, file, model.card.files[file].sha256, hardware)


def _openvino(model: Model, _: str, precision: str, threads: int | None, say: Say) -> Opened:
    from mr2ct.openvino_backend import OpenvinoBackend

    file = file_of(precision, model.way)
    backend = OpenvinoBackend(model, file, precision, say=say, threads=threads)
    return Opened(backend, file, backend.made_of, str(this_cpu()))


def _tensorrt(model: Model, device: str, precision: str, _: int | None, say: Say) -> Opened:
    gpu = first_gpu()
    from mr2ct.cuda_device import load_pycuda
    from mr2ct.kept_kernels import KeptKernels
    from mr2ct.tensorrt_backend import TensorrtBackend
    from mr2ct.tensorrt_engine import engine_of
    from mr2ct.tensorrt_flavour import open_flavour

    flavour = open_flavour(device)
    load_pycuda()  # without it there is no use in a build, which can take minutes
    engine, plan = engine_of(flavour, model, precision, say)
    kernels = None if flavour.builds_on_gpu else KeptKernels(engine.key, gpu)
    backend = TensorrtBackend(model, flavour, plan, gpu, say, kernels=kernels)
    return Opened(backend, file_of(precision, model.way), engine.about["plan"]["sha256"], str(gpu))


def _triton(model: Model, device: str, precision: str, _threads: int | None, _say: Say) -> Opened:
    from mr2ct.triton_backend import TritonBackend

    try:
        place = parse_place(device)
    except ValueError as error:
        raise DeviceError(str(error)) from error
    backend = TritonBackend(model, precision, place)
    hardware = f"{backend.description} at {place}"
    return Opened(backend, file_of(precision, model.way), backend.made_of, hardware, backend.again)


_OPENERS: dict[str, Callable[[Model, str, str, int | None, Say], Opened]] = {
    "tensorrt": _tensorrt,
    "tensorrt-rtx": _tensorrt,
    "cuda": _onnxruntime,
    "onnxruntime-rtx": _onnxruntime,
    "openvino": _openvino,
    "cpu": _onnxruntime,
}
