"""Damaged volume files through the readers: each becomes a sound volume or one line that says why not.

    python benchmarks/fuzz_reading.py COUNT SEED [--keep FOLDER] [--save NAME]

Files of every format that is read, DICOM in every transfer syntax that can be made here, are damaged in ways that
follow from SEED alone: bits flipped, cut short, spliced, sizes and numbers made insane. A child process reads them,
with 5 s a file and 2 GiB beyond what it holds at its start. A crash, a hang, too much memory, another exception than
mr2ct's or a volume that is not finite or not on its grid is a failure; --keep FOLDER keeps those files. Ends in one
line of JSON; --save NAME also writes it to benchmarks/results/NAME.json. Exit code 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

LIMIT_S = 5.0
LIMIT_BYTES = 2 << 30


def main() -> None:
    if sys.argv[1:] == ["--child"]:
        child()
        return
    from fuzz_files import seeds
    from machine import finish, ran

    arguments = _arguments()
    head = ran("fuzz-reading", "pydicom", "SimpleITK")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        sound, absent = seeds(Path(name) / "sound")
        result = {**head, "count": arguments.count, "seed": arguments.seed, "absent": absent}
        result |= fuzz(sound, arguments.count, arguments.seed, Path(name) / "damaged", arguments.keep)
    result["seconds"] = time.perf_counter() - started
    finish(result, arguments.save)
    sys.exit(1 if result["failures"] else 0)


def fuzz(sound: list[Any], count: int, seed: int, folder: Path, keep: Path | None) -> dict[str, Any]:
    """Outcomes of `count` damaged files, by kind of file, and the failures."""
    from fuzz_files import damaged

    folder.mkdir()
    outcomes: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    failures, slowest = [], 0.0
    reader = Reader()
    for number in range(count):
        random = Random(seed * 1_000_003 + number)
        one = sound[number % len(sound)]
        alike = [other for other in sound if other.is_dicom == one.is_dicom]
        for path in folder.iterdir():
            path.unlink()
        for name, content in one.files.items():
            (folder / name).write_bytes(damaged(one, alike, random) if name == one.victim else content)
        begun = time.perf_counter()
        outcome, what = reader.read(folder if one.is_dicom else folder / one.victim)
        slowest = max(slowest, time.perf_counter() - begun)
        outcomes.setdefault(one.kind, Counter())[outcome] += 1
        if outcome == "refused":
            reasons[_without_numbers(what)] += 1
        if outcome == "failure":
            failures.append({"number": number, "kind": one.kind, "what": what})
            print(f"failure {number}: {one.kind}: {what}", file=sys.stderr, flush=True)
            if keep is not None:
                kept = keep / str(number)
                kept.mkdir(parents=True, exist_ok=True)
                for path in folder.iterdir():
                    (kept / path.name).write_bytes(path.read_bytes())
    reader.close()
    total: Counter[str] = sum(outcomes.values(), Counter())
    return {
        "limits": {"seconds": LIMIT_S, "bytes": LIMIT_BYTES},
        "volumes": total["volume"],
        "refused": total["refused"],
        "kinds_of_refusal": len(reasons),
        "by_kind": {kind: dict(counter) for kind, counter in sorted(outcomes.items())},
        "slowest_seconds": slowest,
        "peak_growth_bytes": reader.growth,
        "failures": failures,
    }


def _without_numbers(line: str) -> str:
    return re.sub(r"[-+0-9.a-fx]{1,}", "#", line)


class Reader:
    """A child process that reads, started anew after it has hung or crashed."""

    def __init__(self) -> None:
        self.growth = 0
        self._start()

    def read(self, path: Path) -> tuple[str, str]:
        """("volume", ""), ("refused", line) or ("failure", why)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, which shows below
            self.process.stdin.write(f"{path}\n".encode())
            self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
        line = self.process.stdout.readline() if ready else b""
        if line:
            answer = json.loads(line)
            self.growth = max(self.growth, answer["growth"])
            return answer["outcome"], answer["what"]
        hung = not ready
        if hung:
            self.process.kill()
        code = self.close()
        self._start()
        return "failure", f"no answer within {LIMIT_S:g} s" if hung else f"the process ended with {code}"

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("the reading process does not start")

    def close(self) -> int:
        """End the process; its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def child() -> None:
    """Read what is named line by line on standard input; one line of JSON each."""
    import warnings

    import SimpleITK as sitk

    from mr2ct.dicom.reading import read_mr_series
    from mr2ct.errors import Mr2ctError
    from mr2ct.reading import read_volume
    from mr2ct.stages import peak_memory_bytes

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    warnings.simplefilter("error")
    status = Path("/proc/self/status").read_text()
    held = int(re.search(r"VmSize:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_AS, (held + LIMIT_BYTES, held + LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = peak_memory_bytes() or 0
    print("ready", flush=True)
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        outcome, what = "volume", ""
        try:
            volume = read_mr_series(path).volume if path.is_dir() else read_volume(path)
            if why := unsound(volume):
                outcome, what = "failure", why
        except Mr2ctError as error:
            outcome, what = "refused", str(error)
            if not what.isprintable() or len(what) > 4000:
                outcome, what = "failure", f"not one line: {what!r}"
        except BaseException as error:
            outcome, what = "failure", f"{type(error).__name__}: {error}"
        answer = {
            "outcome": outcome,
            "what": what.replace(str(path), ""),
            "growth": (peak_memory_bytes() or 0) - before,
        }
        print(json.dumps(answer), flush=True)


def unsound(volume: Any) -> str:
    """Why a volume is none, or ""."""
    import numpy as np

    if volume.voxels.shape != volume.grid.shape or min(volume.voxels.shape) < 1:
        return f"shape {volume.voxels.shape} on a grid of {volume.grid.shape}"
    if volume.voxels.dtype.kind not in "iuf" or not np.isfinite(volume.voxels).all():
        return "voxels that are not finite"
    if not np.isfinite([*volume.grid.spacing, *volume.grid.origin]).all() or min(volume.grid.spacing) <= 0:
        return f"an impossible grid {volume.grid}"
    off = np.abs(volume.grid.axes.T @ volume.grid.axes - np.eye(3)).max()
    return "" if off < 1e-3 else f"axes {off:g} off right angles"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="damaged files")
    parser.add_argument("seed", type=int, help="what the damage follows from")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    parser.add_argument("--save", help="write the result to benchmarks/results/SAVE.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
