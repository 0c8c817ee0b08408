"""The tables of benchmarks/latency.py, in the terminal."""

from __future__ import annotations

from typing import Any

from latency_trips import KINDS, STAGES

TITLES = {"skipping_air": "air skipped", "all_slices": "all slices"}


def print_table(result: dict[str, Any]) -> None:
    """Every engine with either kind of trip, its stages below, then its starts, memory, energy and error."""
    hardware, model, eager = result["hardware"], result["model"], result["pytorch_eager_fp32"]
    print(f"{hardware['cpu']}, {hardware['cores']} cores; a {model['head']} head; model {model['name']}")
    print(f"{'seconds':<38}{'slices':>7}{'p50':>9}{'p90':>9}{'p99':>9}{'x eager':>9}")
    of_eager = eager["seconds_of_all_slices"]
    _print_row("PyTorch eager fp32", eager["scaled_to"], of_eager, 1.0)
    for row in result["engines"]:
        if row["status"] != "ran":
            print(f"{row['name']:<38}  {row['status']}: {row['reason']}")
            continue
        for kind in KINDS:
            trips = row[kind]
            _print_row(
                f"{row['name']}, {TITLES[kind]}", trips["slices"], trips["seconds"]["engine"],
                of_eager["p50"] / trips["seconds"]["engine"]["p50"],
            )  # fmt: skip
    ran = [row for row in result["engines"] if row["status"] == "ran"]
    if not ran:
        return
    print(f"\n{'p50 of seconds, air skipped':<24}{''.join(f'{name:>8}' for name in STAGES)}{'around':>8}{'process':>9}")
    for row in ran:
        trips = row["skipping_air"]
        stages = "".join(f"{trips['seconds'][name]['p50']:8.2f}" for name in STAGES)
        around, whole = trips["seconds_around_the_engine"]["p50"], trips["seconds_of_the_process"]["p50"]
        print(f"{row['name']:<24}{stages}{around:8.2f}{whole:9.2f}")
    print(
        f"\n{'':<24}{'first slice, empty':>19}{'kept':>7}{'GiB':>7}{'joules':>9}"
        f"{'HU mean':>9}{'p99.9':>8}{'max':>8}  budget"
    )
    for row in ran:
        starts, error, trips = row["first_slice_seconds"], row["error_hu"], row["skipping_air"]
        warm, joules = starts["cache_warm"], trips["joules"]
        print(
            f"{row['name']:<24}{starts['cache_empty']:19.2f}{_or_dash(warm and warm['p50'], 2):>7}"
            f"{_or_dash(trips['peak_memory_gib'], 2):>7}{_or_dash(joules and joules['p50'], 0):>9}"
            f"{error['mean']:9.3f}{error['p99.9']:8.2f}{error['max']:8.2f}  "
            f"{'holds' if row['within_budget'] else 'fails'}{'' if model['state'] == 'trained' else ', untrained'}"
        )
    print(f"energy: {result['energy_told_by']}; PyTorch eager timed on {eager['slices_timed']} slices")


def _print_row(title: str, slices: int, seconds: dict[str, float], faster: float) -> None:
    print(f"{title:<38}{slices:7}{seconds['p50']:9.2f}{seconds['p90']:9.2f}{seconds['p99']:9.2f}{faster:9.2f}")


def _or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
