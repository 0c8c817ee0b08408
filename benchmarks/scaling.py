"""How time and memory of an engine grow: with slices, with threads, with slices a call.

    python benchmarks/scaling.py [--model FOLDER | --checkpoint CKPT] [--head MR] [--width 64]
                                 [--engines mr2ct-openvino-fp32 mr2ct-openvino-bf16]
                                 [--slices 1 2 4 ...] [--threads 1 2 ...] [--batches 1 2 4 8 16]
                                 [--repeats 3] [--seconds 20] [--save NAME] [--picture PATH]

Each point is a process of its own (measure.py), so that its resident peak is its own. Points with more slices than
the head has begin it anew. seconds = a + b x slices is fitted by least squares, and so are GiB. Errors in HU are of
each point's own process, against PyTorch fp32 inside the head. Prints tables and ends in one line of JSON; --save NAME
also writes it to benchmarks/results/NAME.json and draws docs/scaling.png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from contenders import WEIGHTS, Contender
from cpu_contenders import BY_NAME
from inputs import about_model, add_source_options, prepare
from machine import ROOT, finish, installed, ran
from mr2ct.errors import Mr2ctError
from mr2ct.slabs import available_cores
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint
from plain_graph import write_plain
from race import Race, Row
from summaries import line

WARM_SLICES = 8  # of the head's middle, before anything is timed; also those that errors are measured on
SOME_SLICES = 24  # of the points in which threads or slices a call vary
SLICES = (1, 2, 4, 8, 16, 32, 64, 128, 183, 366, 732)  # 183: the paper's volume


def main() -> None:
    arguments = _arguments()
    head = ran("scaling", *installed(("onnxruntime", "openvino")))
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = {**head, **_result(Path(folder), arguments)}
    except (Mr2ctError, CheckpointError) as error:
        sys.exit(f"scaling.py: {error}")
    print_tables(result)
    finish(result, arguments.save)
    picture = arguments.picture or (ROOT / "docs" / "scaling.png" if arguments.save else None)
    if picture is not None:
        from scaling_picture import draw  # matplotlib, which nothing else here needs

        draw(result, picture)


def _result(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    model = prepare(
        folder, arguments.model, arguments.checkpoint, arguments.width, arguments.head, WARM_SLICES,
        fp16=False, calibration=arguments.calibration,
    )  # fmt: skip
    write_plain(model, folder)
    options = ("--warm-ups", "0", "--least-runs", "1", "--seconds", str(arguments.seconds))
    race = Race(
        folder, model.folder, "cpu", 1.0, arguments.timeout, arguments.within, arguments.repeats, options
    )  # fmt: skip
    exact = race.exact()
    if exact["status"] != "ran":
        sys.exit(f"scaling.py: nothing to measure errors against: PyTorch in fp32: {exact['reason']}")
    return {
        "model": about_model(model.card, load_checkpoint(folder / WEIGHTS).mr_to_ct, arguments.head),
        "repeats": arguments.repeats,
        "slices_of_the_other_points": SOME_SLICES,
        "engines": [_engine(race, BY_NAME[name], arguments) for name in arguments.engines],
    }


def _engine(race: Race, contender: Contender, arguments: argparse.Namespace) -> Row:
    """All points of an engine, and the lines through those of the slices; or why it does not run."""
    row: Row = {"name": contender.name, "title": contender.title}
    some = ("--slices", str(SOME_SLICES))
    by_slices = _points(race, contender, "slices", arguments.slices, ())
    if by_slices and all(point["status"] != "ran" for point in by_slices):
        return {**row, "status": by_slices[0]["status"], "reason": by_slices[0]["reason"]}
    return {
        **row,
        "status": "ran",
        "by_slices": by_slices,
        "by_threads": _points(race, contender, "threads", arguments.threads, some),
        "by_batch": _points(race, contender, "step", arguments.batches, some),
        **lines(by_slices),
    }


def lines(points: list[Row]) -> dict[str, Any]:
    """Seconds and GiB as straight lines over the slices; None where fewer than two points ran."""
    found: dict[str, Any] = {}
    for name, key in (("seconds_fit", "seconds"), ("memory_fit", "memory_gib")):
        there = [point for point in points if point["status"] == "ran" and point[key] is not None]
        slices = [point["slices"] for point in there]
        found[name] = line(slices, [point[key] for point in there]) if len(set(slices)) > 1 else None
    return found


def _points(race: Race, contender: Contender, what: str, values: list[int], more: tuple[str, ...]) -> list[Row]:
    """A point for each value of an option of measure.py; seconds are the median of its calls."""
    points = []
    for value in values:
        row = race.point(contender, *more, f"--{what}", str(value))
        point: Row = {what: value, "status": row["status"]}
        if row["status"] == "ran":
            seconds = row["host_to_host_ms"]["p50"] / 1e3
            keys = ("memory_gib", "error_hu", "within_budget", "runs", "engine")
            point |= {"seconds": seconds, **{key: row[key] for key in keys}}
            print(f"{contender.name}, {what} {value}: {seconds:.2f} s", file=sys.stderr)
        else:
            point |= {"reason": row["reason"]}
            print(f"{contender.name}, {what} {value}: {row['status']}: {row['reason']}", file=sys.stderr)
        points.append(point)
    return points


def print_tables(result: dict[str, Any]) -> None:
    """A block an engine: its points, and the lines through them."""
    hardware, model = result["hardware"], result["model"]
    print(f"{hardware['cpu']}, {hardware['cores']} cores; model {model['name']}, {model['state']}")
    for row in result["engines"]:
        if row["status"] != "ran":
            print(f"{row['title']}: {row['status']}: {row['reason']}")
            continue
        print(f"{row['title']}\n{'':<12}{'':>6}{'seconds':>10}{'GiB':>8}{'HU mean':>9}{'max':>8}")
        for name, key in (("slices", "slices"), ("threads", "threads"), ("a call", "step")):
            for point in row["by_batch" if key == "step" else f"by_{key}"]:
                _print_point(name, point[key], point)
        for name, unit in (("seconds_fit", "s"), ("memory_fit", "GiB")):
            if row[name] is not None:
                a, b, r2 = (row[name][key] for key in ("a", "b", "r2"))
                told = "-" if r2 is None else f"{r2:.4f}"
                print(f"{unit} = {a:.3f} + {b:.5f} x slices, R^2 {told}")


def _print_point(name: str, value: int, point: Row) -> None:
    if point["status"] != "ran":
        print(f"{name:<12}{value:>6}  {point['status']}: {point['reason']}")
        return
    memory = "-" if point["memory_gib"] is None else f"{point['memory_gib']:.2f}"
    error = point["error_hu"]
    print(f"{name:<12}{value:>6}{point['seconds']:10.2f}{memory:>8}{error['mean']:9.3f}{error['max']:8.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_options(parser, "model folder with an fp32 graph and, for int8, an int8 one")
    parser.add_argument("--calibration", type=Path, help="with --checkpoint: an MR to make the int8 graph by")
    parser.add_argument(
        "--engines", nargs="+", choices=list(BY_NAME), metavar="NAME",
        default=["mr2ct-openvino-fp32", "mr2ct-openvino-bf16"], help=", ".join(BY_NAME),
    )  # fmt: skip
    parser.add_argument("--slices", type=int, nargs="+", default=list(SLICES), help="of a call")
    parser.add_argument("--threads", type=int, nargs="*", default=list(range(1, available_cores() + 1)))
    parser.add_argument(
        "--batches", type=int, nargs="*", default=[1, 2, 4, 8, 16], help="slices the engine gets at once"
    )
    parser.add_argument("--repeats", type=int, default=3, help="timed calls of a point")
    parser.add_argument("--seconds", type=float, default=20.0, help="with so many behind it no call is begun any more")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds of each process")
    parser.add_argument("--within", type=float, default=7200.0, help="seconds of all processes together")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    parser.add_argument("--picture", type=Path, help="where to draw the picture; default with --save: docs/scaling.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
