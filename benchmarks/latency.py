"""How long a volume takes: every stage of mr2ct-run on the paper's 183 x 288 x 288, by every engine for this CPU.

    python benchmarks/latency.py [--model FOLDER | --checkpoint CKPT [--calibration MR]] [--head MR] [--width 64]
                                 [--repeats 5] [--only NAME ...] [--timeout 900] [--save NAME]

Every trip is a process of its own that does what mr2ct-run does (latency_trip.py), in turns with the other engines and
with PyTorch eager: once with slices of air skipped, which is mr2ct-run's way, once with all of them, the paper's 183,
through the engine. Also a start up to the first slice with nothing kept, where engines are proved first, and with the
proofs kept; the resident peak of a trip; joules where the processor tells them; and the error in HU against PyTorch
fp32 inside the head, over the model's reference slices. An untrained generator's error is told as untrained.
Prints a table (p50, p90, p99 over the repeats) and ends in one line of JSON. --save NAME also writes it to
benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contenders import SLICES, WEIGHTS
from cpu_contenders import BY_NAME, EAGER
from inputs import about_model, add_source_options, prepare
from latency_table import print_table
from latency_trips import Engine, Trips
from machine import finish, installed, ran
from mr2ct.choosing import ON_CPU, RUNS
from mr2ct.errors import Mr2ctError
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint
from race import Race
from rapl import Meter
from summaries import percentiles

TORCH_SLICES = 24  # timed of PyTorch eager a turn; it takes as long for each
ENGINES = {f"{device}-{precision}": Engine(device, precision) for device in RUNS for precision in RUNS[device]}
# On a CPU fp16 is convolved in fp32, and onnxruntime's int8 is slower than its fp32 (peers.py): --only has them
SLOWER = ("cpu-fp16", "cpu-int8")
USUAL = [f"{device}-{precision}" for device in ON_CPU for precision in RUNS[device]]


def main() -> None:
    arguments = _arguments()
    head = ran("latency", *installed(("SimpleITK", "onnxruntime", "openvino")))
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = {**head, **_result(Path(folder), arguments)}
    except (Mr2ctError, CheckpointError) as error:
        sys.exit(f"latency.py: {error}")
    print_table(result)
    finish(result, arguments.save)


def _result(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    model = prepare(
        folder, arguments.model, arguments.checkpoint, arguments.width, arguments.head, TORCH_SLICES,
        fp16=False, calibration=arguments.calibration,
    )  # fmt: skip
    timed, generator = len(np.load(folder / SLICES, mmap_mode="r")), load_checkpoint(folder / WEIGHTS).mr_to_ct
    head, meter = arguments.head or folder / "head.nii.gz", Meter()
    trips = Trips(folder, model.folder, head, arguments.timeout, meter, untrained=not model.card.trained)
    race = Race(folder, model.folder, "cpu", 1.0, arguments.timeout, arguments.within, 1, ("--warm-ups", "0"))
    race.options += ("--least-runs", "1")
    exact = race.exact()
    if exact["status"] != "ran":
        sys.exit(f"latency.py: nothing to measure errors against: PyTorch in fp32: {exact['reason']}")
    rows = [trips.started(name, ENGINES[name]) for name in arguments.only]
    eager: list[float] = []
    for _ in range(arguments.repeats):
        turn = race.contenders([BY_NAME[EAGER]])[0]
        if turn["status"] != "ran":
            sys.exit(f"latency.py: PyTorch eager: {turn['status']}: {turn['reason']}")
        eager += turn["wall_seconds"]
        for row in rows:
            trips.add_turn(row)
    rows = [trips.summed(row) for row in rows]
    ran_rows = [row for row in rows if row["status"] == "ran"]
    counts = ran_rows[0]["all_slices"]["slices"] if ran_rows else timed
    return {
        "volume": "183 x 288 x 288, 1.00 x 0.87 x 0.87 mm, drawn" if arguments.head is None else "given",
        "model": about_model(model.card, generator, arguments.head),
        "repeats": arguments.repeats,
        "energy_told_by": meter.told_by,
        "engines": rows,
        "pytorch_eager_fp32": {
            "seconds_of_all_slices": percentiles([seconds * counts / timed for seconds in eager]),
            "memory_gib": turn["memory_gib"],
            "error_hu": turn["error_hu"],
            "slices_timed": timed,
            "scaled_to": counts,
        },
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_options(parser, "model folder with an fp32 graph and, for the int8 row, an int8 one")
    parser.add_argument("--calibration", type=Path, help="with --checkpoint: an MR to make the int8 graph by")
    parser.add_argument("--repeats", type=int, default=5, help="trips of the volume by each engine, of either kind")
    usual = [name for name in USUAL if name not in SLOWER]
    parser.add_argument(
        "--only", nargs="+", choices=list(ENGINES), default=usual, metavar="NAME",
        help=f"{', '.join(ENGINES)}; default: {', '.join(usual)}",
    )  # fmt: skip
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of each process")
    parser.add_argument("--within", type=float, default=7200.0, help="seconds of all of PyTorch's processes together")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
