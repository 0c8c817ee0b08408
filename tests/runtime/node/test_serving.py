"""MR series go in and CT series come out, between real peers."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from dicom_peers import RefusingScp, StoreScp, echo, free_port, need_dcmtk, send, wait_for
from mr2ct.node.receiving import VERIFICATION
from mr_files import ROOT, SIZE, write_mr
from runtime.node.conftest import Start
from standing_in import CALLER

SERIES = f"{ROOT}.100"


def keys(folder: Path, state: str) -> list[str]:
    return [path.name for path in (folder / "spool" / state).iterdir()]


def test_a_series_goes_in_by_storescu_and_its_ct_arrives_at_storescp(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(pacs.port)
    files = write_mr(tmp_path / "mr", SERIES, slices=5)
    assert send(node.receiver.port, files).returncode == 0
    wait_for(lambda: keys(tmp_path, "done"))
    headers = [dcmread(file) for file in pacs.files]
    assert len(headers) == 5
    assert {header.Modality for header in headers} == {"CT"}
    assert {header.PatientID for header in headers} == {"PID-4711"}
    assert {header.StudyInstanceUID for header in headers} == {f"{ROOT}.1"}
    assert {header.pixel_array.shape for header in headers} == {(SIZE, SIZE)}
    wait_for(lambda: f"series {SERIES}: complete with 5 instances, queued" in caplog.text)
    wait_for(lambda: f"series {SERIES}: CT of 5 instances delivered to PACS@127.0.0.1:{pacs.port}" in caplog.text)


def test_what_was_received_is_kept_as_it_was_sent(start: Start, tmp_path: Path) -> None:
    need_dcmtk()
    node = start(free_port())
    (file,) = write_mr(tmp_path / "mr", SERIES, slices=1)
    send(node.receiver.port, [file])
    (kept,) = (tmp_path / "spool").glob("*/*/mr/*.dcm")
    assert dcmread(kept) == dcmread(file)
    assert dcmread(kept).file_meta.TransferSyntaxUID == dcmread(file).file_meta.TransferSyntaxUID


def test_only_known_titles_get_an_answer(start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    need_dcmtk()
    node = start(free_port())
    port = node.receiver.port
    assert echo(port).returncode == 0
    assert "Calling AE Title Not Recognized" in echo(port, calling="STRANGER").stdout
    assert "Called AE Title Not Recognized" in echo(port, called="OTHER").stdout
    assert send(port, write_mr(tmp_path / "mr", SERIES), calling="STRANGER").returncode != 0
    assert keys(tmp_path, "receiving") == []
    assert caplog.text.count("the calling AE title 'STRANGER' is not known; --allow 'STRANGER' lets it in") == 1
    wait_for(lambda: f"'{CALLER}' calls 'OTHER', and this is 'MR2CT'" in caplog.text)


def test_a_destination_that_is_down_is_met_again(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_dcmtk()
    port = free_port()
    node = start(port)
    send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    wait_for(lambda: "Connection refused; 1 series wait, next try in" in caplog.text)
    wait_for(lambda: "mr2ct_destination_up 0" in node.metrics_text())
    pacs = StoreScp(tmp_path / "pacs", port)
    try:
        wait_for(lambda: keys(tmp_path, "done"))
        assert len(pacs.files) == 3
        wait_for(lambda: "mr2ct_destination_up 1" in node.metrics_text())
    finally:
        pacs.stop()


def test_what_a_destination_refuses_is_tried_again_and_the_rest_is_not(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_dcmtk()
    refusals = Counter[str]()

    def answer(uid: str) -> int:
        refusals[uid] += 1
        return 0xA700 if refusals[uid] == 1 and len(refusals) <= 2 else 0xB000 if len(refusals) == 3 else 0

    scp = RefusingScp(answer)
    try:
        node = start(scp.port)
        send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
        wait_for(lambda: keys(tmp_path, "done"))
    finally:
        scp.stop()
    assert len(scp.got) == len(set(scp.got)) == 3
    assert sorted(refusals.values()) == [1, 2, 2]
    wait_for(lambda: "refuses 2 of 3 instances (0xA700 for 2); the others are kept as delivered" in caplog.text)


def test_what_a_destination_never_takes_is_kept_and_keeps_nobody_waiting(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_dcmtk()
    bad: list[str] = []

    def answer(uid: str) -> int:
        if not bad:
            bad.append(uid)
        return 0xC000 if uid in bad else 0

    scp = RefusingScp(answer)
    try:
        node = start(scp.port, refusals_before_failed=3)
        send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
        wait_for(lambda: bad)
        send(node.receiver.port, write_mr(tmp_path / "other", f"{ROOT}.101"))
        wait_for(lambda: keys(tmp_path, "done") and keys(tmp_path, "failed"))
    finally:
        scp.stop()
    (failed,) = keys(tmp_path, "failed")
    kept = tmp_path / "spool" / "failed" / failed
    assert len(list((kept / "ct").iterdir())) == len(list((kept / "mr").iterdir())) == 3
    assert "refuses 1 of 3 instances (0xC000 for 1), 3 times" in (kept / "reason.txt").read_text()
    assert len(scp.got) == 5
    wait_for(lambda: "mr2ct_series_failed_total 1\n" in node.metrics_text())
    wait_for(lambda: caplog.text.count("given up, kept in failed/") == 1)


def test_a_destination_that_is_down_for_too_long_is_given_up_on(start: Start, tmp_path: Path) -> None:
    need_dcmtk()
    node = start(free_port(), give_up_hours=1e-4)
    send(node.receiver.port, write_mr(tmp_path / "mr", SERIES))
    wait_for(lambda: keys(tmp_path, "failed"))
    (reason,) = (tmp_path / "spool" / "failed").glob("*/reason.txt")
    assert "nothing was acknowledged for 0.0 hours" in reason.read_text()


def test_series_that_cannot_become_a_ct_are_kept_with_the_reason_and_nobody_s_name(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(pacs.port)
    refused = write_mr(tmp_path / "a", SERIES, SeriesDescription="REFUSE", PatientName="Müller^Jörg",
                       SpecificCharacterSet="ISO_IR 100")  # fmt: skip
    gap = write_mr(tmp_path / "b", f"{ROOT}.101")
    send(node.receiver.port, [*refused, gap[0], gap[2]])
    wait_for(lambda: len(keys(tmp_path, "refused")) == 2)
    reasons = "".join(file.read_text() for file in (tmp_path / "spool" / "refused").glob("*/reason.txt"))
    assert "refused, [patient]^[patient] has contrast of [patient], born [patient]\n" in reasons
    assert f"series {ROOT}.101: a slice is missing; send the series again\n" in reasons
    assert pacs.files == []
    assert "Müller" not in caplog.text
    wait_for(lambda: "mr2ct_series_refused_total 2\n" in node.metrics_text())

    send(node.receiver.port, [gap[1]])  # what was asked for
    wait_for(lambda: keys(tmp_path, "done"))
    assert len(pacs.files) == 3
    wait_for(lambda: f"series {ROOT}.101: 1 instances came after it was refused; made again from all 3" in caplog.text)


def test_fifty_associations_at_once_are_served_or_refused(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    node = start(free_port(), max_associations=20)
    ae = AE(ae_title=CALLER)
    ae.add_requested_context(VERIFICATION)
    open_ones = [ae.associate("127.0.0.1", node.receiver.port, ae_title="MR2CT") for _ in range(50)]
    established = [association for association in open_ones if association.is_established]
    try:
        assert len(established) == 20
        assert all(association.is_rejected for association in open_ones if association not in established)
        assert established[-1].send_c_echo().Status == 0
    finally:
        for association in established:
            association.release()
    assert caplog.text.count("20 associations are open") == 1
    wait_for(lambda: 'mr2ct_associations_total{outcome="too_many"} 30\n' in node.metrics_text())
    wait_for(lambda: node.receiver.associations == 0)
    again = ae.associate("127.0.0.1", node.receiver.port, ae_title="MR2CT")
    assert again.is_established
    again.release()


def test_nothing_of_a_patient_is_logged_above_debug(
    start: Start, pacs: StoreScp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = start(pacs.port)
    for number, (charset, name) in enumerate(NAMES):
        write_mr(tmp_path / "mr", f"{ROOT}.{200 + number}", 1, SpecificCharacterSet=charset, PatientName=name,
                 PatientID=f"SECRET{number}")  # fmt: skip
    assert send(node.receiver.port, (tmp_path / "mr").iterdir()).returncode == 0
    wait_for(lambda: len(keys(tmp_path, "done")) == len(NAMES))
    loud = "\n".join(record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG)
    for _, name in NAMES:
        for word in name.replace("=", "^").split("^"):
            assert word not in loud
    assert "SECRET" not in loud
    arrived = {str(dcmread(file).PatientName) for file in pacs.files}
    assert arrived == {name for _, name in NAMES}


NAMES = [
    ("ISO_IR 192", "<script>alert(1)</script>^&amp;"),
    ("GB18030", "王^小东"),
    ("ISO_IR 192", "Nikolaïdis^Ωμέγα"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
]
