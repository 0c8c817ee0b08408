"""The trips of benchmarks/latency.py: each a process, with a cache of engines and proofs of the benchmark's own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alone import alone
from mr2ct.engine_cache import VARIABLE
from rapl import Meter
from summaries import percentiles

TRIP = Path(__file__).resolve().parent / "latency_trip.py"
STARTS = 3  # up to the first slice, with what is kept
STAGES = ("read", "mask", "gate", "grid", "engine", "back", "write")  # what a volume takes once an engine is open
KINDS = {"skipping_air": (), "all_slices": ("--all-slices",)}

Row = dict[str, Any]


@dataclass(frozen=True)
class Engine:
    """A device and a precision of mr2ct.choosing."""

    device: str
    precision: str


@dataclass
class Trips:
    """What all trips have in common.

    work: a folder for what they write.  model: a model folder.  head: an MR.  timeout: seconds of a process.
    untrained: an engine outside its budget is run all the same.
    """

    work: Path
    model: Path
    head: Path
    timeout: float
    meter: Meter
    untrained: bool

    def started(self, name: str, engine: Engine) -> Row:
        """An engine's starts up to its first slice, nothing kept and then kept, and its error; or why it has none."""
        row: Row = {"name": name, "device": engine.device, "precision": engine.precision}
        first = self._trip(row, "--first-slice", "--error")
        if first["status"] == "failed" and self.untrained and "--uncertified" in first["reason"]:
            row["uncertified"] = True
            first = self._trip(row, "--first-slice", "--error")
        if first["status"] != "ran":
            print(f"{name}: {first['status']}: {first['reason']}", file=sys.stderr)
            return {**row, **first}
        warm = [self._trip(row, "--first-slice") for _ in range(STARTS)]
        told = {key: first[key] for key in ("status", "engine", "error_hu", "within_budget", "certificate")}
        seconds = [one["first_slice_seconds"] for one in warm if one["status"] == "ran"]
        starts = {"cache_empty": first["first_slice_seconds"], "cache_warm": percentiles(seconds) if seconds else None}
        return {**row, **told, "first_slice_seconds": starts, "trips": {kind: [] for kind in KINDS}}

    def add_turn(self, row: Row) -> None:
        """A trip of either kind for a row that ran."""
        if row["status"] != "ran":
            return
        for kind, options in KINDS.items():
            trip = self._trip(row, *options)
            if trip["status"] != "ran":
                row |= {"status": trip["status"], "reason": trip["reason"]}
                return
            row["trips"][kind].append(trip)
            print(f"{row['name']}, {kind}: {trip['seconds']['engine']:.2f} s in the engine", file=sys.stderr)

    def summed(self, row: Row) -> Row:
        """A row with its trips as percentiles."""
        trips = row.pop("trips", None)
        if row["status"] != "ran":
            return row
        return {**row, **{kind: _summed(trips[kind]) for kind in KINDS}}

    def _trip(self, row: Row, *options: str) -> Row:
        """What latency_trip.py answers, and the joules meanwhile."""
        command = [
            sys.executable, str(TRIP), "--model", str(self.model), "--head", str(self.head),
            "--out", str(self.work / "ct.nii.gz"), "--device", row["device"], "--precision", row["precision"],
            *(["--uncertified"] if row.get("uncertified") else []), *options,
        ]  # fmt: skip
        joules = self.meter.started()
        trip = alone(
            [*command, "--started", repr(time.time())], self.timeout, {VARIABLE: str(self.work / "kept" / row["name"])}
        )
        return {**trip, "joules": joules()}


def _summed(trips: list[Row]) -> Row:
    """Percentiles of every stage, of all but the engine, and of the process from its start to its last file."""
    stages = {name: [trip["seconds"].get(name, 0.0) for trip in trips] for name in STAGES}
    around = [sum(trip["seconds"].get(name, 0.0) for name in STAGES if name != "engine") for trip in trips]
    peaks = [trip["peak_memory_gib"] for trip in trips if trip["peak_memory_gib"] is not None]
    joules = [trip["joules"] for trip in trips if trip["joules"] is not None]
    return {
        "slices": trips[0]["slices"],
        "skipped": trips[0]["skipped"],
        "seconds": {name: percentiles(seconds) for name, seconds in stages.items()},
        "seconds_around_the_engine": percentiles(around),
        "seconds_of_the_process": percentiles([trip["all_seconds"] for trip in trips]),
        "peak_memory_gib": max(peaks) if peaks else None,
        "joules": percentiles(joules) if joules else None,
    }
