"""A node in the tests' own process, and a destination for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dicom_peers import StoreScp, need_dcmtk
from mr2ct.node.serving import Node
from mr2ct.node.working import Synthesise
from standing_in import every_file_becomes_ct, settings_of

Start = Callable[..., Node]


@pytest.fixture
def start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Start]:
    """start(port of the destination, ...) starts a node on tmp_path/spool, which ends with the test."""
    caplog.set_level(logging.INFO, "mr2ct.node")
    with ExitStack() as nodes:

        def begin(destination: int, synthesise: Synthesise = every_file_becomes_ct, **told: object) -> Node:
            return nodes.enter_context(running(tmp_path / "spool", destination, synthesise, **told))

        yield begin


@contextmanager
def running(spool: Path, destination: int, synthesise: Synthesise, **told: object) -> Iterator[Node]:
    node = Node(settings_of(spool, f"PACS@127.0.0.1:{destination}", **told), synthesise)
    node.start()
    try:
        yield node
    finally:
        assert node.stop(), "a thread did not end"


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StoreScp]:
    """storescp."""
    need_dcmtk()
    scp = StoreScp(tmp_path / "pacs")
    yield scp
    scp.stop()
