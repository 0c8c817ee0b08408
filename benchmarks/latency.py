"""How long a volume takes: every stage of mr2ct-run on the paper's 183 x 288 x 288, beside PyTorch eager in one run.

    python benchmarks/latency.py [--repeats 5] [--width 64] [--torch-repeats 1] [--device cpu] [--save NAME]

Prints a table (min, median, p95 over the repeats, after one warm-up) and ends in one line of JSON. --save NAME also
writes it to benchmarks/results/NAME.json. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from machine import finish, ran, spread
from mr2ct import choose_backend, open_model, read_volume, synthesize, write_volume
from mr2ct.card import PAPER_SLICES
from mr2ct.model import Model
from mr2ct_export.folder import export
from mr2ct_export.reference import reference_from_volumes
from mr2ct_export.untrained import untrained_checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained

HERE = Path(__file__).resolve().parent
STAGES = ("read", "mask", "grid", "engine", "back", "write")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / "head.nii.gz"
        subprocess.run([sys.executable, str(HERE.parent / "tests" / "phantom.py"), str(head)], check=True)
        model, certificate = _model(Path(folder) / "model", head, arguments.width)
        trips = _mr2ct(model, head, Path(folder) / "ct.nii.gz", arguments)
        peak = _peak_of_one_run(model, head, Path(folder) / "once.nii.gz", arguments.device)
    eager = _pytorch(trips["slices"], arguments)
    stages = {name: spread([trip[name] for trip in trips["seconds"]]) for name in STAGES}
    around = spread([sum(trip[name] for name in STAGES if name != "engine") for trip in trips["seconds"]])
    result: dict[str, Any] = {
        **ran("latency", "SimpleITK", "onnxruntime"),
        "volume": "183 x 288 x 288, 1.00 x 0.87 x 0.87 mm, drawn",
        "generator_width": arguments.width,
        "engine": trips["engine"],
        "precision": trips["precision"],
        "error_hu": certificate,
        "slices": trips["slices"],
        "repeats": arguments.repeats,
        "seconds": {**stages, "all but the engine": around},
        "slices_per_second": trips["slices"] / stages["engine"]["median"],
        "pytorch_eager_fp32_seconds": eager,
        "engine_speed_up_over_pytorch_eager": eager["median"] / stages["engine"]["median"],
        "peak_memory_gib_of_one_mr2ct_run": peak,
    }
    _print_table(result)
    finish(result, arguments.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="counted trips of the volume")
    parser.add_argument("--torch-repeats", type=int, default=1, help="counted passes of PyTorch over all slices")
    parser.add_argument("--width", type=int, default=64, help="of the generator; 64 is the paper's")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


def _model(folder: Path, head: Path, width: int) -> tuple[Model, dict[str, float]]:
    checkpoint = untrained_checkpoint(width, seed=0)
    reference = reference_from_volumes(
        [read_volume(head)], PAPER_SLICES, checkpoint.mr_window, checkpoint.mr_to_ct, count=3
    )
    card = export(checkpoint, reference, folder, fp16=False).card
    proof = card.certificates[0]
    return open_model(folder), {"mean": proof.mean_hu, "p99.9": proof.p99_9_hu, "max": proof.max_hu}


def _mr2ct(model: Model, head: Path, out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    choice = choose_backend(model, arguments.device)
    trips = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        mr = read_volume(head)
        read = time.perf_counter() - start
        result = synthesize(mr, model, choice)
        start = time.perf_counter()
        write_volume(result.volume, out, overwrite=True)
        trips.append({"read": read, **result.seconds, "write": time.perf_counter() - start})
    return {
        "seconds": trips[1:],
        "slices": result.slices,
        "engine": choice.backend.description,
        "precision": choice.precision,
    }


def _peak_of_one_run(model: Model, head: Path, out: Path, device: str) -> float | None:
    """GiB of a fresh mr2ct-run process."""
    report = out.with_suffix(".json")
    command = ["-c", "from mr2ct.cli import main; main()", str(head), "-o", str(out), "--json", str(report)]
    subprocess.run(
        [sys.executable, *command, "--model", str(model.folder), "--device", device], check=True, capture_output=True
    )
    peak = json.loads(report.read_text())["peak_memory_bytes"]
    return None if peak is None else peak / 2**30


def _pytorch(slices: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds for all slices, one a call, as pytorch-CycleGAN-and-pix2pix's test.py does."""
    device = "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
    network = untrained(GeneratorConfig(width=arguments.width)).eval().to(device)
    one = torch.zeros(1, 1, PAPER_SLICES.rows, PAPER_SLICES.columns, device=device)

    def all_slices() -> None:
        with torch.inference_mode():
            for _ in range(slices):
                network(one)
            if device == "cuda":
                torch.cuda.synchronize()

    with torch.inference_mode():
        network(one)
    return spread([_timed(all_slices) for _ in range(arguments.torch_repeats)])


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _print_table(result: dict[str, Any]) -> None:
    print(
        f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores; {result['engine']}, {result['precision']}"
    )
    print(f"{'':<22}{'min':>8}{'median':>8}{'p95':>8}  seconds")
    rows = {**result["seconds"], "PyTorch eager fp32": result["pytorch_eager_fp32_seconds"]}
    for name, row in rows.items():
        print(f"{name:<22}{row['min']:8.2f}{row['median']:8.2f}{row['p95']:8.2f}")
    print(f"{result['slices']} slices, {result['slices_per_second']:.1f} a second, ", end="")
    print(f"{result['engine_speed_up_over_pytorch_eager']:.2f} x PyTorch eager; ", end="")
    if result["peak_memory_gib_of_one_mr2ct_run"] is not None:
        print(f"peak memory of one mr2ct-run {result['peak_memory_gib_of_one_mr2ct_run']:.2f} GiB; ", end="")
    print(f"against PyTorch fp32 max {result['error_hu']['max']:.3f} HU")


if __name__ == "__main__":
    main()
