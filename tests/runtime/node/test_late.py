"""Series that go on growing, come twice, or share their UIDs with another patient's: nothing lost, nothing mixed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_peers import StoreScp, free_port, need_dcmtk, send, wait_for
from mr_files import ROOT, write_mr
from runtime.node.conftest import Start, running
from standing_in import every_file_becomes_ct

SERIES = f"{ROOT}.100"


def keys(folder: Path, state: str) -> list[str]:
    return [path.name for path in (folder / "spool" / state).iterdir()]


def test_two_patients_with_the_same_uids_are_two_series(start: Start, pacs: StoreScp, tmp_path: Path) -> None:
    node = start(pacs.port)
    one = write_mr(tmp_path / "one", SERIES)
    two = write_mr(tmp_path / "two", SERIES, PatientID="PID-4712", PatientName="Other^Patient")
    mixed = [file for pair in zip(one, two, strict=True) for file in pair]
    assert send(node.receiver.port, mixed).returncode == 0
    wait_for(lambda: len(keys(tmp_path, "done")) == 2)
    arrived: dict[str, set[str]] = {}
    for file in pacs.files:
        header = dcmread(file)
        arrived.setdefault(header.SeriesInstanceUID, set()).add(f"{header.PatientID} {header.PatientName}")
    assert sorted(map(tuple, arrived.values())) == [("PID-4711 Muster^Erika",), ("PID-4712 Other^Patient",)]
    assert len(pacs.files) == 6


def test_an_instance_that_comes_after_the_ct_was_sent_makes_it_again(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(pacs.port)
    files = write_mr(tmp_path / "mr", SERIES, slices=4)
    send(node.receiver.port, files[:3])
    wait_for(lambda: keys(tmp_path, "done"))
    send(node.receiver.port, files[3:])
    wait_for(lambda: len(pacs.files) == 3 + 4)
    line = f"series {SERIES}: 1 instances came after its CT was sent, which stays at the destination; made again from"
    wait_for(lambda: f"{line} all 4" in caplog.text)
    wait_for(lambda: keys(tmp_path, "done"))
    assert len(keys(tmp_path, "done")) == 1


def test_instances_that_come_while_the_ct_is_made_make_it_again_before_it_is_sent(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_dcmtk()
    begun, go_on, made = threading.Event(), threading.Event(), []

    def slowly(mr: Path, ct: Path) -> None:
        made.append(len(list(mr.iterdir())))
        begun.set()
        assert go_on.wait(30)
        every_file_becomes_ct(mr, ct)

    port = free_port()
    node = start(port, slowly)
    files = write_mr(tmp_path / "mr", SERIES, slices=4)
    send(node.receiver.port, files[:3])
    assert begun.wait(30)
    send(node.receiver.port, files[3:])
    time.sleep(0.6)  # quiet for long enough, and its series still in work
    assert len(keys(tmp_path, "receiving")) == len(keys(tmp_path, "working")) == 1
    go_on.set()
    wait_for(lambda: made == [3, 4])
    pacs = StoreScp(tmp_path / "pacs", port)
    try:
        wait_for(lambda: keys(tmp_path, "done"))
        assert len(pacs.files) == 4
    finally:
        pacs.stop()
    wait_for(lambda: "1 instances came before its CT was sent; made again from all 4" in caplog.text)


def test_a_series_that_comes_again_is_not_made_again(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(pacs.port)
    files = write_mr(tmp_path / "mr", SERIES)
    send(node.receiver.port, [*files, files[0]])
    wait_for(lambda: keys(tmp_path, "done"))
    assert send(node.receiver.port, files).returncode == 0
    time.sleep(0.6)
    assert keys(tmp_path, "receiving") == keys(tmp_path, "queued") == []
    wait_for(lambda: "mr2ct_series_made_total 1\n" in node.metrics_text())
    wait_for(lambda: "sends again what is here already; nothing is made twice" in caplog.text)


def test_a_series_from_the_future_is_not_waited_for(pacs: StoreScp, tmp_path: Path) -> None:
    """The clock was years ahead, and was set right while the node was off."""
    spool = tmp_path / "spool"
    with running(spool, pacs.port, every_file_becomes_ct, quiet_seconds=60.0) as node:
        send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    future = time.time() + 1e8
    for path in sorted(spool.glob("receiving/*/**")):
        os.utime(path, (future, future))
    with running(spool, pacs.port, every_file_becomes_ct):
        wait_for(lambda: keys(tmp_path, "done"))
    assert len(pacs.files) == 3


def test_silence_while_the_node_was_off_does_not_end_a_series(pacs: StoreScp, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with running(spool, pacs.port, every_file_becomes_ct, quiet_seconds=3600.0) as node:
        send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    for path in sorted(spool.glob("receiving/*/**")):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    with running(spool, pacs.port, every_file_becomes_ct, quiet_seconds=3600.0) as node:
        node.gatherer.queue_complete()
        assert len(keys(tmp_path, "receiving")) == 1


def test_delivered_series_are_forgotten_in_time(start: Start, pacs: StoreScp, tmp_path: Path) -> None:
    node = start(pacs.port, keep_days=1.0)
    send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    wait_for(lambda: keys(tmp_path, "done"))
    node.gatherer.forget_old()
    assert len(keys(tmp_path, "done")) == 1
    (done,) = (tmp_path / "spool" / "done").iterdir()
    os.utime(done, (time.time() - 90_000, time.time() - 90_000))
    wait_for(lambda: not node.spool.in_hand)
    node.gatherer.forget_old()
    assert keys(tmp_path, "done") == keys(tmp_path, "receiving") == []
    assert list((tmp_path / "spool" / "trash").iterdir()) == []
