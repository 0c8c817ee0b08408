"""What a run has to say: a line, a table, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mr2ct
from mr2ct.cycle import CycleCheck
from mr2ct.dicom.series import MrSeries
from mr2ct.gate.verdict import Verdict
from mr2ct.model import Model
from mr2ct.provenance import Provenance
from mr2ct.synthesis import SyntheticCT
from mr2ct.volume import Volume

WHAT_STAGES_DO = {
    "load": "open the model, start the engine",
    "read": "volume from disk",
    "mask": "find the head",
    "grid": "to the model's slices",
    "engine": "MR to CT",
    "back": "to the volume's grid, HU",
    "write": "volume to disk",
    "picture": "three planes to PNG",
}


@dataclass(frozen=True)
class Run:
    """A finished run: what went in, what came out, where it was put, seconds by stage, bytes at the peak.

    series: where the MR came from DICOM.  verdict: the gate's, None where the card has none.  cycle: None where it was
    not made.  provenance, output_sha256: hex, of what was read and written; None and "" where nobody asked.
    """

    source: Path
    target: Path
    mr: Volume
    model: Model
    result: SyntheticCT
    seconds: dict[str, float]
    peak_bytes: int | None
    series: MrSeries | None = None
    verdict: Verdict | None = None
    cycle: CycleCheck | None = None
    provenance: Provenance | None = None
    output_sha256: str = ""

    @property
    def slices_per_second(self) -> float:
        """Slices through the engine a second of engine time."""
        return self.result.slices / max(self.seconds["engine"], 1e-9)


def table(run: Run) -> str:
    """Seconds a stage, for people."""
    rows = [f"  {name:<8} {seconds:8.2f} s   {WHAT_STAGES_DO[name]}" for name, seconds in run.seconds.items()]
    memory = "" if run.peak_bytes is None else f", peak memory {run.peak_bytes / 2**30:.2f} GiB"
    total = f"  {'total':<8} {sum(run.seconds.values()):8.2f} s   {run.slices_per_second:.2f} slices a second{memory}"
    return "\n".join([*rows, total])


def remarks(run: Run) -> list[str]:
    """What a user should know of this run, a line each; empty for a trained model and a head that fits."""
    lines = list(run.mr.remarks)
    card = run.model.card
    if not card.trained:
        lines.append(f"the model {card.name!r} is {card.description}")
    if run.result.beyond:
        sides = ", ".join(f"{mm:.0f} mm {side}" for side, mm in run.result.beyond.items())
        lines.append(f"head beyond what the model sees, written as air: {sides}")
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
            "file": str(run.source),
            "size": run.mr.grid.size,
            "spacing_mm": run.mr.grid.spacing,
            "remarks": list(run.mr.remarks),
        },
        "output": {"file": str(run.target), "unit": "HU", "head_voxels": int(result.head.sum())},
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
            "precision": result.choice.precision,
            "why": result.choice.why,
        },
        "mr_limits": result.mr_limits,
        "beyond_mm": result.beyond,
        "slices": result.slices,
        "slices_of_air_skipped": result.skipped,
        "slices_per_second": run.slices_per_second,
        "seconds": run.seconds,
        "peak_memory_bytes": run.peak_bytes,
    }
