"""Write README's measured tables from benchmarks/results, so that no number in it is typed.

    python benchmarks/readme_tables.py [--check]

A table stands between <!-- name --> and <!-- /name -->. --check changes nothing and exits 1 when README is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"


def latency() -> str:
    """Rows of benchmarks/results/latency-cpu.json."""
    result: dict[str, Any] = json.loads((HERE / "results" / "latency-cpu.json").read_text())
    seconds = result["seconds"]
    hardware = result["hardware"]
    rows = [
        (f"{hardware['cpu']}, {hardware['cores']} cores, shared with other programs, {result['date']}", "a volume"),
        ("---", "---"),
        (
            f"{result['engine']}, {result['precision']}, {result['slices']} slices",
            f"{seconds['engine']['median']:.1f} s",
        ),
        (
            "everything around the engine: read, mask, grid, back, write",
            f"{seconds['all but the engine']['median']:.2f} s",
        ),
        ("peak memory of `mr2ct-run`", f"{result['peak_memory_gib_of_one_mr2ct_run']:.2f} GiB"),
        ("farthest from PyTorch fp32 inside the head", f"{result['error_hu']['max']:.3f} HU"),
    ]
    return "\n".join(f"| {left} | {right} |" for left, right in rows)


TABLES = {"latency": latency}


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
