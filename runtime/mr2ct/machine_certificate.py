"""Is an engine equal to PyTorch on this machine? Proved once, over the model's reference slices, and kept.

The card's certificates are of the machine that exported the model. Another GPU, driver or CPU runs other kernels, so an
engine that is built or compiled here is proved here, before it makes its first volume. What was measured is kept beside
the engines (mr2ct.engine_cache) and looked at at every start: when anything that it depends on is another, it is
measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.certificate import BUDGETS_HU, certify
from mr2ct.cycle_card import CycleCertificate
from mr2ct.engine_cache import CERTIFICATE, cache_folder, make_cache_folder
from mr2ct.errors import ModelError, OutputError
from mr2ct.model import REFERENCE, Model
from mr2ct.writing import whole_or_not_at_all

SCHEMA = "mr2ct-certificate/1"
Proof = TypeVar("Proof", Certificate, CycleCertificate)


@dataclass(frozen=True)
class Proved:
    """All that a certificate of this machine depends on; another value of any field is another certificate.

    engine: engine, version and device, as Backend.description has them.  made_of: sha256 of the plan that runs, or of
    the graph where there is none.  hardware: the GPU and its driver, or the CPU.
    """

    engine: str
    made_of: str
    precision: str
    reference: str  # sha256 of reference.npz
    ct_window_hu: tuple[float, float]
    hardware: str

    @property
    def file_name(self) -> str:
        """<sha256 of all of them>.certificate"""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest() + CERTIFICATE


def certify_here(
    backend: Backend,
    model: Model,
    *,
    file: str,
    precision: str,
    made_of: str,
    hardware: str,
    say: Callable[[str], None],
    folder: Path | None = None,
    keep: bool = True,
) -> Certificate:
    """The certificate of an engine on this machine: the kept one, or one that is measured now and kept.

    file: the graph it came from.  made_of, hardware: see Proved.  say: is told in a line what takes time, and when the
    certificate cannot be kept.  folder: of the cache, None for the user's.  keep: False measures it in any case, for an
    engine whose hardware is not known here.
    Raises ModelError, with the errors in HU, when the engine is outside the budget of its precision; that is kept too,
    for nothing but another engine, driver or processor would mend it. Raises DeviceError when the engine fails.
    """
    card = model.card
    proved = Proved(
        backend.description, made_of, precision, card.files[REFERENCE].sha256, card.ct_window_hu, hardware
    )  # fmt: skip

    def measure() -> Certificate:
        return certify(backend, model.reference(), file=file, precision=precision, ct_window_hu=card.ct_window_hu)

    say_it = f"proving {backend.description} equal to PyTorch here, over the model's reference slices"
    certificate = kept_or_measured(
        proved, measure, Certificate, lambda kept: kept.budget_hu == BUDGETS_HU[precision], say_it, say, folder, keep
    )
    if not certificate.passed:
        raise ModelError(f"{backend.description}: {outside_budget(certificate)}; --uncertified runs it all the same")
    return certificate


def kept_or_measured(
    proved: Proved,
    measure: Callable[[], Proof],
    kind: type[Proof],
    in_force: Callable[[Proof], bool],
    say_it: str,
    say: Callable[[str], None],
    folder: Path | None = None,
    keep: bool = True,
) -> Proof:
    """A certificate of this machine, passed or not: the kept one, or what measure returns, which is kept.

    kind: of the certificate.  in_force: whether a kept one was held to today's budgets.  say_it: the line to say before
    anything is measured.  say, folder, keep: see certify_here.
    """
    kept_at = (cache_folder() if folder is None else folder) / proved.file_name
    certificate = _read(kept_at, proved, kind, in_force) if keep else None
    if certificate is None:
        say(say_it)
        certificate = measure()
        if not keep:
            return certificate
        try:
            _keep(kept_at, proved, certificate)
        except OutputError as error:
            say(f"the proof is not kept, and will be made again: {error}")
    return certificate


def outside_budget(certificate: Certificate) -> str:
    """How far a certificate that failed is from its budget, for people."""
    limits = ", ".join(f"{name.removesuffix('_hu')} {limit:g}" for name, limit in certificate.budget_hu.items())
    return (
        f"{certificate.file} as {certificate.precision} is not equal to PyTorch on this machine: mean "
        f"{certificate.mean_hu:.3g}, p99_9 {certificate.p99_9_hu:.3g}, max {certificate.max_hu:.3g} HU, where the "
        f"budget is {limits} HU"
    )


def _keep(kept_at: Path, proved: Proved, certificate: Certificate | CycleCertificate) -> None:
    """Write a certificate, whole. Raises OutputError."""
    about = {
        "schema": SCHEMA,
        "proved": asdict(proved),
        "passed": certificate.passed,
        "certificate": asdict(certificate),
    }
    make_cache_folder(kept_at.parent)
    with whole_or_not_at_all(kept_at, overwrite=True) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _read(kept_at: Path, proved: Proved, kind: type[Proof], in_force: Callable[[Proof], bool]) -> Proof | None:
    """The kept certificate, None when it is missing, damaged, of other facts, or held to other budgets than today's."""
    try:
        about = json.loads(kept_at.read_text(encoding="utf-8"))
        certificate = kind(**about["certificate"])
        same = about["schema"] == SCHEMA and about["proved"] == json.loads(json.dumps(asdict(proved)))
        holds = same and in_force(certificate) and certificate.passed is about["passed"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return certificate if holds else None
