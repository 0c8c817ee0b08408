"""The pages on capacity and on several nodes tell what the committed results tell."""

from __future__ import annotations

from pathlib import Path

import pytest

import planning_tables


@pytest.mark.parametrize("page", planning_tables.PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_committed_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert planning_tables.filled(text) == text, "python benchmarks/planning_tables.py"
    assert text.count("<!-- /") >= 1


def test_only_what_is_between_the_marks_is_written() -> None:
    made = planning_tables.filled(
        "before\n<!-- prices -->\nout of date\n<!-- /prices -->\n<!-- other -->\nkept\n<!-- /other -->\n"
    )
    assert made.startswith("before\n<!-- prices -->\n| machine |")
    assert made.endswith("|\n<!-- /prices -->\n<!-- other -->\nkept\n<!-- /other -->\n")
    assert "out of date" not in made
