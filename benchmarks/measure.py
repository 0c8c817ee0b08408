"""One contender of gpu.py or peers.py, measured in a process of its own; its last line is one JSON.

    python benchmarks/measure.py NAME --work FOLDER --model FOLDER --started SECONDS [...]

TensorRT and TensorRT-RTX cannot share a process, a start is only cold once, and a crash takes nobody with it. NAME
"exact" makes what all are measured against: PyTorch in fp32, and the peak of a matrix product. What this file imports
is part of every contender's start, so it imports no torch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cpu_contenders
import gpu_contenders
import nvml
from contenders import EXPECTED, HEADS, SLICES, WEIGHTS, Contender, Job, Runner
from mr2ct.card import Certificate
from mr2ct.certificate import BUDGETS_HU, hu_difference
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import open_model
from mr2ct.stages import peak_memory_bytes
from summaries import percentiles

BY_NAME = {**gpu_contenders.BY_NAME, **cpu_contenders.BY_NAME}
EVENTS, WALL = "CUDA events, first copy up to last copy down", "wall clock around the call, copies included"


def main() -> None:
    arguments = _arguments()
    measured = exact(arguments) if arguments.name == "exact" else contender(BY_NAME[arguments.name], arguments)
    print(json.dumps(measured))


def contender(of: Contender, arguments: argparse.Namespace) -> dict[str, Any]:
    """A row: {"status": "ran", ...}, or {"status": "absent" or "failed", "reason": ...}."""
    try:
        opener = of.load(arguments.device)
        imported = time.time() - arguments.started
        slices = np.load(arguments.work / SLICES)
        job = Job(
            open_model(arguments.model), arguments.work / WEIGHTS, arguments.device, len(slices), arguments.step,
            arguments.threads,
        )  # fmt: skip
        begun = time.perf_counter()
        runner = opener(job)
        opened = time.perf_counter()
    except DeviceError as error:
        return {"status": "absent", "reason": str(error)}
    except ModelError as error:
        return {"status": "failed", "reason": str(error)}
    answer = runner.run(slices)
    first = time.perf_counter()
    start = {"import": imported, "load or build": opened - begun, "first run": first - opened}
    row: dict[str, Any] = {
        "status": "ran",
        "engine": runner.description,
        "precision": of.precision,
        "slices_at_once": runner.step,
        "cold_start_seconds": {**start, "all": sum(start.values())},
    }
    if not arguments.start_only:
        row |= timed(runner, _as_many(slices, arguments.slices), arguments)
        row |= _memory(arguments)
        row |= error_hu(
            answer,
            np.load(arguments.work / EXPECTED),
            np.load(arguments.work / HEADS),
            of.precision,
            job.model.card.ct_window_hu,
        )
    runner.close()
    return row


def timed(runner: Runner, slices: NDArray[np.float32], arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of warm calls with a whole volume: --repeats of them, fewer where they take longer than --seconds.

    "wall_seconds" are all of them, host to host, in the order they ran.
    """
    repeats, least, seconds = arguments.repeats, arguments.least_runs, arguments.seconds
    for _ in range(arguments.warm_ups):
        runner.run(slices)
    walls: list[float] = []
    events: list[float] = []
    while len(walls) < repeats and (len(walls) < least or sum(walls) < seconds):
        started = time.perf_counter()
        runner.run(slices)
        walls.append(time.perf_counter() - started)
        if runner.gpu_seconds is not None:
            events.append(runner.gpu_seconds)
    return {
        "runs": len(walls),
        "clock": EVENTS if events else WALL,
        "gpu_ms": milliseconds(events or walls),
        "host_to_host_ms": milliseconds(walls),
        "wall_seconds": walls,
        "clocks_after": nvml.clocks(),
    }


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile of seconds, in milliseconds."""
    return percentiles([1e3 * second for second in seconds])


def _as_many(slices: NDArray[np.float32], count: int | None) -> NDArray[np.float32]:
    """The first slices, begun anew when there are fewer than count; all of them for None."""
    return slices if count is None else np.resize(slices, (count, *slices.shape[1:]))


def error_hu(
    answer: NDArray[np.float32],
    expected: NDArray[np.float32],
    heads: NDArray[np.bool_],
    precision: str,
    ct_window_hu: tuple[float, float],
) -> dict[str, Any]:
    """|HU(answer) - HU(PyTorch fp32)| inside the head, and whether its budget holds; NaN is infinity."""
    error = hu_difference(answer, expected, ct_window_hu)[:, 0][heads]
    error[~np.isfinite(error)] = np.inf
    mean, p99_9, most = float(error.mean()), float(np.quantile(error, 0.999, method="higher")), float(error.max())
    budget = BUDGETS_HU[precision]
    proof = Certificate("", precision, "", len(answer), len(error), mean, p99_9, most, budget)
    return {
        "error_hu": {"mean": mean, "p99.9": p99_9, "max": most},
        "budget_hu": budget,
        "within_budget": proof.passed,
    }


def exact(arguments: argparse.Namespace) -> dict[str, Any]:
    """Keep what PyTorch makes of the slices in fp32; how far this machine's fp32 is from the model's own reference."""
    import gpu_pytorch

    model, weights = open_model(arguments.model), arguments.work / WEIGHTS
    answer, seconds = gpu_pytorch.exact(weights, arguments.device, np.load(arguments.work / SLICES))
    np.save(arguments.work / EXPECTED, answer)
    reference = model.reference()
    again, _ = gpu_pytorch.exact(weights, arguments.device, reference.mr)
    told = error_hu(again, reference.synthetic_ct, reference.head, "fp32", model.card.ct_window_hu)
    return {
        "status": "ran",
        "pytorch_fp32_ms": seconds * 1e3,
        "from_the_models_reference": told,
        "matrix_peak": gpu_pytorch.matrix_peak(arguments.device),
    }


def _memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the process holds once it has run; engines and allocators keep all that they needed at most."""
    if arguments.device == "cpu":
        peak = peak_memory_bytes()
        return {"memory_gib": None if peak is None else peak / 2**30, "memory_told_by": "the process's resident peak"}
    used = nvml.used_bytes()
    if used is None or arguments.used_before is None:
        return {"memory_gib": None, "memory_told_by": "nothing here"}
    told_by = "NVML: GPU memory used after the runs, less what was used before the process"
    return {"memory_gib": (used - arguments.used_before) / 2**30, "memory_told_by": told_by}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["exact", *BY_NAME])
    parser.add_argument("--work", type=Path, required=True, help="folder that inputs.prepare has filled")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--started", type=float, required=True, help="seconds since 1970 when the process was started")
    parser.add_argument("--used-before", type=int, help="bytes of GPU memory in use then")
    parser.add_argument("--step", type=int, help="slices at once")
    parser.add_argument("--repeats", type=int, default=50, help="timed calls")
    parser.add_argument("--seconds", type=float, default=10.0, help="the most that they may take together")
    parser.add_argument("--least-runs", type=int, default=5, help="also where they take longer")
    parser.add_argument("--warm-ups", type=int, default=3, help="calls after the first that are not timed")
    parser.add_argument("--slices", type=int, help="of the timed calls; default: those of slices.npy, once")
    parser.add_argument("--threads", type=int, help="cores of the CPU; default: the contender's own")
    parser.add_argument("--start-only", action="store_true", help="end after the first call")
    return parser.parse_args()


if __name__ == "__main__":
    main()
