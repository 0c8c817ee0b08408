"""How fast a volume goes through an NVIDIA GPU, by everything that could do it, each with its error in HU.

    python benchmarks/gpu.py [--model FOLDER | --checkpoint CKPT] [--head MR.nii.gz] [--only NAME ...] [--max-autotune]
                             [--steps 4 8 16 32 61 183] [--timeout 120] [--within SECONDS]
                             [--save NAME] [--picture PATH]

Every contender runs in a process of its own (measure.py); what is not here, crashes or takes longer than --timeout
is a row with its reason. Timed are whole volumes: cold from the start of the process, then warm, on the GPU's own clock
and from host memory to host memory. Errors are against PyTorch fp32 without TF32 on the same slices, inside the head.
--steps sweeps the slices that a TensorRT works on at once, each with an engine tuned for them.

With --model, a folder that mr2ct-export --fp16 wrote, it needs mr2ct and its dependencies (SimpleITK is one), torch,
onnx, matplotlib and the engines; else it exports a model itself and needs mr2ct[export] and onnxruntime, too. An
untrained generator is for speed: its errors are told as untrained, and its fp16 graph may be outside of its budget.
--device cpu tries the same on a machine without a GPU: PyTorch and onnxruntime only, by the wall clock.
Prints tables and ends in one line of JSON; --save NAME also writes it to benchmarks/results/NAME.json and draws
docs/NAME.png. Exits with 5 where there is no NVIDIA GPU.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import nvml
from contenders import SLICES, WEIGHTS, Contender
from gpu_contenders import BY_NAME, CONTENDERS
from gpu_table import print_table
from inputs import about_model, add_source_options, prepare
from machine import finish, installed, ran
from macs import macs_a_slice
from mr2ct.errors import Mr2ctError
from mr2ct.gpu import first_gpu
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint
from race import Race

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGES = (
    "SimpleITK", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "tensorrt-rtx-cu13-bindings", "tensorrt", "tensorrt-cu13", "pycuda", "triton", "nvidia-cudnn-cu13",
)  # fmt: skip
INTERRUPTED = 130  # exit code, as after Ctrl-C


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was measured until then is told
    try:
        gpu = None if arguments.device == "cpu" else {**asdict(first_gpu()), "clocks": nvml.clocks()}
        head = {**ran("gpu", *installed(PACKAGES)), "gpu": gpu}
        with tempfile.TemporaryDirectory() as folder:
            result, stopped = _result(Path(folder), arguments)
    except Mr2ctError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except CheckpointError as error:
        sys.exit(f"gpu.py: {error}")
    result = {**head, **result}
    print_table(result)
    finish(result, arguments.save)
    picture = arguments.picture or (DOCS / f"{arguments.save}.png" if arguments.save else None)
    if picture is not None:
        from gpu_picture import draw  # matplotlib, which nothing else here needs

        draw(result, picture)
    if stopped:
        sys.exit(INTERRUPTED)


def _result(folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """All that is measured, and whether it was stopped before its end."""
    model = prepare(
        folder, arguments.model, arguments.checkpoint, arguments.width, arguments.head, arguments.slices
    )  # fmt: skip
    slices, grid = len(np.load(folder / SLICES, mmap_mode="r")), model.card.slices
    generator = load_checkpoint(folder / WEIGHTS).mr_to_ct
    macs = macs_a_slice(generator, grid.rows, grid.columns)
    race = Race(
        folder, model.folder, arguments.device, 2 * macs * slices / 1e12, arguments.timeout, arguments.within,
        arguments.repeats,
    )  # fmt: skip
    exact = race.exact()
    if exact["status"] != "ran":
        sys.exit(f"gpu.py: nothing to measure errors against: PyTorch in fp32: {exact['status']}: {exact['reason']}")
    racing = _racing(arguments)
    contenders = race.contenders(racing)
    return {
        "device": arguments.device,
        "model": about_model(model.card, generator, arguments.head),
        "slices": slices,
        "gmac_a_slice": macs / 1e9,
        "tflop_a_volume": race.tflop,
        "exact": exact,
        "contenders": contenders,
        "sweep": race.sweep(racing, contenders, arguments.steps),
    }, race.stopped


def _racing(arguments: argparse.Namespace) -> list[Contender]:
    """Those asked for, else all but the slowest to compile and, on a GPU, the CPU."""
    if arguments.only:
        return [BY_NAME[name] for name in arguments.only]
    left_out = {
        "compile-max": not arguments.max_autotune,
        "onnxruntime-cpu": arguments.device != "cpu",
    }
    return [contender for contender in CONTENDERS if not left_out.get(contender.name)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_options(parser, "model folder with an fp32 and an fp16 graph")
    parser.add_argument("--slices", type=int, default=183, help="at most, the middle ones; 183: the paper's")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", nargs="+", choices=list(BY_NAME), metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument(
        "--max-autotune", action="store_true", help="torch.compile with max-autotune-no-cudagraphs, too"
    )
    parser.add_argument("--steps", type=int, nargs="*", default=[4, 8, 16, 32, 61, 183], help="none: no sweep")
    parser.add_argument("--repeats", type=int, default=50, help="timed volumes of each, within 10 s")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds of each process")
    parser.add_argument("--within", type=float, default=3600.0, help="seconds of all processes together")
    parser.add_argument("--save", help="name of a file in benchmarks/results, and of the picture in docs")
    parser.add_argument("--picture", type=Path, help="where to draw the picture instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
