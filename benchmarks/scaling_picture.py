"""The picture of benchmarks/scaling.py: seconds and memory over slices, speed over threads and over slices a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#1f5a94", "#c4741d", "#3c8d5a", "#7a4a91")
MARKERS = "osv^"


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of four panels, a colour an engine."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    (seconds, memory), (threads, batches) = figure.subplots(2, 2)
    ran = [row for row in result["engines"] if row["status"] == "ran"]
    for row, colour, marker in zip(ran, COLOURS, MARKERS, strict=False):
        style = {"color": colour, "marker": marker, "markersize": 5}
        _over_slices(seconds, row, "seconds", row["seconds_fit"], style, "s")
        _over_slices(memory, row, "memory_gib", row["memory_fit"], style, "GiB")
        _speed(threads, row["title"], row["by_threads"], "threads", style, result["slices_of_the_other_points"])
        _speed(batches, row["title"], row["by_batch"], "step", style, result["slices_of_the_other_points"])
    for axes, title, x in (
        (seconds, "seconds", "slices"),
        (memory, "resident peak of the process, GiB", "slices"),
        (threads, "slices a second", "threads"),
        (batches, "slices a second", "slices the engine gets at once"),
    ):
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel(x, fontsize=9)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if axes.has_data():
            axes.legend(fontsize=8, frameon=False)
    for axes in (threads, batches):
        axes.set_xticks(sorted({int(x) for line in axes.get_lines() for x in line.get_xdata()}))
    hardware, model = result["hardware"], result["model"]
    figure.suptitle(
        f"{hardware['cpu']}, {hardware['cores']} cores, {result['date']}; generator of width {model['width']}",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def _over_slices(
    axes: Axes, row: dict[str, Any], key: str, fit: dict[str, float] | None, style: dict[str, Any], unit: str
) -> None:
    points = [(one["slices"], one[key]) for one in row["by_slices"] if one["status"] == "ran" and one[key] is not None]
    if not points:
        return
    label = row["title"]
    if fit is not None:
        r2 = "" if fit["r2"] is None else f", R$^2$ {fit['r2']:.4f}"
        label += f": {fit['a']:.2f} + {fit['b']:.4f} {unit} a slice{r2}"
        ends = (0, max(slices for slices, _ in points))
        axes.plot(ends, [fit["a"] + fit["b"] * end for end in ends], color=style["color"], linewidth=1)
    axes.plot(*zip(*points, strict=True), linestyle="none", label=label, **style)


def _speed(axes: Axes, title: str, points: list[dict[str, Any]], key: str, style: dict[str, Any], slices: int) -> None:
    there = [(point[key], slices / point["seconds"]) for point in points if point["status"] == "ran"]
    if there:
        axes.plot(*zip(*there, strict=True), label=title, **style)
