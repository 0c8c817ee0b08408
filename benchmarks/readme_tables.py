"""Write README's measured tables from benchmarks/results, so that no number in it is typed.

    python benchmarks/readme_tables.py [--check]

A table stands between <!-- name --> and <!-- /name -->. --check changes nothing and exits 1 when README is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
PAPER_STEPS = 183 * 18 * 200  # slices x training patients x epochs, section 4


def latency() -> str:
    """Rows of benchmarks/results/latency-cpu.json."""
    result = _result("latency-cpu")
    seconds, eager = result["seconds"], result["pytorch_eager_fp32_seconds"]
    rows = [
        (_where(result), "a volume"),
        ("---", "---"),
        (
            f"{result['engine']}, {result['precision']}, {result['slices']} slices",
            f"{seconds['engine']['median']:.1f} s",
        ),
        (f"PyTorch {result['versions']['torch']} eager, fp32, one slice a call", f"{eager['median']:.1f} s"),
        (
            "everything around the engine: read, mask, grid, back, write",
            f"{seconds['all but the engine']['median']:.2f} s",
        ),
        ("peak memory of `mr2ct-run`", f"{result['peak_memory_gib_of_one_mr2ct_run']:.2f} GiB"),
        ("farthest from PyTorch fp32 inside the head", f"{result['error_hu']['max']:.3f} HU"),
    ]
    return _lines(rows)


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


def first_run() -> str:
    """Rows of benchmarks/results/first-run.json."""
    result = _result("first-run")
    fp32, fp16 = result["certificates"]
    first, *_, last = result["cycle_error_by_epoch"]
    rows = [
        (f"{result['steps']} steps of the paper's {PAPER_STEPS:,}", "measured", "budget"),
        ("---",) * 3,
        ("cycle error on the MR held out, after the first epoch and the last", f"{first:.1%}, {last:.1%}", ""),
        (
            "fp32 graph against PyTorch fp32, inside the head",
            f"max {fp32['max_hu']:.4f} HU",
            f"{fp32['budget_hu']['max_hu']:g} HU",
        ),
        (
            "fp16 graph, its rounding included",
            f"mean {fp16['mean_hu']:.2f}, p99.9 {fp16['p99_9_hu']:.1f} HU",
            f"{fp16['budget_hu']['mean_hu']:g}, {fp16['budget_hu']['p99_9_hu']:g} HU",
        ),
    ]
    return _lines(rows)


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
    paper = (
        "the paper's patients, its Table 1",
        "73.7 +- 2.3 HU",
        "89.4 +- 6.8 HU",
        "32.3 +- 0.7 dB",
        "30.6 +- 0.9 dB",
    )
    rows.append((*paper, "p < 0.05"))
    return _lines(rows)


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text())
    return result


def _where(result: dict[str, Any]) -> str:
    return f"{result['hardware']['cpu']}, {result['hardware']['cores']} cores, {result['date']}"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


TABLES = {"latency": latency, "training": training, "first run": first_run, "table 1": table_one}


def filled(text: str) -> str:
    """README's text with every table made anew."""
    for name, table in TABLES.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = block.sub(lambda found, table=table: f"{found[1]}{table()}\n{found[2]}", text)
    return text


def main() -> None:
    text = README.read_text()
    new = filled(text)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == text else "README.md is out of date: python benchmarks/readme_tables.py")
    README.write_text(new)


if __name__ == "__main__":
    main()
