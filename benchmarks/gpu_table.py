"""The tables of benchmarks/gpu.py, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = (
    f"{'GPU p50':>9}{'p90':>8}{'p99':>8}{'host':>8}{'TFLOP/s':>9}{'% peak':>8}{'start':>7}{'again':>7}{'GiB':>6}"
    f"{'HU mean':>9}{'p99.9':>7}{'max':>7}  budget"
)


def print_table(result: dict[str, Any]) -> None:
    """Every contender, and below the slices at once of those that were swept."""
    gpu, model, exact = result["gpu"], result["model"], result["exact"]
    where = f"{gpu['name']}, driver {gpu['driver']}" if gpu else result["hardware"]["cpu"]
    print(f"{where}; PyTorch {result['versions']['torch']}")
    print(
        f"{result['slices']} slices of a {model['head']} head, {result['tflop_a_volume']:.2f} TFLOP; model "
        f"{model['name']}, {model['state']}; {exact['matrix_peak']['tflop_per_second']:.1f} TFLOP/s in a product of "
        f"{exact['matrix_peak']['product']}; PyTorch fp32 {exact['pytorch_fp32_ms']:.0f} ms"
    )
    print(f"{'ms a volume, s from the start of the process':<46}{COLUMNS}")
    _print_rows([(f"{row['title']}{_at_once(row)}", row) for row in result["contenders"]], model["state"])
    if result["sweep"]:
        print("tuned for so many slices at once")
        _print_rows([(f"{row['title']}, {row['step']}", row) for row in result["sweep"]], model["state"])
    if any(row.get("clock", "").startswith("wall") for row in result["contenders"]):
        print("* by the wall clock, copies and the host's work included")


def _print_rows(rows: Sequence[tuple[str, dict[str, Any]]], state: str) -> None:
    for title, row in rows:
        if row["status"] != "ran":
            print(f"{title:<46}  {row['status']}: {row['reason']}")
            continue
        gpu, error, budget = row["gpu_ms"], row["error_hu"], "holds" if row["within_budget"] else "fails"
        again = row.get("second_start_seconds")
        wall = "*" if row["clock"].startswith("wall") else " "
        print(
            f"{title:<46}{gpu['p50']:8.1f}{wall}{gpu['p90']:8.1f}{gpu['p99']:8.1f}{row['host_to_host_ms']['p50']:8.1f}"
            f"{row['tflop_per_second']:9.1f}{_or_dash(row['of_matrix_peak'], 100):>8}"
            f"{row['cold_start_seconds']['all']:7.1f}{_or_dash(again and again['all']):>7}"
            f"{_or_dash(row['memory_gib']):>6}{error['mean']:9.3f}{error['p99.9']:7.2f}{error['max']:7.1f}  {budget}"
            f"{'' if state == 'trained' else f', {state}'}"
        )


def _at_once(row: dict[str, Any]) -> str:
    return f", {row['precision']}, {row['slices_at_once']} at once" if row["status"] == "ran" else ""


def _or_dash(value: float | None, times: float = 1) -> str:
    return "-" if value is None else f"{value * times:.1f}"
