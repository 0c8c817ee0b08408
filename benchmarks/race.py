"""Contenders, one after the other or in turns, each in a process that starts from nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nvml
from alone import alone
from contenders import Contender
from summaries import percentiles

MEASURE = Path(__file__).resolve().parent / "measure.py"
LEAST_SECONDS = 5.0  # with less than this left nothing is started any more
# What keeps compiled code between two starts. Each contender gets folders of its own, which are empty at its first.
# (No blanks in their names: torch.compile's C++ commands break there, seen with torch 2.13.)
CACHES = ("MR2CT_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")

Row = dict[str, Any]


@dataclass
class Race:
    """A folder that inputs.prepare has filled, and how its contenders are run.

    model: its folder.  device: "cuda" or "cpu".  tflop: of a whole volume.  timeout: seconds of a process.
    within: seconds of all of them together.  repeats: timed calls of each.  options: more of measure.py's.
    """

    work: Path
    model: Path
    device: str
    tflop: float
    timeout: float
    within: float
    repeats: int
    options: tuple[str, ...] = ()
    peak: float | None = None  # TFLOP/s of a matrix product, once it is measured
    stopped: bool = False  # by Ctrl-C or SIGTERM: nothing is started any more
    _started: float = field(default_factory=time.monotonic)

    def exact(self) -> Row:
        """What all are measured against; to be run first."""
        row = self._process("exact", "exact")
        if row["status"] == "ran":
            self.peak = row["matrix_peak"]["tflop_per_second"]
        return row

    def contenders(self, racing: Sequence[Contender]) -> list[Row]:
        """A row each: what it does, or why it does not run."""
        rows = []
        for contender in racing:
            row = self._measured(contender)
            if row["status"] == "ran" and contender.keeps:
                again = self._process(contender.name, contender.name, "--start-only")
                row["second_start_seconds"] = again.get("cold_start_seconds")
            rows.append(row)
        return rows

    def in_turns(self, racing: Sequence[Contender], rounds: int) -> list[Row]:
        """A row each, of all rounds together, so that what disturbs the machine for a while disturbs all alike.

        Who does not run in the first round is not tried again; later rounds that fail are told and left out.
        """
        rows = self.contenders(racing)
        by_name = {row["name"]: row for row in rows if row["status"] == "ran"}
        for _ in range(rounds - 1):
            for again in self.contenders([one for one in racing if one.name in by_name]):
                if again["status"] == "ran":
                    _add(by_name[again["name"]], again)
        return rows

    def point(self, contender: Contender, *options: str) -> Row:
        """A row of one contender with more of measure.py's options."""
        row = self._process(contender.name, contender.name, *options)
        return {"name": contender.name, "title": contender.title, **row}

    def sweep(self, racing: Sequence[Contender], rows: Sequence[Row], steps: Sequence[int]) -> list[Row]:
        """A row for each that is to be swept and ran, and each number of slices at once: an engine tuned for it."""
        ran = {row["name"] for row in rows if row["status"] == "ran"}
        swept = [contender for contender in racing if contender.name in ran and contender.swept]
        return [{**self._measured(contender, step), "step": step} for contender in swept for step in steps]

    def _measured(self, contender: Contender, step: int | None = None) -> Row:
        told = contender.title if step is None else f"{contender.title}, {step} slices at once"
        more = () if step is None else ("--step", str(step))
        row = self._process(contender.name, contender.name + "".join(more), *more)
        row = {"name": contender.name, "title": contender.title, **row}
        if row["status"] == "ran":
            rate = self.tflop / (row["gpu_ms"]["p50"] / 1e3)
            row |= {"tflop_per_second": rate, "of_matrix_peak": None if self.peak is None else rate / self.peak}
            print(f"{told}: {row['gpu_ms']['p50']:.1f} ms", file=sys.stderr)
        else:
            print(f"{told}: {row['status']}: {row['reason']}", file=sys.stderr)
        return row

    def _process(self, name: str, cache: str, *more: str) -> Row:
        """What measure.py answers."""
        left = self.within - (time.monotonic() - self._started)
        if self.stopped:
            return {"status": "not run", "reason": "the run was stopped"}
        if left < LEAST_SECONDS:
            return {"status": "not run", "reason": f"the {self.within:.0f} s for all of them were up"}
        used = nvml.used_bytes() if self.device == "cuda" else None
        if used is not None:
            more = (*more, "--used-before", str(used))
        command = [
            sys.executable, str(MEASURE), name, "--work", str(self.work), "--model", str(self.model),
            "--device", self.device, "--repeats", str(self.repeats), "--started", repr(time.time()),
            *self.options, *more,
        ]  # fmt: skip
        caches = {variable: str(self.work / "kept" / cache / variable) for variable in CACHES}
        try:
            return alone(command, min(self.timeout, left), caches)
        except KeyboardInterrupt:
            self.stopped = True
            return {"status": "stopped", "reason": "the run was stopped"}


def _add(row: Row, again: Row) -> None:
    """The times of another round to those of a row; its start, the second, finds what the first has kept."""
    row["wall_seconds"] += again["wall_seconds"]
    row["runs"] = len(row["wall_seconds"])
    row["host_to_host_ms"] = percentiles([1e3 * second for second in row["wall_seconds"]])
    row.setdefault("second_start_seconds", again["cold_start_seconds"])
