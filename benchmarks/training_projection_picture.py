"""The picture of benchmarks/training_projection.py: hours and what waiting for gradients costs, over GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"NVLink": "#3c8d5a", "InfiniBand": "#1f5a94", "10 GbE": "#c4741d"}
MARKERS = {"NVLink": "s", "InfiniBand": "o", "10 GbE": "v"}
DASHES = ("-", "--")


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of two panels: a colour a link, solid where a GPU's share of a step is the measured one."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    hours, shares = figure.subplots(1, 2)
    gpus = sorted({row["gpus"] for row in result["rows"]})
    (measured,) = {row["hours"]: row for row in result["rows"] if row["speed_measured"]}.values()
    hours.plot(gpus, [measured["hours"] / n for n in gpus], color="lightgray", linewidth=1, label="no exchange at all")
    for share, dashes in zip(dict.fromkeys(row["pairs_a_gpu"] for row in result["rows"]), DASHES, strict=True):
        for link, colour in COLOURS.items():
            rows = [row for row in result["rows"] if row["pairs_a_gpu"] == share and row["link"] == link]
            x = [row["gpus"] for row in rows]
            style = {"color": colour, "marker": MARKERS[link], "markersize": 4, "linestyle": dashes, "linewidth": 1.2}
            hours.plot(x, [row["hours"] for row in rows], label=f"{link}, {share} a GPU", **style)
            shares.plot(x, [100 * (1 - row["efficiency"]) for row in rows], **style)
    hours.plot(
        [1],
        [measured["hours"]],
        marker="*",
        markersize=14,
        color="black",
        linestyle="none",
        label="speed measured here",
    )
    hours.set_yscale("log")
    hours.yaxis.set_major_formatter("{x:g}")
    hours.set_title(f"hours for the paper's {result['pairs']:,} pairs", fontsize=10, loc="left")
    shares.set_title("of a step waiting for gradients, %", fontsize=10, loc="left")
    shares.set_ylim(0, 100)
    for axes in (hours, shares):
        _tidy(axes, gpus)
    hours.legend(fontsize=8, frameon=False)
    rate = result["pairs_per_second"]["h100"]
    figure.suptitle(
        f"On paper, from {rate:.0f} pairs a second of one H100 in bf16 and assumed links; no second GPU was run.\n"
        "Global batch = GPUs x pairs a GPU; another batch is another training.",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def _tidy(axes: Axes, gpus: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(gpus, [str(n) for n in gpus])
    axes.set_xlabel("GPUs", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
