"""How fast a volume goes through a CPU by what a user would take instead of mr2ct, each with its error in HU.

    python benchmarks/peers.py [--model FOLDER | --checkpoint CKPT [--calibration MR]] [--head MR] [--only NAME ...]
                               [--slices 24] [--rounds 2] [--repeats 2] [--timeout 900] [--save NAME]

Every contender runs in processes of its own (measure.py), in turns; what is not here, crashes or takes longer than
--timeout is a row with its reason. Timed are --slices slices of the middle of the head; seconds are told for the
paper's 183 at the same speed. Errors are against PyTorch fp32 on the same slices, inside the head; those of an
untrained generator are told as untrained. Memory is the process's resident peak, libraries included, conversions not.
Prints a table and ends in one line of JSON; --save NAME also writes it to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contenders import SLICES, WEIGHTS
from cpu_contenders import BY_NAME, CONTENDERS, EAGER
from inputs import about_model, add_source_options, prepare
from machine import finish, installed, ran
from macs import macs_a_slice
from mr2ct.errors import Mr2ctError
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint
from paper import SLICES as PAPER_SLICES
from plain_graph import write_plain
from race import Race, Row

PACKAGES = ("SimpleITK", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx")
LIMIT_S = 1e6  # of the timed calls of a process: none but --timeout


def main() -> None:
    arguments = _arguments()
    head = ran("peers", *installed(PACKAGES))
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = {**head, **_result(Path(folder), arguments)}
    except (Mr2ctError, CheckpointError) as error:
        sys.exit(f"peers.py: {error}")
    print_table(result)
    finish(result, arguments.save)


def _result(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    model = prepare(
        folder, arguments.model, arguments.checkpoint, arguments.width, arguments.head, arguments.slices,
        fp16=False, calibration=arguments.calibration,
    )  # fmt: skip
    write_plain(model, folder)
    timed, generator = len(np.load(folder / SLICES, mmap_mode="r")), load_checkpoint(folder / WEIGHTS).mr_to_ct
    macs = macs_a_slice(generator, model.card.slices.rows, model.card.slices.columns)
    options = ("--warm-ups", "0", "--least-runs", "1", "--seconds", str(LIMIT_S))
    race = Race(
        folder, model.folder, "cpu", 2 * macs * timed / 1e12, arguments.timeout, arguments.within, arguments.repeats,
        options,
    )  # fmt: skip
    exact = race.exact()
    if exact["status"] != "ran":
        sys.exit(f"peers.py: nothing to measure errors against: PyTorch in fp32: {exact['status']}: {exact['reason']}")
    racing = [BY_NAME[name] for name in arguments.only] if arguments.only else list(CONTENDERS)
    return {
        "model": about_model(model.card, generator, arguments.head),
        "slices_timed": timed,
        "scaled_to": PAPER_SLICES,
        "rounds": arguments.rounds,
        "repeats": arguments.repeats,
        "gmac_a_slice": macs / 1e9,
        "from_the_models_reference": exact["from_the_models_reference"],
        "peers": scaled(race.in_turns(racing, arguments.rounds), timed),
    }


def scaled(rows: list[Row], timed: int) -> list[Row]:
    """The rows of a race over a CPU, for a whole volume and beside PyTorch eager; timed: slices of a call."""
    medians = {row["name"]: row["host_to_host_ms"]["p50"] for row in rows if row["status"] == "ran"}
    eager = medians.get(EAGER)
    return [_told(row, timed, eager) if row["status"] == "ran" else row for row in rows]


def _told(row: Row, timed: int, eager: float | None) -> Row:
    milliseconds = row["host_to_host_ms"]
    taken = {
        key: row[key]
        for key in (
            "name", "title", "status", "engine", "precision", "slices_at_once", "runs", "wall_seconds",
            "cold_start_seconds", "memory_gib", "error_hu", "budget_hu", "within_budget",
        )
    }  # fmt: skip
    return {
        **taken,
        "second_start_seconds": row.get("second_start_seconds"),
        "seconds_a_volume": {key: value * PAPER_SLICES / timed / 1e3 for key, value in milliseconds.items()},
        "ms_a_slice": milliseconds["p50"] / timed,
        "speed_up_over_pytorch_eager": None if eager is None else eager / milliseconds["p50"],
    }


def print_table(result: dict[str, Any]) -> None:
    """A line a contender."""
    hardware, model = result["hardware"], result["model"]
    print(f"{hardware['cpu']}, {hardware['cores']} cores; PyTorch {result['versions']['torch']}")
    print(
        f"seconds for {result['scaled_to']} slices, timed on {result['slices_timed']} of a {model['head']} head; model "
        f"{model['name']}, {model['state']}, {result['gmac_a_slice']:.1f} GMAC a slice"
    )
    print(
        f"{'':<36}{'s p50':>8}{'p90':>8}{'ms/slice':>10}{'x eager':>9}{'start':>7}{'GiB':>6}"
        f"{'HU mean':>9}{'p99.9':>8}{'max':>8}  budget"
    )
    for row in result["peers"]:
        if row["status"] != "ran":
            print(f"{row['title']:<36}  {row['status']}: {row['reason']}")
            continue
        seconds, error, faster = row["seconds_a_volume"], row["error_hu"], row["speed_up_over_pytorch_eager"]
        memory = "-" if row["memory_gib"] is None else f"{row['memory_gib']:.2f}"
        print(
            f"{row['title']:<36}{seconds['p50']:8.2f}{seconds['p90']:8.2f}{row['ms_a_slice']:10.1f}"
            f"{'-' if faster is None else f'{faster:.2f}':>9}{row['cold_start_seconds']['all']:7.1f}{memory:>6}"
            f"{error['mean']:9.3f}{error['p99.9']:8.2f}{error['max']:8.2f}  "
            f"{'holds' if row['within_budget'] else 'fails'}{'' if model['state'] == 'trained' else ', untrained'}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_options(parser, "model folder with an fp32 graph and, for the int8 rows, an int8 one")
    parser.add_argument("--calibration", type=Path, help="with --checkpoint: an MR to make the int8 graph by")
    parser.add_argument("--slices", type=int, default=24, help="timed a call, the middle ones of the head")
    parser.add_argument("--rounds", type=int, default=2, help="turns of every contender, each in a new process")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls a round, after one that is not")
    parser.add_argument("--only", nargs="+", choices=list(BY_NAME), metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of each process")
    parser.add_argument("--within", type=float, default=7200.0, help="seconds of all processes together")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
