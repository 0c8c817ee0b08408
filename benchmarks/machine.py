"""What every benchmark says of where it ran, and how it ends."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# What a benchmark writes itself is no change to what it measures.
MADE_HERE = ("benchmarks/results", "docs", "README.md")


def hardware() -> dict[str, Any]:
    """What ran it: processor, the cores this process may use, GPU if torch sees one."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # processes that ran or waited, of the last minute
    return {"cpu": cpu, "cores": cores, "gpu": gpu, "system": platform.platform(), "load_average": busy}


def commit(root: Path = ROOT) -> dict[str, Any]:
    """The commit that ran, and whether files differed from it; both None outside git."""
    try:
        name = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", ".", *(f":(exclude){place}" for place in MADE_HERE))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": name, "dirty": bool(changed)}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def installed(packages: Iterable[str]) -> Iterator[str]:
    """Those of some packages that are here."""
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            continue
        yield package


def ran(name: str, *packages: str) -> dict[str, Any]:
    """The head of a result: which benchmark, when, of which commit, on what, with which versions."""
    return {
        "benchmark": name,
        "date": date.today().isoformat(),
        **commit(),
        "hardware": hardware(),
        "versions": {package: version(package) for package in ("mr2ct", "numpy", "torch", *packages)},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and 95th percentile."""
    low, middle, high = np.percentile(values, (0, 50, 95))
    return {"min": float(low), "median": float(middle), "p95": float(high)}


def finish(result: dict[str, Any], save: str | None) -> None:
    """Write benchmarks/results/SAVE.json if asked to, and end in one line of JSON."""
    if save:
        (RESULTS / f"{save}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
