"""README and MODEL_CARD tell what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import readme_tables


@pytest.mark.parametrize("page", readme_tables.PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_committed_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert readme_tables.filled(text) == text
