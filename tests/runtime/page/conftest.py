"""One Chromium and one page for the tests of the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mr2ct.model import Model
from mr2ct.page.page import page
from mr2ct.report import Run
from runtime.page.browsing import Browser, start_browser
from runtime.page.runs import cycle_of, drawn_head, run_of


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests."""
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def straight(identity_model: Model) -> Run:
    mr, ct, head = drawn_head()
    return run_of(identity_model, (mr, ct, head), cycle=cycle_of(mr, head))


@pytest.fixture(scope="session")
def written(straight: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(straight), encoding="utf-8")
    return path
