"""An archive on a Ray cluster of this machine: volumes an hour with 1, 2 and 4 workers against one process.

    python benchmarks/archive_on_ray.py [--volumes 200] [--slabs 24] [--rounds 2] [--save archive-on-ray-cpu]

The same drawn heads by every way, in turns; the CTs are compared bit for bit with those of one process whose engine
has as many threads, on which bf16 sums depend. 200 small ones with an engine that does
nothing, and slabs with head-t1. The cluster runs before and after, so what is timed is a whole mr2ct-run --ray: Python,
joining, workers with their engines, volumes. Workers share the cores; 4 on 2 cores is more than there is room for. In
the last turn over the small ones a worker is killed (SIGKILL) after a tenth and the driver after a half, and a second
run does the rest. Memory: what the driver and the workers hold for themselves and share (Pss), every half second.
Prints a table and ends in one line of JSON. --save NAME also writes it to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from machine import finish, installed, ran, spread
from mr2ct.many.manifest import read_entries
from mr2ct.model import DEFAULT
from mr2ct.slabs import available_cores
from runtime.many.ray_clusters import cluster, wait_for, workers
from small_models import write_model
from throughput import MOST_S, RUN, SLAB, WHOLE, draw

WORKERS = (1, 2, 4)
DIFFERENT = 8  # heads, again and again
ONE = "one process"


def main() -> None:
    """See above."""
    arguments = _arguments()
    head = ran("archive_on_ray", *installed(("SimpleITK", "onnxruntime", "openvino", "ray", "pyarrow")))
    with tempfile.TemporaryDirectory() as name, cluster(max(WORKERS)) as address:
        folder = Path(name)
        small = _archive(folder / "small", WHOLE, arguments.volumes)
        slabs = _archive(folder / "slabs", SLAB, arguments.slabs)
        idle = str(write_model(folder / "model").folder)
        result = {
            **head,
            "kinds": [
                measured("an engine that does nothing, whole heads of 3 mm", small, idle, address, arguments.rounds),
                measured("head-t1, slabs of 12 slices", slabs, DEFAULT, address, arguments.rounds),
            ],
            "killed": killed(small, idle, address),
        }
    _print(result)
    finish(result, arguments.save)
    if not all(kind["bit_equal"] for kind in result["kinds"]) or not result["killed"]["bit_equal"]:
        sys.exit(1)


def measured(title: str, mr: Path, model: str, address: str, rounds: int) -> dict[str, Any]:
    """All ways over one archive, in turns, the order turned round from round to round."""
    ways: dict[str, list[str]] = {ONE: []}
    threads_of = {ONE: available_cores()}
    for count in WORKERS:
        threads = max(1, available_cores() // count)
        threads_of[f"Ray, {count} worker{'s' if count > 1 else ''}"] = threads
        ways[f"Ray, {count} worker{'s' if count > 1 else ''}"] = [
            "--ray", address, "--workers", str(count), "--threads", str(threads),
        ]  # fmt: skip
    out = mr.parent / f"{mr.name}-out"
    volumes = len(list(mr.iterdir()))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, list[float]] = {}
    made: dict[str, dict[str, str]] = {}
    alone: dict[int, dict[str, str]] = {}
    for threads in set(threads_of.values()):  # certificates and compiled graphs are kept from here on
        _turn(mr, out, model, ["--threads", str(threads)])
        alone[threads] = _shas(out)
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            seconds[name].append(_turn(mr, out, model, ways[name], memory.setdefault(name, [])))
            made[name] = _shas(out)
            engines = {entry.made.engine for entry in read_entries(out).values() if entry.made}
    baseline = seconds[ONE]
    return {
        "kind": title,
        "volumes": volumes,
        "rounds": rounds,
        "engines": sorted(engines),
        "bit_equal": all(one == alone[threads_of[name]] and len(one) == volumes for name, one in made.items()),
        "ways": [
            {
                "way": name,
                "seconds": values,
                "volumes_an_hour_fastest": 3600 * volumes / min(values),
                "times_one_process": spread([one / value for one, value in zip(baseline, values, strict=True)]),
                "times_one_process_fastest": min(baseline) / min(values),
                "gib_after_a_third": max(memory[name][len(memory[name]) // 4 : len(memory[name]) // 3 + 1]),
                "gib_in_the_last_tenth": max(memory[name][-(len(memory[name]) // 10 + 2) :]),
            }
            for name, values in seconds.items()
        ],
    }


def killed(mr: Path, model: str, address: str) -> dict[str, Any]:
    """A worker is killed after a tenth of the volumes, the driver after a half; another run does the rest."""
    out, volumes = mr.parent / "killed-out", len(list(mr.iterdir()))
    command = [*RUN, str(mr), "-o", str(out), "--model", model, "--force", "--ray", address, "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: _states(out)["done"] >= volumes // 10, process)
        os.kill(workers()[0], signal.SIGKILL)
        wait_for(lambda: _states(out)["done"] >= volumes // 2, process)
        process.kill()
    wait_for(lambda: workers() == [])
    before = _states(out)["done"]
    kept = {one.id for one in read_entries(out).values() if one.state == "done"}
    times = {name: (out / name).stat().st_mtime_ns for name in kept}
    _run([*command[len(RUN) :]])
    after, plain = _shas(out), mr.parent / "plain-out"
    _turn(mr, plain, model, [])
    return {
        "volumes": volumes,
        "done_when_the_driver_was_killed": before,
        "done_in_the_end": _states(out)["done"],
        "made_again": sum((out / name).stat().st_mtime_ns != time_ns for name, time_ns in times.items()),
        "left_half_written": len(list(out.rglob("*.partial"))),
        "bit_equal": after == _shas(plain),
    }


def _archive(folder: Path, grid: Any, volumes: int) -> Path:
    heads, mr = folder.with_name(f"{folder.name}-heads"), folder
    draw(heads, grid, DIFFERENT)
    mr.mkdir()
    for number in range(volumes):
        shutil.copyfile(heads / f"head{number % DIFFERENT:02}.nii.gz", mr / f"head{number:04}.nii.gz")
    return mr


def _turn(mr: Path, out: Path, model: str, more: list[str], memory: list[float] | None = None) -> float:
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    _run([str(mr), "-o", str(out), "--model", model, "--force", *more], memory)
    return time.perf_counter() - started


def _run(arguments: list[str], memory: list[float] | None = None) -> None:
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen([*RUN, *arguments], stdout=told, stderr=told)
        over = threading.Event()
        thread = threading.Thread(target=_watch, args=(process.pid, memory, over))
        if memory is not None:
            memory.clear()
            thread.start()
        code = process.wait(MOST_S)
        over.set()
        if memory is not None:
            thread.join()
        if code != 0:
            told.seek(0)
            sys.exit(f"archive_on_ray.py: {' '.join(arguments)}: exit code {code}: {told.read().decode()}")


def _watch(driver: int, memory: list[float], over: threading.Event) -> None:
    while not over.wait(0.5):
        memory.append(sum(_pss(process) for process in (driver, *workers())) / 2**30)


def _pss(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _states(out: Path) -> Counter[str]:
    return Counter(entry.state for entry in read_entries(out).values())


def _shas(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in out.rglob("*.nii.gz")}


def _print(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(f"{hardware['cpu']}, {hardware['cores']} cores")
    for kind in result["kinds"]:
        equal = "equal bit for bit" if kind["bit_equal"] else "NOT EQUAL"
        print(f"{kind['kind']}: {kind['volumes']} volumes, {', '.join(kind['engines'])}; CTs {equal}")
        for way in kind["ways"]:
            print(
                f"  {way['way']:<16}{way['volumes_an_hour_fastest']:8.0f} an hour"
                f"{way['times_one_process_fastest']:8.2f} x   {way['gib_after_a_third']:.2f} GiB after a third, "
                f"{way['gib_in_the_last_tenth']:.2f} at the end"
            )
    told = result["killed"]
    print(
        f"worker and driver killed at {told['done_when_the_driver_was_killed']} of {told['volumes']}: "
        f"{told['done_in_the_end']} done in the end, {told['made_again']} made again, "
        f"{told['left_half_written']} left half-written"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=200, help="small ones")
    parser.add_argument("--slabs", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
