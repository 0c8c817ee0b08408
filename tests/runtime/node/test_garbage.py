"""Whatever comes in on the port, the node goes on: it answers an echo afterwards, and nobody holds its places."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from dicom_peers import NodeProcess, echo, free_port, need_dcmtk, send, wait_for
from mr_files import ROOT, mr_instance, write_mr
from standing_in import CALLER

ABORT = 0x07  # PS3.8 section 9.3.8
SILENCE_S = 0.4


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    need_dcmtk()
    folder = tmp_path_factory.mktemp("node")
    node = NodeProcess(
        folder / "spool", free_port(), folder / "log", acse_seconds=SILENCE_S, network_seconds=SILENCE_S,
        max_associations=3, max_file_bytes=2**20, http_port=0, quiet_seconds=0.1,
    )  # fmt: skip
    yield node
    assert echo(node.port).returncode == 0
    wait_for(
        lambda: b"\nmr2ct_associations_open 0\n" in urlopen(f"{node.http}/metrics").read(), "a place is still held"
    )
    assert node.stop() == 0


@pytest.fixture(autouse=True)
def _still_answers(node: NodeProcess) -> Iterator[None]:
    yield
    wait_for(lambda: answers(node), "the node takes no association any more")
    assert "Traceback" not in node.text
    assert node.process.poll() is None


def connect(node: NodeProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), timeout=10)


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def request(calling: str = CALLER, called: str = "MR2CT") -> bytes:
    """An A-ASSOCIATE-RQ for MR Image Storage, explicit VR little endian (PS3.8 section 9.3.2)."""
    context = b"\1\0\0\0" + item(0x30, b"1.2.840.10008.5.1.4.1.1.4") + item(0x40, b"1.2.840.10008.1.2.1")
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    return pdu(1, body + item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user))


def answers(node: NodeProcess) -> bool:
    """Whether the node takes one association more."""
    with connect(node) as connection:
        connection.sendall(request())
        return connection.recv(1) == b"\2"


def associated(node: NodeProcess) -> socket.socket:
    """A connection with an association, of which anything may follow."""
    connection = connect(node)
    connection.sendall(request())
    kind, _, length = struct.unpack(">BBL", connection.recv(6, socket.MSG_WAITALL))
    assert kind == 2
    connection.recv(length, socket.MSG_WAITALL)
    return connection


def ended(connection: socket.socket) -> bytes:
    """What came until the node closed the connection."""
    came = b""
    try:
        while more := connection.recv(4096):
            came += more
    except ConnectionResetError:
        pass
    return came


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_hung_up_on(seed: int, node: NodeProcess) -> None:
    chance = random.Random(seed)
    with connect(node) as connection:
        try:
            connection.sendall(chance.randbytes(chance.randrange(6, 3000)))
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        ended(connection)


@pytest.mark.parametrize("kind", [0x01, 0x02, 0x04, 0x05, 0x42], ids=hex)
def test_a_pdu_of_any_type_with_garbage_in_it_is_hung_up_on(kind: int, node: NodeProcess) -> None:
    with connect(node) as connection:
        connection.sendall(pdu(kind, random.Random(kind).randbytes(200)))
        ended(connection)


@pytest.mark.parametrize("seed", range(2))
def test_garbage_within_an_association_ends_it(seed: int, node: NodeProcess) -> None:
    chance = random.Random(seed)
    presentation_data = struct.pack(">LBB", 102, 1, 3) + chance.randbytes(100)
    with associated(node) as connection:
        connection.sendall(pdu(4, presentation_data if seed % 2 else chance.randbytes(300)))
        came = ended(connection)
    assert not came or came[0] == ABORT


def test_a_pdu_of_four_gigabytes_is_cut_at_its_header(node: NodeProcess) -> None:
    with connect(node) as connection:
        connection.sendall(pdu(1, b"", length=0xFFFFFFFF))
        ended(connection)
    assert "a PDU of 4294967295 bytes" in node.text


def test_an_instance_that_does_not_end_is_cut_at_its_limit(node: NodeProcess) -> None:
    fragment = pdu(4, struct.pack(">LBB", 100_002, 1, 0) + bytes(100_000))
    with associated(node) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100):
            connection.sendall(fragment)
    wait_for(lambda: "an instance of more than 1048576 bytes; --max-file-mb allows more" in node.text)


def test_half_open_connections_do_not_keep_others_out_for_long(node: NodeProcess) -> None:
    silent = [connect(node) for _ in range(10)]
    half = [connect(node) for _ in range(10)]
    for connection in half:
        connection.sendall(request()[:40])
    for connection in silent + half:
        with connection:
            ended(connection)


def test_one_byte_after_another_is_not_a_way_to_hold_a_place(node: NodeProcess) -> None:
    begun = time.monotonic()
    with connect(node) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for byte in request():
            connection.sendall(bytes([byte]))
            time.sleep(SILENCE_S / 10)
            assert time.monotonic() - begun < 20 * SILENCE_S


def test_a_connection_that_breaks_within_an_instance_leaves_nothing(node: NodeProcess) -> None:
    with associated(node) as connection:
        connection.sendall(pdu(4, struct.pack(">LBB", 1002, 1, 0) + bytes(1000)))
    spool = node.log.parent / "spool"
    assert list((spool / "incoming").iterdir()) == []


def test_a_truncated_file_is_refused_and_the_whole_one_taken(node: NodeProcess, tmp_path: Path) -> None:
    (whole,) = write_mr(tmp_path, f"{ROOT}.8", slices=1)
    cut = mr_instance(f"{ROOT}.8", 1)
    cut.PixelData = cut.PixelData[:100]
    cut.save_as(tmp_path / "cut.dcm", enforce_file_format=True)
    answer = send(node.port, [tmp_path / "cut.dcm"])
    assert "Error: CannotUnderstand" in answer.stdout
    assert "(0xC000): a truncated data set: pixels have 100 of 512 bytes; send the file again" in node.text
    assert send(node.port, [whole]).returncode == 0
