"""Write the measured tables of README and MODEL_CARD from benchmarks/results, so that no number in them is typed.

    python benchmarks/readme_tables.py [--check]

A table stands between <!-- name --> and <!-- /name -->. --check changes nothing and exits 1 when one is out of date.
A table whose result is not there yet, or is one of an older form of its benchmark, is left as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clinic_tables import clinic_text, gate_text
from model_tables import card_text, demonstrator_text, faults_text, graphs_text, skull_text
from throughput_table import throughput_text

HERE = Path(__file__).resolve().parent
PAGES = (HERE.parent / "README.md", HERE.parent / "MODEL_CARD.md")
CARD = HERE.parent / "runtime" / "mr2ct" / "models" / "head-t1" / "card.json"


def latency() -> str | None:
    """Rows of benchmarks/results/latency-cpu.json, and of scaling-cpu.json and footprint-cpu.json where they are."""
    result = _result("latency-cpu")
    if "engines" not in result:
        return None
    eager, model = result["pytorch_eager_fp32"], result["model"]
    engines = [row for row in result["engines"] if row["status"] == "ran"]
    if not engines:
        return None
    counts = {kind: engines[0][kind]["slices"] for kind in ("all_slices", "skipping_air")}
    rows: list[Sequence[str]] = [
        (
            _where(result), f"all {counts['all_slices']} slices", f"{counts['skipping_air']}, air skipped",
            "mean, p99.9, max error", "peak memory",
        ),
        ("---",) * 5,
        (
            f"PyTorch {result['versions']['torch']} eager, fp32, one slice a call",
            f"{eager['seconds_of_all_slices']['p50']:.1f} s", "", "", _gib(eager["memory_gib"]),
        ),
    ]  # fmt: skip
    for row in sorted(engines, key=lambda row: -row["skipping_air"]["seconds"]["engine"]["p50"]):
        seconds = [f"{row[kind]['seconds']['engine']['p50']:.1f} s" for kind in counts]
        error, peak = _error(row, model), _gib(row["skipping_air"]["peak_memory_gib"])
        rows.append((f"`{row['device']}`, {row['precision']}: {row['engine']}", *seconds, error, peak))
    fastest = min(engines, key=lambda row: row["skipping_air"]["seconds"]["engine"]["p50"])
    around = fastest["skipping_air"]["seconds_around_the_engine"]["p50"]
    rows.append(("everything around the engine: read, mask, gate, grid, back, write", "", f"{around:.2f} s", "", ""))
    starts = fastest["first_slice_seconds"]
    kept = "" if starts["cache_warm"] is None else f"{starts['cache_warm']['p50']:.1f} s"
    first = f"{starts['cache_empty']:.1f} s"
    rows.append(
        (f"`mr2ct-run` up to its first slice, {fastest['precision']}: the first time, then", first, kept, "", "")
    )
    return "\n".join([_lines(rows), *_beside()])


def _beside() -> list[str]:
    """Sentences on how it grows and what it costs to install, from the results that are there."""
    lines = []
    scaling = _result("scaling-cpu") if _is_there("scaling-cpu") else {"engines": []}
    for row in scaling["engines"]:
        if row["status"] == "ran" and row["seconds_fit"] is not None and row["memory_fit"] is not None:
            time, memory = row["seconds_fit"], row["memory_fit"]
            r2 = "" if time["r2"] is None else f" (R² {time['r2']:.4f})"
            lines.append(
                f"{row['title']}: {time['a']:.2f} s + {time['b']:.3f} s a slice{r2}, {memory['a']:.2f} GiB + "
                f"{1024 * memory['b']:.2f} MiB a slice."
            )
    footprint = _result("footprint-cpu") if _is_there("footprint-cpu") else {"status": "absent"}
    if footprint["status"] == "ran":
        seconds = footprint["seconds"]
        lines.append(
            f"`{footprint['installed']}` is {footprint['megabytes']:.0f} MB on disk; `import mr2ct` takes "
            f"{seconds['import mr2ct']['p50']:.2f} s, `mr2ct-run --help` {seconds['mr2ct-run --help']['p50']:.2f} s."
        )
    return ["", " ".join(lines)] if lines else []


def peers() -> str | None:
    """Rows of benchmarks/results/peers-cpu.json, slowest first; who did not run is left to the result."""
    if not _is_there("peers-cpu"):
        return None
    result = _result("peers-cpu")
    rows = [
        (_where(result), f"{result['scaled_to']} slices", "x PyTorch eager", "mean, p99.9, max error", "peak memory"),
        ("---",) * 5,
    ]
    ran = [row for row in result["peers"] if row["status"] == "ran"]
    for row in sorted(ran, key=lambda row: -row["seconds_a_volume"]["p50"]):
        faster = row["speed_up_over_pytorch_eager"]
        title = f"**{row['title']}**" if row["name"].startswith("mr2ct-") else row["title"]
        numbers = re.search(r", which compute in \w+", row["engine"])  # other ones than those it was given
        rows.append((
            title if numbers is None else title + numbers[0],
            f"{row['seconds_a_volume']['p50']:.1f} s",
            "" if faster is None else f"{faster:.2f}",
            _error(row, result["model"]),
            _gib(row["memory_gib"]),
        ))  # fmt: skip
    return _lines(rows)


def _error(row: dict[str, Any], model: dict[str, Any]) -> str:
    """HU against PyTorch fp32 inside the head; of noise, and therefore told as such, for an untrained generator."""
    error = row["error_hu"]
    told = f"{error['mean']:.3f}, {error['p99.9']:.2f}, {error['max']:.2f} HU"
    return told if model["state"] == "trained" else f"{told}, {model['state']}"


def _gib(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} GiB"


def training() -> str:
    """Rows of benchmarks/results/training-cpu.json."""
    result = _result("training-cpu")
    rows = [(_where(result), "pairs a second", "x plain loop", "peak memory"), ("---",) * 4]
    for variant in result["variants"]:
        name = "plain eager PyTorch, fp32, batch 1" if variant["plain"] else f"`{variant['name']}`"
        rows.append((
            name,
            f"{variant['pairs_per_second']['median']:.2f}",
            f"{variant['speed_up_over_plain']['median']:.2f}",
            f"{variant['peak_memory_gib']:.1f} GiB",
        ))  # fmt: skip
    return _lines(rows)


def gpu() -> str:
    """Rows of benchmarks/results/gpu-*.json that ran, slowest first; who did not is left to the results."""
    results = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob("gpu-*.json"))]
    ran = [(result, row) for result in results for row in result["contenders"] if row["status"] == "ran"]
    rows = [
        ("GPU", "183 slices, host to host", "cold, with start", "mean, p99.9, max error", "GPU memory"),
        ("---",) * 5,
    ]
    for result, row in sorted(ran, key=lambda one: -one[1]["host_to_host_ms"]["p50"]):
        rows.append((
            f"{result['gpu']['name']}, {row['title']}, {row['precision']}",
            f"{row['host_to_host_ms']['p50']:.0f} ms",
            f"{row['cold_start_seconds']['all']:.1f} s",
            _error(row, result["model"]),
            _gib(row["memory_gib"]),
        ))  # fmt: skip
    return _lines(rows)


def demonstrator() -> str | None:
    return demonstrator_text(_result("demonstrator")) if _is_there("demonstrator") else None


def card() -> str | None:
    return card_text(json.loads(CARD.read_text())) if CARD.is_file() else None


def graphs() -> str | None:
    return graphs_text(_result("head-t1-graphs")) if _is_there("head-t1-graphs") else None


def faults() -> str | None:
    names = [(f"head-faults-{n}", f"head-faults-simulated-{n}") for n in (1, 2, 3)]
    found = [
        (_result(real), _result(simulated)) for real, simulated in names if _is_there(real) and _is_there(simulated)
    ]
    return faults_text(found) if found else None


def skull() -> str | None:
    return skull_text(_result("real-skull")) if _is_there("real-skull") else None


def table_one() -> str:
    """Rows of benchmarks/results/table1-cpu.json."""
    result = _result("table1-cpu")
    size = result["size"]
    where = f"{size['patients']} drawn patients, {size['pixels']} x {size['pixels']} pixels, {result['steps']} steps"
    rows = [(where, "MAE unpaired", "MAE paired", "PSNR unpaired", "PSNR paired", "t-test of MAE"), ("---",) * 6]
    for level in result["levels"]:
        cells = [
            f"{method[key]['mean']:.1f} +- {method[key]['sd']:.1f} {unit}"
            for key, unit in (("mae_hu_in_mask", "HU"), ("psnr_db_in_mask_range_4095", "dB"))
            for method in (level["methods"]["unpaired"], level["methods"]["paired"])
        ]
        p = level["unpaired_minus_paired"]["mae_hu_in_mask"]["t_test_p"]
        rows.append((f"pairs misaligned by {level['misalignment_mm']:g} mm", *cells, f"p = {p:.2g}"))
    paper = ("73.7 +- 2.3 HU", "89.4 +- 6.8 HU", "32.3 +- 0.7 dB", "30.6 +- 0.9 dB")
    rows.append(("the paper's patients, its Table 1", *paper, "p < 0.05"))
    return _lines(rows)


def _is_there(name: str) -> bool:
    return (HERE / "results" / f"{name}.json").is_file()


def gate() -> str | None:
    return gate_text(_result("gate-confusion")) if _is_there("gate-confusion") else None


def clinic() -> str | None:
    there = _is_there("fuzz-reading") and _is_there("node-kills")
    return clinic_text(_result("fuzz-reading"), _result("node-kills")) if there else None


def throughput() -> str | None:
    return throughput_text(_result("throughput-cpu")) if _is_there("throughput-cpu") else None


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text())
    return result


def _where(result: dict[str, Any]) -> str:
    return f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores, {result['date']}"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


TABLES: dict[str, Callable[[], str | None]] = {
    "latency": latency,
    "peers": peers,
    "training": training,
    "gpu": gpu,
    "gate": gate,
    "clinic": clinic,
    "throughput": throughput,
    "demonstrator": demonstrator,
    "card": card,
    "graphs": graphs,
    "faults": faults,
    "skull": skull,
    "table 1": table_one,
}


def filled(text: str) -> str:
    """A page's text with every table made anew whose result is there."""
    for name, table in TABLES.items():
        made = table()
        if made is not None:
            block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
            text = block.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def main() -> None:
    for page in PAGES:
        text = page.read_text()
        new = filled(text)
        if "--check" not in sys.argv[1:]:
            page.write_text(new)
        elif new != text:
            sys.exit(f"{page.name} is out of date: python benchmarks/readme_tables.py")


if __name__ == "__main__":
    main()
