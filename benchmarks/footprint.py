"""What an installed mr2ct costs before it has done anything: disk, imports, memory, the way to the first slice.

    python benchmarks/footprint.py [--model FOLDER] [--head MR] [--repeats 10] [--save NAME]

Makes an environment in a temporary folder, installs the checkout with [cpu] and nothing else into it from PyPI, and
measures there. Sizes are of the files that each package's record names, compiled bytecode included. Starts are whole
processes, beside one of a Python that does nothing; the first slice is that of mr2ct-run --device auto with its proof
kept. Without PyPI it says so. Prints a table and ends in one line of JSON; --save NAME also writes it to
benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from alone import alone
from machine import ROOT, finish, ran
from mr2ct.engine_cache import VARIABLE
from summaries import percentiles

TRIP = Path(__file__).resolve().parent / "latency_trip.py"
TOP = 10
INSTALL_S, START_S = 900, 300
IDLE = """
import json
import mr2ct
status = open("/proc/self/status").read()
kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")}
print(json.dumps({"status": "ran", "gib": kilobytes["VmRSS"] / 2**20}))
"""


def main() -> None:
    arguments = _arguments()
    head = ran("footprint")
    with tempfile.TemporaryDirectory() as folder:
        result = {**head, "installed": "mr2ct[cpu]", **_measured(Path(folder), arguments)}
    print_table(result)
    finish(result, arguments.save)


def _measured(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, or {"status": "absent", "reason": ...} where it cannot be installed."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    started = time.perf_counter()
    reason = _install(python)
    if reason:
        return {"status": "absent", "reason": reason}
    seconds = time.perf_counter() - started
    sizes = sizes_by_package(site_packages(python))
    run = python.with_name("mr2ct-run")
    return {
        "status": "ran",
        "repeats": arguments.repeats,
        "install_seconds": seconds,
        "megabytes": sum(sizes.values()),
        "megabytes_by_package": sizes,
        "seconds": {
            "python": starts([str(python), "-c", ""], arguments.repeats),
            "import mr2ct": starts([str(python), "-c", "import mr2ct"], arguments.repeats),
            "mr2ct-run --help": starts([str(run), "--help"], arguments.repeats),
        },
        "first_slice": _first_slice(python, folder, arguments),
        "idle": alone([str(python), "-c", IDLE], START_S),
    }


def _install(python: Path) -> str:
    """Why the checkout cannot be installed, "" when it was."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[cpu]"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"pip was not done within {INSTALL_S} s"
    if done.returncode == 0:
        return ""
    said = [row.strip() for row in done.stderr.splitlines() if row.startswith("ERROR")]
    return f"pip cannot install it; is PyPI there? {said[-1] if said else f'exit code {done.returncode}'}"


def site_packages(python: Path) -> Path:
    """The folder an environment's packages are in."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def sizes_by_package(site: Path) -> dict[str, float]:
    """MB (10^6 bytes) on disk of each package in a folder, largest first; pip, which a venv has anyway, is left out."""
    sizes: dict[str, float] = {}
    for package in distributions(path=[str(site)]):
        places = {Path(str(file.locate())) for file in package.files or ()}
        sizes[package.name] = sum(place.stat().st_size for place in places if place.is_file()) / 1e6
    for tool in ("pip", "setuptools"):
        sizes.pop(tool, None)
    return dict(sorted(sizes.items(), key=lambda one: -one[1]))


def starts(command: Sequence[str], repeats: int) -> dict[str, float]:
    """Percentiles of the seconds that a process takes from its start to its end, after one that warms the disk."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=START_S)
        seconds.append(time.perf_counter() - started)
    return percentiles(seconds[1:])


def _first_slice(python: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of a process to its first slice; the proofs are kept from the trip before."""
    head = arguments.head
    if head is None:
        head = folder / "head.nii.gz"
        phantom = ROOT / "tests" / "phantom.py"
        subprocess.run([sys.executable, str(phantom), str(head)], check=True, stdout=subprocess.DEVNULL)
    model = [] if arguments.model is None else ["--model", str(arguments.model)]
    command = [
        str(python), str(TRIP), *model, "--head", str(head), "--out", str(folder / "ct.nii.gz"),
        "--device", "auto", "--precision", "auto", "--first-slice",
    ]  # fmt: skip
    trips = []
    for more in (["--error"], *([] for _ in range(arguments.repeats))):
        trip = alone([*command, *more, "--started", repr(time.time())], START_S, {VARIABLE: str(folder / "cache")})
        if trip["status"] != "ran":
            return trip
        trips.append(trip)
    first, *warm = trips
    told = {key: first[key] for key in ("status", "engine", "precision", "error_hu", "within_budget")}
    return {**told, "seconds": percentiles([trip["first_slice_seconds"] for trip in warm])}


def print_table(result: dict[str, Any]) -> None:
    """Disk, then starts, then memory."""
    print(f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores; {result['installed']}")
    if result["status"] != "ran":
        print(f"{result['status']}: {result['reason']}")
        return
    print(f"{'installed':<24}{result['megabytes']:9.1f} MB")
    for name, megabytes in list(result["megabytes_by_package"].items())[:TOP]:
        print(f"  {name:<22}{megabytes:9.1f} MB")
    print(f"{'':<24}{'p50':>9}{'p90':>9}{'p99':>9}  seconds")
    first, idle = result["first_slice"], result["idle"]
    for name, row in {**result["seconds"], "first slice": first.get("seconds")}.items():
        if row is not None:
            print(f"{name:<24}{row['p50']:9.2f}{row['p90']:9.2f}{row['p99']:9.2f}")
    if first["status"] == "ran":
        print(f"first slice by {first['engine']}; {first['error_hu']['max']:.3f} HU at most from PyTorch fp32")
    else:
        print(f"first slice: {first['status']}: {first['reason']}")
    print(f"memory with mr2ct imported: {idle['gib'] * 1024:.0f} MiB" if idle["status"] == "ran" else idle["reason"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder; default: the one that comes with mr2ct")
    parser.add_argument("--head", type=Path, help="an MR; default: a drawn one")
    parser.add_argument("--repeats", type=int, default=10, help="starts of each kind")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
