"""How many volumes an hour, at what price, and what is in the way: on paper, from the committed results.

    python benchmarks/capacity.py [--price NAME=EUR_PER_HOUR ...] [--save]

Per volume and row: seconds in the engine and of the host's own work around it (read, mask, gate, grid, back, write)
are measured; disk and network follow from bytes and assumed speeds. mr2ct-run and mr2ct-serve make one volume after
the other, so

    volumes an hour           = 3600 / (engine + host work)        an engine that is open already
    at most, if all overlaps  = 3600 / the longest of engine, host work, disk, network

and the longest one limits the row. Prices are placeholders; --price puts your own in, by the name in the first column
of the table of prices. Prints a table and ends in one line of JSON; --save also writes
benchmarks/results/capacity.json, which planning_tables.py makes the tables of docs/capacity.md from.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
NAME = "capacity"

# EUR an hour of a machine. Round numbers of nobody's list, to be replaced by the reader's own.
PRICES = {"cpu-2-cores": 0.10, "nvidia-h100": 3.00}

# A head as DICOM: 192 slices of 256 x 256 pixels, 2 bytes each, and 2 kB of header: 25.6 MB.
DICOM_BYTES = 192 * (256 * 256 * 2 + 2_000)
# The node writes the MR as it comes, reads it, writes the CT, reads it to send it.
DISK_PASSES = 4
DISK_BYTES_PER_SECOND = 500e6  # assumed: an SSD on SATA; a sync for every instance, which the node makes, is not in it
NETWORK_BYTES_PER_SECOND = 1e9 / 8  # assumed: 1 Gb/s both ways at once, MR in while the CT before it goes out

# of benchmarks/peers.py, beside the trips of latency-cpu.json; of benchmarks/gpu.py, which are devices of mr2ct-run
PEERS = ("pytorch-fp32", "onnxruntime-fp32", "mr2ct-openvino-fp32")
DEVICES = {"onnxruntime-cuda", "onnxruntime-rtx", "tensorrt", "tensorrt-rtx"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """Measured seconds of a volume in an engine.

    hardware: a name in PRICES or one like them.  slices: that went through.  memory_gib: resident peak, or GPU
    memory.  gpu: it leaves the host's cores free.  own: it is one of mr2ct's devices, not what else one could run.
    """

    title: str
    hardware: str
    hardware_title: str
    engine_seconds: float
    slices: int
    within_budget: bool
    memory_gib: float | None
    gpu: bool
    own: bool
    source: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--price", action="append", default=[], metavar="NAME=EUR_PER_HOUR", help="of a machine")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/capacity.json")
    arguments = parser.parse_args()
    try:
        prices = PRICES | dict(_price(one) for one in arguments.price)
    except ValueError as error:
        sys.exit(f"capacity.py: {error}")
    result = capacity(committed(), prices)
    print_table(result)
    if arguments.save:
        (RESULTS / f"{NAME}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


def _price(told: str) -> tuple[str, float]:
    name, _, euros = told.partition("=")
    try:
        price = float(euros)
    except ValueError:
        price = math.nan
    if not name or not 0 <= price < math.inf:
        raise ValueError(f"--price {told}: a name, =, and euros an hour, as in cpu-2-cores=0.10")
    return name, price


def committed() -> dict[str, Any]:
    """The results that capacity is made of, by name of their file."""
    names = ["latency-cpu", "peers-cpu", *sorted(path.stem for path in RESULTS.glob("gpu-*.json"))]
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in names}


def capacity(results: dict[str, Any], prices: dict[str, float]) -> dict[str, Any]:
    """Rows, slowest first, and what they are made of."""
    latency = results["latency-cpu"]
    fastest = min(_ran(latency["engines"]), key=lambda row: row["skipping_air"]["seconds"]["engine"]["p50"])
    host, cores = fastest["skipping_air"]["seconds_around_the_engine"]["p50"], latency["hardware"]["cores"]
    rows = [_row(timing, host, cores, prices) for timing in timings(results)]
    return {
        "benchmark": NAME,
        "results": sorted(results),
        "host_seconds": host,
        "host_cores": cores,
        "prices_eur_an_hour": prices,
        "dicom_bytes_each_way": DICOM_BYTES,
        "disk_passes": DISK_PASSES,
        "disk_bytes_per_second": DISK_BYTES_PER_SECOND,
        "network_bytes_per_second": NETWORK_BYTES_PER_SECOND,
        "rows": sorted(rows, key=lambda row: row["volumes_an_hour"]),
    }


def timings(results: dict[str, Any]) -> list[Timing]:
    """What was timed in which result: whole trips, peers beside them, and GPUs; rows that ran only."""
    found = []
    latency, peers = results["latency-cpu"], results["peers-cpu"]
    for row in _ran(latency["engines"]):
        trip, title = row["skipping_air"], f"mr2ct, {row['device']} {row['precision']}, air skipped"
        seconds, memory = trip["seconds"]["engine"]["p50"], trip["peak_memory_gib"]
        measured = (seconds, trip["slices"], row["within_budget"], memory)
        found.append(Timing(title, *_cpu(latency), *measured, gpu=False, own=True, source="latency-cpu"))
    for row in _ran(peers["peers"]):
        if row["name"] in PEERS:
            own = row["name"].startswith("mr2ct-")
            measured = (row["seconds_a_volume"]["p50"], peers["scaled_to"], row["within_budget"], row["memory_gib"])
            found.append(Timing(row["title"], *_cpu(peers), *measured, gpu=False, own=own, source="peers-cpu"))
    for name, result in results.items():
        for row in _ran(result["contenders"]) if name.startswith("gpu-") else ():
            gpu, title = result["gpu"]["name"], f"{row['title']}, {row['precision']}"
            hardware, own = "-".join(gpu.lower().split()[:2]), row["name"] in DEVICES
            measured = (row["host_to_host_ms"]["p50"] / 1e3, result["slices"], row["within_budget"], row["memory_gib"])
            found.append(Timing(title, hardware, gpu, *measured, gpu=True, own=own, source=name))
    return found


def _ran(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ran"]


def _cpu(result: dict[str, Any]) -> tuple[str, str]:
    hardware = result["hardware"]
    return f"cpu-{hardware['cores']}-cores", f"{hardware['cpu']}, {hardware['cores']} cores"


def _row(timing: Timing, host: float, cores: int, prices: dict[str, float]) -> Row:
    """host: seconds around the engine, of so many cores."""
    seconds = {
        "engine": timing.engine_seconds,
        "host work": host,
        "disk": DISK_PASSES * DICOM_BYTES / DISK_BYTES_PER_SECOND,
        "network": DICOM_BYTES / NETWORK_BYTES_PER_SECOND,
    }
    hourly = 3600 / (timing.engine_seconds + host)
    price = prices.get(timing.hardware)
    limit = max(seconds, key=lambda name: seconds[name])
    busy = math.ceil(host * cores / timing.engine_seconds) if timing.gpu else None
    return {
        "title": timing.title,
        "hardware": timing.hardware,
        "hardware_title": timing.hardware_title,
        "own": timing.own,
        "slices": timing.slices,
        "memory_gib": timing.memory_gib,
        "within_budget": timing.within_budget,
        "source": timing.source,
        "seconds": seconds,
        "volumes_an_hour": hourly,
        "eur_per_thousand_volumes": None if price is None else 1000 * price / hourly,
        "limit": limit,
        "volumes_an_hour_at_most": 3600 / seconds[limit] if timing.gpu else None,
        "host_cores_for_a_busy_gpu": busy,
        "note": _note(seconds, busy, cores),
    }


def _note(seconds: dict[str, float], busy: int | None, cores: int) -> str:
    """What a GPU's row has to say of its host; host work that overlaps a CPU's engine takes its cores from it."""
    if busy is None:
        return "the cores are busy: more of them"
    engine, host = seconds["engine"], seconds["host work"]
    kept = f"{busy} cores keep one GPU busy" if busy > 1 else "one core keeps it busy"
    if host > engine:
        return f"the GPU waits: the host works {host / engine:.1f} times as long on {cores} cores; {kept}"
    return f"the GPU is busy {engine / (engine + host):.0%} of the time; {kept}"


def print_table(result: dict[str, Any]) -> None:
    """A line a row of the result."""
    print(f"{'':<44}{'hardware':<14}{'engine':>8}{'host':>6}{'disk':>6}{'net':>6}{'an hour':>9}{'EUR/1000':>10}  limit")
    for row in result["rows"]:
        seconds, price = row["seconds"], row["eur_per_thousand_volumes"]
        print(
            f"{row['title']:<44}{row['hardware']:<14}{seconds['engine']:8.2f}{seconds['host work']:6.2f}"
            f"{seconds['disk']:6.2f}{seconds['network']:6.2f}{row['volumes_an_hour']:9.0f}"
            f"{'-' if price is None else f'{price:.2f}':>10}  {row['limit']}; {row['note']}"
            f"{'' if row['within_budget'] else '; outside its budget'}"
        )


if __name__ == "__main__":
    main()
