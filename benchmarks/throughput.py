"""Volumes an hour: one mr2ct-run over many volumes against a loop of mr2ct-run, a call a volume.

    python benchmarks/throughput.py [--volumes 12] [--rounds 3] [--only KIND ...] [--save throughput-cpu]

Every way is given the same drawn heads and does the same work: the CTs are compared bit for bit. Ways take turns, each
call is a process of its own, and certificates and compiled graphs are kept from a call before that is not timed. What
a run over many saves is the start of a process and of an engine, and the waiting of the engine for reading and writing
and of these for the engine. So the kinds differ in how much of a volume is the engine: the identity, where it is next
to nothing; head-t1 on a slab of few slices; head-t1 on whole heads, where it is nearly all and little is left to save.
Drawn heads are no patients and slabs no heads: the gate is overruled by --force in all of them.
The machine may be others' as well: the fastest turn of each way is told, and all of them are in the JSON.
Prints a table and ends in one line of JSON. --save NAME also writes it to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np

import phantom
from machine import finish, installed, ran, spread
from mr2ct.grid import Grid
from mr2ct.many.manifest import read_entries
from mr2ct.model import DEFAULT
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from small_models import write_model
from throughput_table import print_table

RUN = (sys.executable, "-c", "from mr2ct.cli import main; main()")
MOST_S = 900  # seconds of a process
DIFFERENT = 8  # heads of the measurement of memory, again and again
Commands = Callable[[Path, Path], list[list[str]]]  # of a folder of MRs and one for their CTs, without the options

WHOLE = phantom.grid_around((0, 0, 0), (64, 80, 78), (3.0, 3.0, 3.0), phantom.AXIAL)  # 163 slices of the model
SLAB = phantom.grid_around((0, 0, -10), (96, 96, 12), (2.7, 2.7, 1.0), phantom.SAGITTAL)  # 12


@dataclass(frozen=True)
class Kind:
    """What is run: a model, None for the identity; the grid of its heads; how many and how often, None for as asked."""

    title: str
    model: str | None
    grid: Grid
    volumes: int | None = None
    rounds: int | None = None


KINDS = {
    "identity": Kind("an engine that does nothing, whole heads of 3 mm", None, WHOLE),
    "slab": Kind("head-t1, slabs of 12 slices", DEFAULT, SLAB),
    "whole": Kind("head-t1, whole heads", DEFAULT, WHOLE, volumes=2, rounds=2),
}


def one_each(mr: Path, out: Path) -> list[list[str]]:
    """A call a volume, as a shell's loop has it."""
    return [[str(file), "-o", str(out / file.name.replace(".", "_sct.", 1))] for file in sorted(mr.iterdir())]


def one_for_all(mr: Path, out: Path) -> list[list[str]]:
    """One call."""
    return [[str(mr), "-o", str(out)]]


ONE_EACH, FOR_ALL = "a call each", "one call"
WAYS: dict[str, Commands] = {ONE_EACH: one_each, FOR_ALL: one_for_all}  # the first is what others are compared with


def main() -> None:
    """See above."""
    arguments = _arguments()
    head = ran("throughput", *installed(("SimpleITK", "onnxruntime", "openvino")))
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measured(KINDS[name], Path(folder) / name, arguments.volumes, arguments.rounds) for name in arguments.only
        ]
        result = {**head, "kinds": rows, "memory": memory(Path(folder) / "memory", arguments.memory_volumes)}
    print_table(result)
    finish(result, arguments.save)
    if not all(row["bit_equal"] for row in rows):
        sys.exit(1)


def measured(kind: Kind, folder: Path, volumes: int, rounds: int) -> dict[str, Any]:
    """All ways over one kind, in turns, the order turned round from round to round."""
    volumes, rounds = kind.volumes or volumes, kind.rounds or rounds
    mr, model = folder / "mr", kind.model or str(write_model(folder / "model").folder)
    draw(mr, kind.grid, volumes)
    options = ["--model", model, "--force"]
    first = one_each(mr, folder)[0]
    _run([*first, *options])
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    made: dict[str, dict[str, str]] = {}
    for number in range(rounds):
        for name in list(WAYS)[:: -1 if number % 2 else 1]:
            out = folder / "out"
            out.mkdir()
            commands = [[*command, *options] for command in WAYS[name](mr, out)]
            started = time.perf_counter()
            for command in commands:
                _run(command)
            seconds[name].append(time.perf_counter() - started)
            made[name] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in out.rglob("*.nii.gz")}
            facts = list(read_entries(out).values())
            shutil.rmtree(out)
            if facts and facts[0].made:
                ran_by = {"engine": facts[0].made.engine, "slices": facts[0].made.slices}
    baseline = seconds[ONE_EACH]
    return {
        "kind": kind.title,
        "volumes": volumes,
        "rounds": rounds,
        **ran_by,
        "bit_equal": all(one == made[ONE_EACH] and len(one) == volumes for one in made.values()),
        "ways": [
            {
                "way": name,
                "seconds": values,
                "volumes_an_hour": spread([3600 * volumes / value for value in values]),
                "volumes_an_hour_fastest": 3600 * volumes / min(values),
                "times_the_loop": spread([one / value for one, value in zip(baseline, values, strict=True)]),
                "times_the_loop_fastest": min(baseline) / min(values),
            }
            for name, values in seconds.items()
        ],
    }


def memory(folder: Path, volumes: int) -> dict[str, Any]:
    """How the peak of one call grows from volume to volume, over an engine that does nothing; GiB."""
    model, heads, mr, out = (folder / name for name in ("model", "heads", "mr", "out"))
    write_model(model)
    draw(heads, WHOLE, DIFFERENT)
    mr.mkdir()
    for number in range(volumes):
        (mr / f"head{number:03}.nii.gz").symlink_to(heads / f"head{number % DIFFERENT:02}.nii.gz")
    _run([*one_for_all(mr, out)[0], "--model", str(model), "--force"])
    peaks = [entry.made.peak_memory_bytes for entry in read_entries(out).values() if entry.made]
    gib = [peak / 2**30 for peak in peaks if peak is not None]
    return {"volumes": volumes, "peak_gib_after_a_fifth": gib[len(gib) // 5], "peak_gib_at_the_end": gib[-1]}


def draw(folder: Path, grid: Grid, count: int) -> None:
    """Heads of as many persons."""
    folder.mkdir(parents=True)
    for person in range(count):
        drawn = phantom.draw(grid, phantom.Head(person=person), seed=person)[0]
        write_volume(Volume(np.rint(drawn.voxels).astype(np.int16), grid), folder / f"head{person:02}.nii.gz")


def _run(command: list[str]) -> None:
    done = subprocess.run([*RUN, *command], capture_output=True, text=True, timeout=MOST_S, check=False)
    if done.returncode != 0:
        sys.exit(f"throughput.py: {' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=12, help="of each kind; of whole heads by head-t1 2")
    parser.add_argument("--rounds", type=int, default=3, help="of each way; of whole heads by head-t1 2")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--memory-volumes", type=int, default=60, help="of the call whose memory is told")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
