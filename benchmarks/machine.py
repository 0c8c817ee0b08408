"""What every benchmark says of where it ran, and how it ends."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).resolve().parent / "results"


def hardware() -> dict[str, Any]:
    """What ran it: processor, the cores this process may use, GPU if torch sees one."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": cpu, "cores": cores, "gpu": gpu, "system": platform.platform()}


def ran(name: str, *packages: str) -> dict[str, Any]:
    """The head of a result: which benchmark, when, on what, with which versions."""
    versions = {package: version(package) for package in ("mr2ct", "numpy", "torch", *packages)}
    return {"benchmark": name, "date": date.today().isoformat(), "hardware": hardware(), "versions": versions}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and 95th percentile."""
    low, middle, high = np.percentile(values, (0, 50, 95))
    return {"min": float(low), "median": float(middle), "p95": float(high)}


def finish(result: dict[str, Any], save: str | None) -> None:
    """Write benchmarks/results/SAVE.json if asked to, and end in one line of JSON."""
    if save:
        (RESULTS / f"{save}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
