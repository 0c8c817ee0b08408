"""What a run has to say: a line, a table, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mr2ct
from mr2ct.cycle import CycleCheck
from mr2ct.gate.verdict import Verdict
from mr2ct.model import Model
from mr2ct.provenance import Provenance
from mr2ct.synthesis import SyntheticCT
from mr2ct.volume import Volume

if TYPE_CHECKING:  # a run without DICOM does not load pydicom
    from mr2ct.dicom.series import MrSeries

WHAT_STAGES_DO = {
    "load": "open the model, start the engine",
    "read": "volume from disk",
    "mask": "find the head",
    "gate": "is it what the model was trained on",
    "grid": "to the model's slices",
    "engine": "MR to CT",
    "cycle": "CT back to MR, the cycle check",
    "back": "to the volume's grid, HU",
    "write": "volume to disk",
    "picture": "three planes to PNG",
    "page": "the report",
}


@dataclass(frozen=True)
class Run:
    """A finished run: what went in, what came out, where it was put, seconds by stage and from start to end, bytes at
    the peak. series: the MR's, where DICOM was read. verdict: of the gate, None where the card has none. cycle: where
    it was asked for. output_sha256: of the file at target, or of a series' files, see mr2ct.hashing. origin: where
    source was copied from, "" where it is no copy.

    Reading, mask, gate and grid go on while the engine starts: stages sum up to more than total_seconds.
    """

    source: Path
    target: Path
    mr: Volume
    model: Model
    result: SyntheticCT
    seconds: dict[str, float]
    total_seconds: float
    peak_bytes: int | None
    provenance: Provenance
    output_sha256: str
    series: MrSeries | None = None
    verdict: Verdict | None = None
    cycle: CycleCheck | None = None
    origin: str = ""

    @property
    def mr_from(self) -> str:
        """Where the MR comes from, for people."""
        return self.origin or str(self.source)

    @property
    def slices_per_second(self) -> float:
        """Slices through the engine a second of engine time."""
        return self.result.slices / max(self.seconds["engine"], 1e-9)


def table(run: Run) -> str:
    """Seconds a stage, for people."""
    rows = [f"  {n:<8} {run.seconds[n]:8.2f} s   {told}" for n, told in WHAT_STAGES_DO.items() if n in run.seconds]
    memory = "" if run.peak_bytes is None else f", peak memory {run.peak_bytes / 2**30:.2f} GiB"
    total = f"  {'total':<8} {run.total_seconds:8.2f} s   {run.slices_per_second:.2f} slices a second{memory}"
    cycle = [] if run.cycle is None else [f"  {run.cycle.said}"]
    return "\n".join([*rows, total, *cycle])


def remarks(run: Run) -> list[str]:
    """What a user should know of this run, a line each; empty for a trained model and a head that fits."""
    lines = list(run.mr.remarks)
    card = run.model.card
    if not card.trained:
        lines.append(f"the model {card.name!r} is {card.description}")
    if run.result.beyond:
        sides = ", ".join(f"{mm:.0f} mm {side}" for side, mm in run.result.beyond.items())
        lines.append(f"head beyond what the model sees, written as air: {sides}")
    if run.verdict is None and card.trained:
        lines.append(f"the model {card.name!r} has no gate: nothing was asked of the MR but that a head is in it")
    lines += [f"OUTSIDE VALIDATED USE: {reason}" for reason in run.provenance.outside]
    if run.cycle is not None:
        lines += run.cycle.warnings
    if run.result.choice.certificate is None:
        lines.append(f"{run.result.choice.file} has NO certificate here: its HU may be anything")
    return lines


def as_json(run: Run) -> dict[str, Any]:
    """The run as JSON values; millimetres, seconds, bytes and HU."""
    card, result = run.model.card, run.result
    certificate = result.choice.certificate
    return {
        "mr2ct": mr2ct.__version__,
        "input": {
            "file": run.mr_from,
            "size": run.mr.grid.size,
            "spacing_mm": run.mr.grid.spacing,
            "remarks": list(run.mr.remarks),
            "sha256": run.provenance.input_sha256,
            "series": None if run.series is None else str(run.series.header.SeriesInstanceUID),
        },
        "output": {
            "file": str(run.target),
            "unit": "HU",
            "head_voxels": int(result.head.sum()),
            "sha256": run.output_sha256,
        },
        "model": {
            "folder": str(run.model.folder),
            "name": card.name,
            "version": card.version,
            "training": card.training,
            "file": result.choice.file,
            "sha256": card.files[result.choice.file].sha256,
            "certificate": None if certificate is None else asdict(certificate),
        },
        "engine": {
            "description": result.choice.backend.description,
            "sha256": run.provenance.engine_sha256,
            "precision": result.choice.precision,
            "why": result.choice.why,
        },
        "gate": None if run.verdict is None else {**asdict(run.verdict), "accepted": run.verdict.accepted},
        "cycle": None if run.cycle is None else run.cycle.as_json(),
        "mr_limits": result.mr_limits,
        "beyond_mm": result.beyond,
        "slices": result.slices,
        "slices_of_air_skipped": result.skipped,
        "slices_per_second": run.slices_per_second,
        "seconds": run.seconds,
        "total_seconds": run.total_seconds,
        "peak_memory_bytes": run.peak_bytes,
    }
