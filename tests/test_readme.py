"""README tells what was measured."""

from __future__ import annotations

import readme_tables


def test_the_tables_are_those_of_the_committed_results() -> None:
    text = readme_tables.README.read_text(encoding="utf-8")
    assert readme_tables.filled(text) == text, "python benchmarks/readme_tables.py writes them anew"
