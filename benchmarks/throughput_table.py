"""The table of benchmarks/throughput.py, in the terminal and in README."""

from __future__ import annotations

from typing import Any


def print_table(result: dict[str, Any]) -> None:
    """Every way of every kind: volumes an hour in its fastest turn, and how many times those of the loop."""
    hardware = result["hardware"]
    print(f"{hardware['cpu']}, {hardware['cores']} cores")
    for kind in result["kinds"]:
        equal = "equal bit for bit" if kind["bit_equal"] else "NOT EQUAL"
        print(f"{kind['kind']}: {kind['volumes']} volumes, {kind['slices']} slices each, {kind['engine']}; CTs {equal}")
        for way in kind["ways"]:
            hour, times = way["volumes_an_hour_fastest"], way["times_the_loop"]
            told = f"turns {times['min']:.2f} to {times['p95']:.2f}"
            print(f"  {way['way']:<16}{hour:8.0f} an hour{way['times_the_loop_fastest']:8.2f} x ({told})")
    print(_memory(result["memory"]))


def throughput_text(result: dict[str, Any]) -> str:
    """A row a kind, for README: a loop of calls, and every other way, by the fastest turn of each."""
    ways = [way["way"] for way in result["kinds"][0]["ways"]]
    where = f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores, {result['date']}"
    rows = [(where, *(f"volumes an hour, {way}" for way in ways), "ratio"), ("---",) * (len(ways) + 2)]
    for kind in result["kinds"]:
        hours = [f"{way['volumes_an_hour_fastest']:.0f}" for way in kind["ways"]]
        ratios = ", ".join(f"{way['times_the_loop_fastest']:.2f}" for way in kind["ways"][1:])
        rows.append((kind["kind"], *hours, ratios))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{_memory(result['memory'])}"


def _memory(held: dict[str, Any]) -> str:
    first, last = held["peak_gib_after_a_fifth"], held["peak_gib_at_the_end"]
    return (
        f"Peak memory of one call over {held['volumes']} volumes: {first:.2f} GiB after a fifth, {last:.2f} at the end."
    )
