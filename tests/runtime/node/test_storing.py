"""What a destination may do to one try, each told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, evt

from dicom_peers import free_port
from mr2ct.node.settings import Settings
from mr2ct.node.storing import dicom_files, out_of_reach, store
from mr_files import ROOT, write_mr
from standing_in import every_file_becomes_ct, settings_of


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A CT of three instances, and a report beside it."""
    write_mr(tmp_path / "mr", ROOT)
    every_file_becomes_ct(tmp_path / "mr", tmp_path / "ct")
    (tmp_path / "ct" / "report.html").write_text("a report")
    return dicom_files(tmp_path / "ct")


Open = Callable[..., Settings]


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Open]:
    """destination(what to do with each instance, SOP class, only caller) gives the settings to reach it."""
    servers: list[Any] = []

    def open_one(handle: Callable[[Any], int], sop_class: str = CTImageStorage, caller: str = "") -> Settings:
        ae = AE(ae_title="PACS")
        ae.require_calling_aet = [caller] if caller else []
        ae.add_supported_context(sop_class)
        servers.append(ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)]))
        return settings_of(tmp_path, f"PACS@127.0.0.1:{servers[0].server_address[1]}")

    yield open_one
    for server in servers:
        server.shutdown()


def test_each_file_is_acknowledged_once(destination: Open, files: list[Path]) -> None:
    acknowledged: list[Path] = []
    settings = destination(lambda _: 0)
    outcome = store(files, settings, acknowledged.append, lambda: False)
    assert (outcome.acknowledged, outcome.refused, outcome.unreachable) == (3, {}, "")
    assert acknowledged == files
    assert out_of_reach(settings) == ""


def test_a_destination_that_takes_no_ct_refuses_all(destination: Open, files: list[Path]) -> None:
    outcome = store(files, destination(lambda _: 0, sop_class=MRImageStorage), list, lambda: False)
    assert outcome.refused == {"no CT Image Storage taken": 3}
    assert outcome.unreachable == ""


def test_a_destination_that_does_not_know_the_node_is_told_so(destination: Open, files: list[Path]) -> None:
    outcome = store(files, destination(lambda _: 0, caller="OTHER"), list, lambda: False)
    assert outcome.unreachable == "it does not take associations from MR2CT to PACS"


def test_a_destination_that_hangs_up_has_what_it_acknowledged(destination: Open, files: list[Path]) -> None:
    asked: list[int] = []
    acknowledged: list[Path] = []

    def hang_up(event: Any) -> int:
        asked.append(1)
        if len(asked) == 2:
            event.assoc.abort()
        return 0

    outcome = store(files, destination(hang_up), acknowledged.append, lambda: False)
    assert acknowledged == files[:1]
    assert outcome.acknowledged == 1
    assert outcome.unreachable in ("it did not answer, or hung up", "it hung up")


def test_a_node_that_stops_sends_no_more(destination: Open, files: list[Path]) -> None:
    acknowledged: list[Path] = []
    outcome = store(files, destination(lambda _: 0), acknowledged.append, lambda: bool(acknowledged))
    assert len(acknowledged) == 1
    assert outcome.unreachable == "the node stops"


def test_a_file_that_cannot_be_read_is_a_refusal_and_no_end_of_the_node(destination: Open, files: list[Path]) -> None:
    files[0].write_bytes(files[0].read_bytes()[:140])
    outcome = store(files, destination(lambda _: 0), list, lambda: False)
    assert sum(outcome.refused.values()) == 3
    assert outcome.unreachable == ""


def test_why_a_destination_is_out_of_reach_is_told(tmp_path: Path) -> None:
    assert out_of_reach(settings_of(tmp_path, f"PACS@127.0.0.1:{free_port()}")) == "Connection refused"
    assert out_of_reach(settings_of(tmp_path, "PACS@no-such-host.invalid:104"))
