"""Did it get slower? Compares two results of one benchmark by ratios within each run, never by seconds.

    python benchmarks/compare.py OLD.json NEW.json [--tolerance 0.15]

Machines differ, and one machine differs from hour to hour; what an engine takes beside PyTorch eager, in turns in one
run, much less so. Exit code: 0 when no ratio got worse by more than the tolerance, 1 when one did, when what ran
before fails now, or when an error in HU left its budget, 2 when the results cannot be compared. What differs in
hardware, versions and options is told first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Result = dict[str, Any]
SETUP = ("hardware", "versions", "model")  # told when they differ
NOT_SETUP = ("load_average", "parameters")
FEW = 16  # slices; a call with fewer is too short to be compared
BROKEN = ("failed", "timed out", "stopped")  # "absent" may be the machine's doing


def main() -> None:
    arguments = _arguments()
    old, new = (_read(path) for path in (arguments.old, arguments.new))
    if old["benchmark"] != new["benchmark"]:
        _refuse(f"{arguments.old} is of {old['benchmark']}, {arguments.new} of {new['benchmark']}")
    for told in differences(old, new):
        print(told)
    before, after = RATIOS[old["benchmark"]](old), RATIOS[new["benchmark"]](new)
    worse = []
    for name, ratio in before.items():
        if name not in after:
            print(f"{name:<52}{ratio:9.3f}{'-':>9}")
            continue
        change = after[name] / ratio - 1
        flag = change > arguments.tolerance
        worse += [f"{name}: {change:+.0%}"] if flag else []
        print(f"{name:<52}{ratio:9.3f}{after[name]:9.3f}{change:+8.1%}{'  worse' if flag else ''}")
    if not set(before) & set(after):
        _refuse(f"{arguments.old} and {arguments.new} have no ratio in common")
    worse += broken(old, new)
    for told in worse:
        print(told, file=sys.stderr)
    sys.exit(1 if worse else 0)


def differences(old: Result, new: Result) -> list[str]:
    """A line for each fact of the machine, the versions and the model that is another."""
    return [
        f"{part} {key}: {of_old.get(key)} -> {of_new.get(key)}"
        for part in SETUP
        for of_old, of_new in [(old.get(part) or {}, new.get(part) or {})]
        for key in [*of_old, *(key for key in of_new if key not in of_old)]
        if key not in NOT_SETUP and of_old.get(key) != of_new.get(key)
    ]


def broken(old: Result, new: Result) -> list[str]:
    """A line for each row that ran and now fails, and for each that was within its budget in HU and is no longer."""
    after, lines = _rows(new), []
    for name, row in _rows(old).items():
        now = after.get(name)
        if now is None or row["status"] != "ran":
            continue
        if now["status"] in BROKEN:
            lines.append(f"{name}: {now['status']}: {now['reason']}")
        elif now["status"] == "ran" and row.get("within_budget") and now.get("within_budget") is False:
            lines.append(f"{name}: outside its budget in HU, where it was within: {now['error_hu']}")
    return lines


def _rows(result: Result) -> dict[str, Result]:
    rows = [row for key in ("engines", "peers", "contenders") for row in result.get(key, [])]
    return {row["name"]: row for row in rows}


def _ran(rows: list[Result]) -> list[Result]:
    return [row for row in rows if row["status"] == "ran"]


def latency(result: Result) -> dict[str, float]:
    """The engines, and all around them, in times of PyTorch eager; memory in times of PyTorch's."""
    eager, ratios = result["pytorch_eager_fp32"], {}
    seconds = eager["seconds_of_all_slices"]["p50"]
    for row in _ran(result["engines"]):
        for kind in ("skipping_air", "all_slices"):
            ratios[f"{row['name']}, {kind} / PyTorch eager"] = row[kind]["seconds"]["engine"]["p50"] / seconds
        around = row["skipping_air"]["seconds_around_the_engine"]["p50"]
        ratios[f"{row['name']}, around the engine / PyTorch eager"] = around / seconds
        if row["skipping_air"]["peak_memory_gib"] and eager["memory_gib"]:
            ratios[f"{row['name']}, memory / PyTorch eager"] = (
                row["skipping_air"]["peak_memory_gib"] / eager["memory_gib"]
            )
    return ratios


def peers(result: Result) -> dict[str, float]:
    """Every contender in times of PyTorch eager."""
    return {
        f"{row['name']} / PyTorch eager": 1 / row["speed_up_over_pytorch_eager"]
        for row in _ran(result["peers"])
        if row["speed_up_over_pytorch_eager"] is not None
    }


def scaling(result: Result) -> dict[str, float]:
    """Threads in times of one, slices at once in times of one, a slice of many in times of one of a few."""
    ratios = {}
    for row in _ran(result["engines"]):
        for key, axis, base in (("by_threads", "threads", 1), ("by_batch", "step", 1), ("by_slices", "slices", FEW)):
            points = {
                point[axis]: point["seconds"] / (point[axis] if axis == "slices" else 1) for point in _ran(row[key])
            }
            for value, seconds in points.items():
                if base in points and value > base:
                    ratios[f"{row['name']}, {value} {axis} / {base}"] = seconds / points[base]
    return ratios


def footprint(result: Result) -> dict[str, float]:
    """Starts in times of a Python that does nothing."""
    if result["status"] != "ran":
        return {}
    seconds = {**result["seconds"], "first slice": result["first_slice"].get("seconds")}
    bare = seconds.pop("python")["p50"]
    return {f"{name} / python": row["p50"] / bare for name, row in seconds.items() if row is not None}


def training(result: Result) -> dict[str, float]:
    """A step in times of the plain loop's."""
    return {
        f"{row['name']} / plain loop": 1 / row["speed_up_over_plain"]["median"]
        for row in result["variants"]
        if not row["plain"]
    }


def gpu(result: Result) -> dict[str, float]:
    """Every contender in times of PyTorch eager."""
    volumes = {row["name"]: row["host_to_host_ms"]["p50"] for row in _ran(result["contenders"])}
    eager = volumes.pop("pytorch", None)
    return {} if eager is None else {f"{name} / PyTorch eager": one / eager for name, one in volumes.items()}


RATIOS: dict[str, Callable[[Result], dict[str, float]]] = {
    "latency": latency,
    "peers": peers,
    "scaling": scaling,
    "footprint": footprint,
    "training": training,
    "gpu": gpu,
}


def _read(path: Path) -> Result:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        known = result["benchmark"] in RATIOS
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(f"{path}: not a result of a benchmark ({error})")
    if not known:
        _refuse(f"{path}: of {result['benchmark']}, which has no ratios; known: {', '.join(RATIOS)}")
    return dict(result)


def _refuse(reason: str) -> NoReturn:
    print(f"compare.py: {reason}", file=sys.stderr)
    sys.exit(2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a result that --save wrote")
    parser.add_argument("new", type=Path, help="another of the same benchmark")
    parser.add_argument("--tolerance", type=float, default=0.15, help="a ratio may grow by this share of itself")
    return parser.parse_args()


if __name__ == "__main__":
    main()
