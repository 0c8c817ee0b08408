"""What has no room is refused to its sender, who keeps it, and leaves nothing behind."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

import pytest

from dicom_peers import NodeProcess, StoreScp, free_port, need_dcmtk, send, wait_for
from mr2ct.errors import OutputError
from mr_files import ROOT, write_mr
from runtime.node.conftest import Start
from standing_in import every_file_becomes_ct

SERIES = f"{ROOT}.100"


def keys(folder: Path, state: str) -> list[str]:
    return [path.name for path in (folder / "spool" / state).iterdir()]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_files_per_series": 2}, "2 instances already; --max-files-per-series allows more"),
        ({"max_spool_bytes": 12_000}, "the spool holds 0.0 GB; --max-spool-gb allows more"),
        ({"min_free_bytes": 2**60}, "--min-free-gb wants more: make room"),
        ({"max_file_bytes": 500}, "--max-file-mb allows more"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_limit_refuses_with_out_of_resources_in_one_line(
    limit: dict[str, int], said: str, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_dcmtk()
    node = start(free_port(), quiet_seconds=60.0, **limit)
    answer = send(node.receiver.port, write_mr(tmp_path / "mr", SERIES, slices=12))
    assert "Refused: OutOfResources" in answer.stdout
    kept = len(list((tmp_path / "spool" / "receiving").glob("*/mr/*")))
    assert kept < 12
    assert caplog.text.count(said) == 1
    wait_for(lambda: "(0xA700)" in caplog.text)
    wait_for(lambda: 'mr2ct_instances_refused_total{reason="no_room"} 1\n' in node.metrics_text())
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_a_write_that_the_system_refuses_loses_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    """A limit of the process on the size of files fails a write midway, as a full disk does."""
    need_dcmtk()
    small = write_mr(tmp_path / "small", SERIES, slices=2)
    (large,) = write_mr(tmp_path / "large", f"{ROOT}.101", 1, PixelData=bytes(200_000), Rows=200, Columns=500)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    node = NodeProcess(tmp_path / "spool", free_port(), tmp_path / "log", limit, quiet_seconds=60)
    try:
        assert "Refused: OutOfResources" in send(node.port, [large]).stdout
        assert list((tmp_path / "spool" / "incoming").iterdir()) == []
        assert keys(tmp_path, "receiving") == []
        assert send(node.port, small).returncode == 0
        assert "(0xA700): cannot be written: File too large" in node.text
    finally:
        node.stop()


def test_a_disk_that_is_full_while_a_ct_is_written_puts_it_off(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = threading.Event()
    full.set()

    def synthesise(mr: Path, ct: Path) -> None:
        every_file_becomes_ct(mr, ct)
        if full.is_set():
            raise OutputError(f"{ct}: cannot write there: No space left on device")

    node = start(pacs.port, synthesise)
    send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    wait_for(lambda: "put off for" in caplog.text)
    wait_for(lambda: "No space left on device" in caplog.text)
    full.clear()
    wait_for(lambda: keys(tmp_path, "done"))
    assert len(pacs.files) == 3


def test_a_fault_of_ours_costs_one_series_and_not_the_node(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def synthesise(mr: Path, ct: Path) -> None:
        if len(list(mr.iterdir())) == 1:
            raise ZeroDivisionError("of Muster^Erika")
        every_file_becomes_ct(mr, ct)

    node = start(pacs.port, synthesise)
    send(node.receiver.port, [*write_mr(tmp_path / "a", SERIES, 1), *write_mr(tmp_path / "b", f"{ROOT}.101")])
    wait_for(lambda: keys(tmp_path, "done") and keys(tmp_path, "refused"))
    wait_for(lambda: "unexpected ZeroDivisionError: of [patient]^[patient]" in caplog.text)
