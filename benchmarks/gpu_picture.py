"""The picture of benchmarks/gpu.py: a bar a contender, as long as a volume takes, with its error in HU beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

LIGHT, DARK, OUTSIDE = "#b9cfe4", "#1f5a94", "#b3352a"
INCHES_A_BAR = 0.42


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of the contenders that ran, fastest first; the others are named with their reason below."""
    ran = sorted(
        (row for row in result["contenders"] if row["status"] == "ran"), key=lambda row: row["host_to_host_ms"]["p50"]
    )
    others = [
        f"{row['title']}: {row['status']}: {_short(row['reason'])}" for row in result["contenders"] if row not in ran
    ]
    figure = Figure(figsize=(10, 1.5 + INCHES_A_BAR * len(ran) + 0.16 * len(others)), layout="constrained")
    axes = figure.add_subplot()
    longest = max((row["host_to_host_ms"]["p50"] for row in ran), default=1.0)
    for place, row in enumerate(ran):
        whole, gpu = row["host_to_host_ms"]["p50"], row["gpu_ms"]["p50"]
        axes.barh(place, whole, color=LIGHT, height=0.7)
        if row["clock"].startswith("CUDA events"):
            axes.barh(place, gpu, color=DARK, height=0.7)
        error, color = row["error_hu"], "black" if row["within_budget"] else OUTSIDE
        told = f"{whole:.1f} ms   {error['mean']:.2f} / {error['p99.9']:.1f} HU"
        axes.text(whole + longest * 0.01, place, told, va="center", fontsize=9, color=color)
    axes.set_yticks(range(len(ran)), [f"{row['title']}, {row['precision']}" for row in ran], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.32)
    axes.set_xlabel(
        f"ms for {result['slices']} slices, median; light: host memory to host memory, dark: of that on the GPU",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_title(result), fontsize=10, loc="left")
    if others:
        figure.supxlabel("\n".join(others), fontsize=7, x=0.01, ha="left", color="gray", parse_math=False)
    figure.savefig(path, dpi=150)


def _title(result: dict[str, Any]) -> str:
    where = result["gpu"]["name"] if result["gpu"] else result["hardware"]["cpu"]
    state = "" if result["model"]["state"] == "trained" else " of an untrained generator"
    return (
        f"{where}, {result['date']}: MR to synthetic CT\n"
        f"beside each bar: mean / p99.9 error against PyTorch fp32 in the head{state}, red where outside the budget"
    )


def _short(reason: str) -> str:
    return reason if len(reason) <= 110 else f"{reason[:107]}..."
