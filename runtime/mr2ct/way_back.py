"""The engine that maps a synthetic CT back to MR: the same folder's ct_to_mr, on the device that made the CT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mr2ct.backend import Backend
from mr2ct.choosing import QUALITIES, Choice, certified
from mr2ct.cycle_card import CycleCertificate
from mr2ct.cycle_certificate import BUDGETS_PERCENT, certify_way_back
from mr2ct.errors import DeviceError, ModelError, Mr2ctError, OutputError
from mr2ct.machine_certificate import Proved, kept_or_measured
from mr2ct.model import REFERENCE, Model
from mr2ct.opening import Opened, Say, open_device


@dataclass(frozen=True)
class WayBack:
    """A backend of ct_to_mr, its file and precision, and what proves it; None only when it was asked for uncertified.

    A context manager: the end of the block closes the backend.
    """

    backend: Backend
    file: str
    precision: str
    certificate: CycleCertificate | None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.backend.close()


def choose_way_back(
    model: Model,
    there: Choice,
    *,
    uncertified: bool = False,
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> WayBack:
    """Open ct_to_mr on the device that there runs on, or, where that cannot be, on onnxruntime's CPU, which is said.

    In fp32 where the way there is, else in the fastest precision of "standard" quality that the device has.
    uncertified: also take a graph without a passing certificate.  threads, say: see choose_backend.
    Raises ModelError when the folder has no ct_to_mr, or none that is certified; DeviceError when no engine is here.
    """
    back = model.way_back()
    wanted = ("fp32",) if there.precision == "fp32" else QUALITIES["standard"]
    if there.device != "cpu":
        try:
            return _first_that_runs(back, there.device, wanted, uncertified, threads, say)
        except (DeviceError, ModelError, OutputError) as error:
            say(f"the cycle check goes to onnxruntime on the CPU, not to {there.device} ({error})")
    return _first_that_runs(back, "cpu", wanted, uncertified, threads, say)


def _first_that_runs(
    back: Model, device: str, wanted: tuple[str, ...], uncertified: bool, threads: int | None, say: Say
) -> WayBack:
    errors: list[Mr2ctError] = []
    for precision in certified(back, device, wanted, uncertified):
        try:
            opened = open_device(back, device, precision, threads, say)
            return _proved(back, opened, precision, uncertified, say)
        except (DeviceError, ModelError) as error:  # no bfloat16 in this CPU, or outside of its budget here
            errors.append(error)
    raise errors[0]


def _proved(back: Model, opened: Opened, precision: str, uncertified: bool, say: Say) -> WayBack:
    """Prove what was opened here where the card cannot speak for it."""
    backend, file = opened.backend, opened.file
    facts = back.card.cycle
    certificate = None if facts is None else facts.certificate(file)
    if opened.hardware:
        certificate = None
        if not uncertified:
            try:
                certificate = _certify_here(back, opened, precision, say)
            except BaseException:
                backend.close()
                raise
    return WayBack(backend, file, precision, certificate)


def _certify_here(back: Model, opened: Opened, precision: str, say: Say) -> CycleCertificate:
    """The certificate of this machine, kept or measured now; see mr2ct.machine_certificate. Raises ModelError."""
    card, backend = back.card, opened.backend
    proved = Proved(
        backend.description, opened.made_of, precision, card.files[REFERENCE].sha256, card.ct_window_hu, opened.hardware
    )

    def measure() -> CycleCertificate:
        return certify_way_back(backend, back.reference(), file=opened.file, precision=precision)

    certificate = kept_or_measured(
        proved,
        measure,
        CycleCertificate,
        lambda kept: kept.budget_percent == BUDGETS_PERCENT[precision],
        f"proving {backend.description} equal to PyTorch on the way back too, over the model's reference slices",
        say,
        keep=opened.again is None,
    )
    if not certificate.passed:
        raise ModelError(f"{backend.description}: {outside_budget(certificate)}; --uncertified runs it all the same")
    return certificate


def outside_budget(certificate: CycleCertificate) -> str:
    """How far a certificate that failed is from its budget, for people."""
    limits = ", ".join(f"{name.removesuffix('_percent')} {most:g}" for name, most in certificate.budget_percent.items())
    return (
        f"{certificate.file} as {certificate.precision} is not equal to PyTorch: mean {certificate.mean_percent:.3g}, "
        f"p99_9 {certificate.p99_9_percent:.3g}, max {certificate.max_percent:.3g} %, where the budget is {limits} % "
        "of the MR window"
    )
