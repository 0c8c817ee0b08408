"""Write the tables of docs/capacity.md, docs/clusters.md and docs/training-across-nodes.md from benchmarks/results.

    python benchmarks/planning_tables.py [--check]

A table stands between <!-- name --> and <!-- /name -->. --check changes nothing and exits 1 when one is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from throughput_table import throughput_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("capacity", "clusters", "training-across-nodes"))


def capacity() -> str:
    """Rows of capacity.json, slowest first; mr2ct's own devices in bold."""
    rows: list[Sequence[str]] = [
        ("engine, on", "slices", "s in the engine", "GiB", "volumes an hour", "EUR a thousand", "limit", "besides"),
        ("---",) * 8,
    ]
    for row in _result("capacity")["rows"]:
        title = f"**{row['title']}**" if row["own"] else row["title"]
        price, outside = row["eur_per_thousand_volumes"], "" if row["within_budget"] else "; outside its budget in HU"
        rows.append((
            f"{title}, {row['hardware']}",
            str(row["slices"]),
            f"{row['seconds']['engine']:.2f}",
            "" if row["memory_gib"] is None else f"{row['memory_gib']:.2f}",
            f"{row['volumes_an_hour']:,.0f}",
            "" if price is None else f"{price:.2f}",
            row["limit"],
            row["note"] + outside,
        ))  # fmt: skip
    return _lines(rows)


def seconds() -> str:
    """What a volume takes beside the engine, and how that is known."""
    result = _result("capacity")
    seconds, each_way = result["rows"][0]["seconds"], result["dicom_bytes_each_way"] / 1e6
    disk, network = result["disk_bytes_per_second"] / 1e6, result["network_bytes_per_second"] * 8 / 1e9
    rows = [
        ("beside the engine a volume takes", "seconds", "alone, volumes an hour", "known"),
        ("---",) * 4,
        (
            "host work: read, mask, gate, grid, back, write; NIfTI", *_alone(seconds["host work"]),
            f"measured on {result['host_cores']} cores, `latency-cpu.json`",
        ),
        (
            f"disk: {each_way:.1f} MB of DICOM, {result['disk_passes']} times", *_alone(seconds["disk"]),
            f"assumed {disk:.0f} MB/s",
        ),
        (
            f"network: {each_way:.1f} MB of DICOM each way at once", *_alone(seconds["network"]),
            f"assumed {network:g} Gb/s",
        ),
    ]  # fmt: skip
    return _lines(rows)


def _alone(seconds: float) -> tuple[str, str]:
    return f"{seconds:.2f}", f"{3600 / seconds:,.0f}"


def prices() -> str:
    """The placeholders."""
    rows = [("machine", "EUR an hour, a placeholder"), ("---",) * 2]
    rows += [(f"`{name}`", f"{price:.2f}") for name, price in _result("capacity")["prices_eur_an_hour"].items()]
    return _lines(rows)


def inputs() -> str:
    """What the projection is made of."""
    rows = [("what", "known", "from"), ("---",) * 3]
    rows += [(one["what"], one["known"], one["source"]) for one in _result("training-projection")["inputs"]]
    return _lines(rows)


def projection() -> str:
    """Hours by GPUs and link, both shares of a step."""
    result = _result("training-projection")
    links = [link["name"] for link in result["links"]]
    rows: list[Sequence[str]] = [
        ("pairs a GPU", "GPUs", "global batch", "steps", *(f"{link}: hours, waiting" for link in links)),
        ("---",) * (4 + len(links)),
    ]
    points = {(row["pairs_a_gpu"], row["gpus"], row["link"]): row for row in result["rows"]}
    for share, gpus in dict.fromkeys((row["pairs_a_gpu"], row["gpus"]) for row in result["rows"]):
        there = [points.get((share, gpus, link)) for link in links]
        one = next(row for row in there if row is not None)
        if gpus == 1:
            rows.append((str(share), "1", str(share), f"{one['steps']:,}", f"{one['hours']:.2f}, -", "", ""))
            continue
        told = ["" if row is None else f"{row['hours']:.2f}, {1 - row['efficiency']:.0%}" for row in there]
        rows.append((str(share), str(gpus), str(one["global_batch"]), f"{one['steps']:,}", *told))
    return _lines(rows)


def ray() -> str:
    """One process and some workers, by the fastest turn of each."""
    result = _result("archive-on-ray-cpu")
    where = f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores, {result['date']}"
    rows: list[Sequence[str]] = [
        (where, "volumes", "volumes an hour", "times one process", "GiB after a third", "GiB at the end"),
        ("---",) * 6,
    ]
    rows += [
        (
            f"{kind['kind']}; {way['way']}",
            str(kind["volumes"]),
            f"{way['volumes_an_hour_fastest']:,.0f}",
            f"{way['times_one_process_fastest']:.2f}",
            f"{way['gib_after_a_third']:.2f}",
            f"{way['gib_in_the_last_tenth']:.2f}",
        )
        for kind in result["kinds"]
        for way in kind["ways"]
    ]
    told = result["killed"]
    return _lines(rows) + (
        f"\n\nA worker killed early and the driver after {told['done_when_the_driver_was_killed']} of "
        f"{told['volumes']} volumes: a second run had {told['done_in_the_end']} done, made {told['made_again']} of the "
        f"first ones again, and left {told['left_half_written']} half-written."
    )


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def _lines(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


TABLES: dict[str, Callable[[], str]] = {
    "capacity": capacity,
    "seconds": seconds,
    "prices": prices,
    "inputs": inputs,
    "projection": projection,
    "ray": ray,
    "many": lambda: throughput_text(_result("throughput-cpu")),
}


def filled(text: str) -> str:
    """A page's text with every table that it has made anew."""
    for name, table in TABLES.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if block.search(text):
            made = table()
            text = block.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if "--check" not in sys.argv[1:]:
            page.write_text(new, encoding="utf-8")
        elif new != text:
            sys.exit(f"{page.name} is out of date: python benchmarks/planning_tables.py")


if __name__ == "__main__":
    main()
