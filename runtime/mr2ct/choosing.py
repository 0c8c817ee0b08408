"""The one place that may choose what runs a model, and that has it proved before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.errors import DeviceError, ModelError, Mr2ctError, OutputError
from mr2ct.gpu import first_gpu
from mr2ct.machine_certificate import certify_here
from mr2ct.model import Model
from mr2ct.opening import Say, file_of, open_device
from mr2ct.triton_model import is_place

# What a device can compute in, fastest first (benchmarks/results). CPUs convolve fp16 in fp32: there it is only slower.
RUNS = {
    "tensorrt": ("fp16", "fp32", "int8"),
    "tensorrt-rtx": ("fp16", "fp32", "int8"),
    "cuda": ("fp16", "fp32"),
    "onnxruntime-rtx": ("fp16", "fp32"),
    "openvino": ("int8", "bf16", "fp32"),
    "cpu": ("fp32", "fp16", "int8"),
}
SERVED = ("fp16", "fp32", "int8")  # on a Triton server, which has a GPU or should
DEVICES = ("auto", *sorted(RUNS))
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")
# How far from PyTorch fp32 the budgets of mr2ct.certificate let a run be: max 0.1 HU; mean 1, p99.9 20 HU; the same, on
# 8-bit numbers, whose worst voxels are farther out.
QUALITIES = {
    "exact": ("fp32",),
    "standard": ("fp32", "fp16", "bf16"),
    "fast": ("fp32", "fp16", "bf16", "int8"),
}
ON_GPU, ON_CPU = ("tensorrt", "tensorrt-rtx", "cuda"), ("openvino", "cpu")  # what "auto" tries, fastest first


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Choice:
    """A backend, the file of the model and the precision it runs, why these, what proves them, and its device.

    certificate: of this machine, or of the model's card where its engine is the card's own; None only when it was asked
    for uncertified. A context manager: the end of the block closes the backend.
    """

    backend: Backend
    file: str
    precision: str
    why: str
    certificate: Certificate | None
    device: str = "cpu"  # of DEVICES, the one that was taken, or a Triton server
    made_of: str = ""  # sha256 of what runs: of the plan, or of the graph and what was done to it

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
    quality: str = "standard",
    uncertified: bool = False,
    threads: int | None = None,
    say: Say = _silent,
) -> Choice:
    """Open the engine that was asked for, or for "auto" the fastest certified one that is here.

    device: one of DEVICES, or triton://HOST:PORT[/MODEL], a Triton server. precision: one of PRECISIONS. quality: of
    QUALITIES, what "auto" may take of precisions; a named precision is taken as it is. uncertified: also take a graph
    without a passing certificate. threads: cores for an engine on the CPU, None for all. say: is told in a line what
    takes long, such as the build of an engine.
    Raises DeviceError when a named device is not here (no other one is taken instead) or does not compute in the
    precision, ModelError when the model has no certified graph of the precision or the engine is outside its budget on
    this machine, OutputError when an engine that is built cannot be kept.
    """
    for kind, given, known in (("device", device, DEVICES), ("quality", quality, tuple(QUALITIES))):
        if given not in known and not (kind == "device" and is_place(given)):
            raise DeviceError(f"{kind} {given!r} is not known; known: {', '.join(known)}")
    if precision not in PRECISIONS:
        raise ModelError(f"precision {precision!r} is not known; known: {', '.join(PRECISIONS)}")
    wanted = QUALITIES[quality] if precision == "auto" else (precision,)

    def opened(named: str, why: str) -> Choice:
        return _first_that_runs(model, named, wanted, why, uncertified, threads, say)

    if device != "auto":
        return opened(device, "as asked")
    reasons: list[str] = []
    devices: tuple[str, ...] = (*ON_GPU, *ON_CPU)
    try:
        first_gpu()
    except DeviceError as error:
        reasons, devices = [str(error)], ON_CPU
    for named in devices[:-1]:
        try:
            return opened(named, "; ".join(["auto: the fastest here", *reasons]))
        except (DeviceError, ModelError, OutputError) as error:
            reasons.append(f"not {named} ({error})")
            if named in ON_GPU:
                say(reasons[-1])
    return opened(devices[-1], "; ".join(["auto", *reasons]))


def _first_that_runs(
    model: Model, device: str, wanted: tuple[str, ...], why: str, uncertified: bool, threads: int | None, say: Say
) -> Choice:
    """The fastest of the wanted precisions that the device has, the model has, and that is proved."""
    errors: list[Mr2ctError] = []
    for precision in certified(model, device, wanted, uncertified):
        try:
            return _proved(model, device, precision, why, uncertified, threads, say)
        except (DeviceError, ModelError) as error:  # the CPU has no bfloat16, or here it is outside its budget
            errors.append(error)
            if (device in ON_GPU or is_place(device)) and isinstance(error, DeviceError):
                break  # no precision helps where there is no GPU or server, or no room on it
    raise errors[0]


def _proved(
    model: Model, device: str, precision: str, why: str, uncertified: bool, threads: int | None, say: Say
) -> Choice:
    """Open a device, and prove it here where the card cannot speak for it."""
    opened = open_device(model, device, precision, threads, say)
    backend, file = opened.backend, opened.file
    if uncertified:
        of_card = None if opened.hardware else model.card.certificate(file)
        return Choice(backend, file, precision, why, of_card, device, opened.made_of)
    try:
        certificate = model.card.certificate(file)
        if opened.hardware:
            prove = partial(
                certify_here,
                backend,
                model,
                file=file,
                precision=precision,
                made_of=opened.made_of,
                hardware=opened.hardware,
                say=say,
                keep=opened.again is None,
            )
            certificate = prove()
            if opened.again is not None:
                opened.again(prove)
    except BaseException:
        backend.close()
        raise
    return Choice(backend, file, precision, why, certificate, device, opened.made_of)


def certified(model: Model, device: str, wanted: tuple[str, ...], uncertified: bool) -> list[str]:
    """Those of the wanted precisions that may be run, the device's fastest first.

    Raises DeviceError where the device computes in none of them, ModelError where the model has no certified graph.
    """
    runs = SERVED if is_place(device) else RUNS[device]
    able = [precision for precision in runs if precision in wanted]
    if not able:
        raise DeviceError(f"{device} does not compute in {' or '.join(wanted)}; it does in {', '.join(runs)}")
    there = [precision for precision in able if file_of(precision, model.way) in model.card.files]
    if not there:
        raise ModelError(
            f"{model.folder}: no {' or '.join(able)} graph; it has {', '.join(model.precisions) or 'none'}; "
            "mr2ct-export writes them"
        )
    proved = [precision for precision in there if uncertified or model.proves(file_of(precision, model.way))]
    if not proved:
        file = file_of(there[0], model.way)
        raise ModelError(
            f"{model.folder}: {file} has no passing certificate; export it again, or --uncertified runs it all the same"
        )
    return proved
