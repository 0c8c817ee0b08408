"""How long the paper's training would take over 1 to 64 GPUs, on paper.

    python benchmarks/training_projection.py [--picture PATH]

A step is computed, then its gradients are sent: mr2ct-train waits for both, so their seconds add up.

    step     = pairs a GPU / pairs a second  +  exchange
    exchange = sum over messages of  2 (n - 1) / n x bytes / bandwidth  +  2 (n - 1) x latency  +  copies

The second line is the ring all-reduce of n processes (Patarasuk and Yuan 2009): every link carries each byte nearly
twice, in 2 (n - 1) turns. Copies lay the gradients in a row, divide the sum, and lay the means back. Pairs a second are
measured, on one H100 and on two CPU cores; gradient bytes are counted; bandwidths and latencies are assumed. Nothing
beyond that was run: neither several GPUs, nor nodes, nor another share of a step than eight pairs.
Prints a table, writes benchmarks/results/training-projection.json and draws docs/training-projection.png.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paper import HOURS, STEPS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAME = "training-projection"
GPUS = (1, 2, 4, 8, 16, 32, 64)
MEASURED_SHARE = 8  # pairs a step of the one GPU that was measured: --batch of benchmarks/head_t1.sh
SHARES = (MEASURED_SHARE, 1)  # 1: the most GPUs that a global batch can be spread over
STOP_BYTES = 4  # whether somebody was asked to stop, one float32 a step
# What is left of a bandwidth on paper after headers, protocol and waiting. Assumed.
REACHED = 0.8
# Each gradient is read and written when it is laid in a row, when the sum is divided, and when it is laid back
COPY_PASSES = 6  # mr2ct_training.processes.average_gradients
MEMORY_BYTES_PER_SECOND = 3.35e12  # HBM3 of an H100 SXM, its data sheet


@dataclass(frozen=True)
class Link:
    """The slowest link between the GPUs.

    bytes_per_second: one way, on paper.  latency_s: of a turn of the ring.  most_gpus: that it joins.
    """

    name: str
    bytes_per_second: float
    latency_s: float
    most_gpus: int
    source: str


LINKS = (
    Link(
        "NVLink", 450e9, 5e-6, 8,
        "4th generation, 900 GB/s of an H100 SXM both ways together (its data sheet), one node; latency assumed",
    ),
    Link("InfiniBand", 50e9, 5e-6, 64, "NDR, 400 Gb/s a port, one port a node; latency assumed"),
    Link("10 GbE", 1.25e9, 50e-6, 64, "10 Gb/s, one port a node; TCP's latency through a switch, assumed"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / f"{NAME}.png", help="where to draw it")
    picture = parser.parse_args().picture
    result = projection(measured_pairs_per_second(), message_bytes())
    print_table(result)
    (RESULTS / f"{NAME}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    from training_projection_picture import draw  # matplotlib, which nothing else here needs

    draw(result, picture)


def measured_pairs_per_second() -> dict[str, float]:
    """Of one H100 at eight pairs a step, and of two CPU cores at one, both bf16; medians."""
    lines = [json.loads(line) for line in (RESULTS / "head-t1-training.jsonl").read_text().splitlines()]
    cpu = json.loads((RESULTS / "training-cpu.json").read_text())
    (bf16,) = [v for v in cpu["variants"] if v["precision"] == "bf16-mixed" and not v["plain"]]
    return {
        "h100": statistics.median(line["pairs_per_second"] for line in lines if "pairs_per_second" in line),
        "cpu": bf16["pairs_per_second"]["median"],
    }


def message_bytes() -> dict[str, int]:
    """Of each message of a step: gradients are fp32 whatever the precision, as mr2ct_training.processes sends them."""
    import torch  # and the networks: nothing else here needs them

    from mr2ct_training.config import TrainConfig
    from mr2ct_training.cyclegan import CycleGAN

    modules = CycleGAN(TrainConfig(), torch.device("cpu"), range(1)).networks.modules
    sizes = {name: sum(4 * weight.numel() for weight in module.parameters()) for name, module in modules.items()}
    generators = sizes["mr_to_ct"] + sizes["ct_to_mr"]
    return {"generators": generators, "discriminators": sum(sizes.values()) - generators, "stop": STOP_BYTES}


def exchange_seconds(link: Link, gpus: int, messages: dict[str, int]) -> float:
    """Of all messages of a step over a ring, with their copies; 0 for one GPU."""
    if gpus == 1:
        return 0.0
    turns, size = 2 * (gpus - 1), sum(messages.values())
    copies = COPY_PASSES * size / (MEMORY_BYTES_PER_SECOND * REACHED)
    return turns / gpus * size / (link.bytes_per_second * REACHED) + len(messages) * turns * link.latency_s + copies


def projection(pairs_per_second: dict[str, float], messages: dict[str, int]) -> dict[str, Any]:
    """Every share, number of GPUs and link, and what they are made of."""
    return {
        "benchmark": NAME,
        "pairs": STEPS,
        "pairs_per_second": pairs_per_second,
        "message_bytes": messages,
        "links": [asdict(link) for link in LINKS],
        "reached": REACHED,
        "inputs": inputs(pairs_per_second, messages),
        "hours_of_two_cpu_cores": STEPS / pairs_per_second["cpu"] / 3600,
        "hours_of_the_paper": HOURS,
        "rows": [
            _row(share, gpus, link, pairs_per_second["h100"], messages)
            for share in SHARES
            for gpus in GPUS
            for link in LINKS
            if gpus <= link.most_gpus
        ],
    }


def _row(share: int, gpus: int, link: Link, rate: float, messages: dict[str, int]) -> dict[str, Any]:
    steps = math.ceil(STEPS / (share * gpus))
    compute, exchange = share / rate, exchange_seconds(link, gpus, messages)
    return {
        "pairs_a_gpu": share,
        "gpus": gpus,
        "link": link.name,
        "global_batch": share * gpus,
        "steps": steps,
        "compute_seconds": compute,
        "exchange_seconds": exchange,
        "hours": steps * (compute + exchange) / 3600,
        "efficiency": compute / (compute + exchange),
        "speed_measured": gpus == 1 and share == MEASURED_SHARE,
    }


def inputs(pairs_per_second: dict[str, float], messages: dict[str, int]) -> list[dict[str, str]]:
    """What goes in, and how it is known."""
    h100, cpu = pairs_per_second["h100"], pairs_per_second["cpu"]
    how = (
        "median of results/head-t1-training.jsonl, with --anchor-weight and --augment, which the paper has not; "
        "validation and checkpoints not in it"
    )
    told = [
        (f"{h100:.1f} pairs a second on one H100, bf16, eight pairs a step", "measured", how),
        (f"{cpu:.2f} pairs a second on two CPU cores, bf16, one pair a step", "measured", "results/training-cpu.json"),
        (
            f"{sum(messages.values()) / 1e6:.1f} MB a step in {len(messages)} messages",
            "counted",
            "fp32 gradients of two generators, of two discriminators, and a float that says whether to stop",
        ),
        (f"{STEPS:,} pairs", "counted", "the paper's 183 slices x 18 patients x 200 epochs, in steps of one"),
        ("a pair takes as long whatever a GPU's share of a step is", "assumed", "measured at eight only"),
        ("every GPU has the host cores that it had alone", "assumed", "16 then; a process reads its own slices"),
        ("nothing is sent while something is computed", "as the code is", "mr2ct_training/loop.py"),
        (f"{REACHED:.0%} of every bandwidth is reached", "assumed", "nothing was measured"),
        (
            f"gradients go {COPY_PASSES} times over memory of {MEMORY_BYTES_PER_SECOND / 1e12:g} TB/s",
            "counted; assumed",
            "laid in a row, divided, laid back; HBM3 of an H100 SXM (its data sheet)",
        ),
    ]
    for link in LINKS:
        bandwidth, turn = f"{link.bytes_per_second / 1e9:g} GB/s one way", f"{link.latency_s * 1e6:g} us a turn"
        told.append((f"{link.name}: {bandwidth}, {turn}, up to {link.most_gpus} GPUs", "assumed", link.source))
    return [dict(zip(("what", "known", "source"), one, strict=True)) for one in told]


def print_table(result: dict[str, Any]) -> None:
    """A line a row of the result."""
    print(
        f"{'pairs/GPU':>9}{'GPUs':>6}  {'link':<11}{'batch':>6}{'steps':>9}{'compute':>9}{'exchange':>10}{'hours':>8}"
    )
    for row in result["rows"]:
        print(
            f"{row['pairs_a_gpu']:9}{row['gpus']:6}  {row['link']:<11}{row['global_batch']:6}{row['steps']:9,}"
            f"{1e3 * row['compute_seconds']:6.1f} ms{1e3 * row['exchange_seconds']:7.2f} ms{row['hours']:8.2f}"
            f"{'  its speed is measured' if row['speed_measured'] else ''}"
        )
    print(f"two CPU cores: {result['hours_of_two_cpu_cores']:,.0f} hours; the paper's Titan X: {HOURS}")


if __name__ == "__main__":
    main()
