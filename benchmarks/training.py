"""How fast a training runs: the shipped loop beside the plain eager one, in turns in one run.

    python benchmarks/training.py [--device cpu|cuda] [--batch 1 8] [--precision fp32 bf16-mixed] [--compile]
                                  [--steps 3] [--rounds 3] [--width 64] [--save NAME]

The plain loop is the reference implementation's: fp32, batch 1, one pass a network and an image. Every variant runs in
a process of its own, warms up, and is timed over whole steps: sampling, crops, copies and log included. Projected are
the paper's 3,294 slices x 200 epochs at this speed. The slices are a drawn head's, made by mr2ct-prepare's own code.
Prints a table and ends in one line of JSON; --save NAME also writes it to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from machine import finish, ran, spread
from mr2ct.stages import peak_memory_bytes
from mr2ct_training.config import Precision, TrainConfig
from mr2ct_training.dataset import Dataset
from mr2ct_training.loop import Rhythm, StoppedError, train
from mr2ct_training.prepare import Source, prepare
from mr2ct_training.prepare_volume import Settings
from mr2ct_training.sampling import UnpairedSampler
from paper import HOURS, STEPS
from plain_cyclegan import PlainCycleGAN

TFLOP_A_PAIR = 1.25  # of two generators forward and back twice, and two discriminators


@dataclass(frozen=True)
class Variant:
    """A way to run the loop."""

    name: str
    precision: Precision = "fp32"
    batch: int = 1
    compile: bool = False
    plain: bool = False


def main() -> None:
    arguments = _arguments()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    variants = [Variant("plain eager loop", plain=True)]
    for precision, compile_, batch in itertools.product(
        arguments.precision, {False, arguments.compile}, arguments.batch
    ):
        name = f"mr2ct-train {precision}, batch {batch}" + (", compiled" if compile_ else "")
        variants.append(Variant(name, precision, batch, compile_))
    rates: dict[str, list[float]] = {variant.name: [] for variant in variants}
    peaks: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = _data_set(Path(folder))
        for _, variant in itertools.product(range(arguments.rounds), variants):
            rate, peak = _alone(variant, data, device, arguments.width, arguments.steps)
            rates[variant.name].append(rate)
            peaks[variant.name] = max(peak, peaks.get(variant.name, 0))
    plain = rates[variants[0].name]
    result: dict[str, Any] = {
        **ran("training", "lightning"),
        "device": device,
        "generator_width": arguments.width,
        "steps": arguments.steps,
        "rounds": arguments.rounds,
        "variants": [_told(variant, rates[variant.name], plain, peaks[variant.name]) for variant in variants],
    }
    _print_table(result)
    finish(result, arguments.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="pairs a step of the shipped loop")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16-mixed"], help="of the shipped loop")
    parser.add_argument("--compile", action="store_true", help="the shipped loop compiled, too")
    parser.add_argument("--steps", type=int, default=3, help="timed a round")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every variant")
    parser.add_argument("--width", type=int, default=64, help="of the generators; 64 is the paper's")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


def _data_set(folder: Path) -> Path:
    """One drawn head as MR and CT, prepared."""
    mr, ct = folder / "mr.nii.gz", folder / "ct.nii.gz"
    phantom = Path(__file__).resolve().parents[1] / "tests" / "phantom.py"
    subprocess.run([sys.executable, str(phantom), str(mr), "--ct", str(ct)], check=True, stdout=subprocess.DEVNULL)
    sources = [Source(mr, "drawn", "mr", "train"), Source(ct, "drawn", "ct", "train")]
    prepare(sources, Settings(head_slices_only=True), folder / "dataset")
    return folder / "dataset"


def _alone(variant: Variant, data: Path, device: str, width: int, steps: int) -> tuple[float, int]:
    """Pairs a second and peak memory in bytes, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, variant, data, device, width, steps).result()


def _measure(variant: Variant, data: Path, device: str, width: int, steps: int) -> tuple[float, int]:
    config = TrainConfig(width=width, precision=variant.precision, batch=variant.batch, compile=variant.compile)
    warm_up = 1 if device == "cpu" and not variant.compile else 3
    clock = _Clock(warm_up, steps, device)
    if variant.plain:
        _plain_loop(config, Dataset(data), torch.device(device), clock)
    else:
        with tempfile.TemporaryDirectory() as out:
            fabric = Fabric(accelerator=device, devices=1, precision=config.fabric_precision)
            with suppress(StoppedError):
                train(config, Dataset(data), Path(out), fabric, rhythm=Rhythm(20, 10**9), asked_to_stop=clock.tick)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory_bytes() or 0
    return steps * variant.batch / clock.seconds, peak


class _Clock:
    """Ticks after every step; true once the warm-up and the timed steps are over."""

    def __init__(self, warm_up: int, steps: int, device: str) -> None:
        self.warm_up, self.last, self.device = warm_up, warm_up + steps, device
        self.ticks, self.start, self.seconds = 0, 0.0, 0.0

    def tick(self) -> bool:
        self.ticks += 1
        if self.ticks in (self.warm_up, self.last):
            if self.device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.start, self.seconds = now, now - self.start
        return self.ticks == self.last


def _plain_loop(config: TrainConfig, dataset: Dataset, device: torch.device, clock: _Clock) -> None:
    gan = PlainCycleGAN(config, device)
    sampler = UnpairedSampler(config, dataset.slices("mr", "train"), dataset.slices("ct", "train"))
    step, done = 0, False
    while not done:
        mr, ct = (slices.to(device) for slices in sampler.batch(0, step, [0]))
        losses = gan.step(mr, ct, (0, step))
        if step % 20 == 0:  # as often as the shipped loop logs
            [value.item() for value in losses.values()]
        step, done = step + 1, clock.tick()


def _told(variant: Variant, rates: list[float], plain: list[float], peak: int) -> dict[str, Any]:
    pairs = spread(rates)
    return {
        **asdict(variant),
        "pairs_per_second": pairs,
        "speed_up_over_plain": spread([own / other for own, other in zip(rates, plain, strict=True)]),
        "tflop_per_second": pairs["median"] * TFLOP_A_PAIR,
        "peak_memory_gib": peak / 2**30,
        "projected_hours_of_the_paper": STEPS / pairs["median"] / 3600,
    }


def _print_table(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    print(f"{hardware['gpu'] if result['device'] == 'cuda' else hardware['cpu']}, {hardware['cores']} cores")
    print(f"{'':<40}{'pairs/s':>9}{'x plain':>9}{'GiB':>7}{'hours for the paper':>21}")
    for row in result["variants"]:
        print(
            f"{row['name']:<40}{row['pairs_per_second']['median']:9.3f}{row['speed_up_over_plain']['median']:9.2f}"
            f"{row['peak_memory_gib']:7.2f}{row['projected_hours_of_the_paper']:21,.0f}"
        )
    print(f"The paper: {HOURS} hours on a Titan X, {STEPS / HOURS / 3600:.1f} pairs/s.")


if __name__ == "__main__":
    main()
