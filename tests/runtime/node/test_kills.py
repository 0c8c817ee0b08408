"""SIGKILL at random moments, SIGTERM, Ctrl-C, and starts that cannot be."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from dicom_peers import NodeProcess, StoreScp, free_port, need_dcmtk, send, wait_for
from mr2ct.errors import Mr2ctError, OutputError
from mr2ct.node.serving import serve, spool_of_ones_own
from mr_files import ROOT, write_mr
from node_killing import kill_again_and_again
from standing_in import every_file_becomes_ct, settings_of

SERIES = f"{ROOT}.100"


def test_killed_at_random_moments_every_series_arrives_once(tmp_path: Path) -> None:
    need_dcmtk()
    seen = kill_again_and_again(
        tmp_path,
        kills=3,
        series=3,
        slices=3,
        seconds=0.2,
        longest_life=2.0,
        quiet=1.5,
        seed=int.from_bytes(os.urandom(4)),
    )
    assert seen["all_whole_and_once"], seen
    assert seen["instances_arrived"] == 9, seen
    assert seen["exit_code"] == 0, seen
    assert seen["series_by_state_at_each_kill"][-1]["refused"] == 0, seen


def test_sigterm_and_ctrl_c_end_a_node_with_0_also_while_it_works(pacs: StoreScp, tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "spool", pacs.port, tmp_path / "log", seconds=60, stop_seconds=0.5)
    send(node.port, write_mr(tmp_path / "mr", SERIES))
    wait_for(lambda: list((tmp_path / "spool" / "working").iterdir()))
    assert node.stop() == 0
    assert "stopped while a CT was made; it is made anew at the next start" in node.text
    node = NodeProcess(tmp_path / "spool", pacs.port, tmp_path / "log")
    assert "1 had been begun and is made anew" in node.text
    wait_for(lambda: len(pacs.files) == 3)
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(30) == 0
    node.kill()


def test_a_second_node_does_not_share_a_spool(tmp_path: Path) -> None:
    told = settings_of(tmp_path, f"PACS@127.0.0.1:{free_port()}")
    with (
        spool_of_ones_own(told),
        pytest.raises(Mr2ctError, match="another node uses this spool; --spool names another"),
    ):
        serve(told, every_file_becomes_ct)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = settings_of(tmp_path, f"PACS@127.0.0.1:{free_port()}", port=taken.getsockname()[1])
        with pytest.raises(Mr2ctError, match="cannot listen there: Address already in use; --port names another"):
            serve(told, every_file_becomes_ct)


def test_a_place_that_cannot_be_a_spool_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/spool: cannot be used as a spool: File exists"):
        serve(settings_of(tmp_path / "file" / "spool", "PACS@127.0.0.1:104"), every_file_becomes_ct)
