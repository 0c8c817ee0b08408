"""A connection is limited in the bytes of a PDU, of a message and of all connections, and in seconds."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from mr2ct.node.connection import FILES_AT_ONCE, LEAST_PDU_LIMIT_BYTES, BoundedSocket, Limits

SECONDS = 0.2


class Pair:
    """A bounded socket, what writes to it, and what was told."""

    def __init__(self, limits: Limits) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        listener.close()
        self.bounded = BoundedSocket(accepted, "10.0.0.7", limits)

    def take(self, kind: int, body: bytes) -> bytes:
        """Send a PDU, and read it as pynetdicom does: its header, then its body."""
        self.peer.sendall(struct.pack(">BBL", kind, 0, len(body)) + body)
        self.bounded.recv(6)
        came = b""
        while len(came) < len(body):
            came += self.bounded.recv(min(4096, len(body) - len(came)))
        return came

    def close(self) -> None:
        self.peer.close()
        self.bounded.close()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def limits(told: list[str]) -> Limits:
    return Limits(pdu_bytes=2 * LEAST_PDU_LIMIT_BYTES, message_bytes=10_000, seconds=SECONDS, cut=told.append)


@pytest.fixture
def pair(limits: Limits) -> Iterator[Pair]:
    pair = Pair(limits)
    yield pair
    pair.close()


def test_what_keeps_to_the_limits_comes_through(pair: Pair, limits: Limits, told: list[str]) -> None:
    for size in (0, 1, 5000):
        assert pair.take(4, bytes(size)) == bytes(size)
    assert limits.unanswered_bytes == 5001 + 3 * 6
    pair.bounded.send(b"answer")
    assert limits.unanswered_bytes == 0
    assert told == []


def test_a_header_that_promises_too_much_ends_it(pair: Pair, told: list[str]) -> None:
    pair.peer.sendall(struct.pack(">BBL", 4, 0, 2 * LEAST_PDU_LIMIT_BYTES + 1))
    with pytest.raises(OSError, match="a PDU of 2097153 bytes; 2097152 were agreed on"):
        pair.bounded.recv(6)
    assert told == ["connection from 10.0.0.7 cut: a PDU of 2097153 bytes; 2097152 were agreed on"]


def test_a_message_without_end_ends_it(pair: Pair, limits: Limits) -> None:
    with pytest.raises(OSError, match="an instance of more than 10000 bytes; --max-file-mb allows more"):
        for _ in range(200):
            pair.take(4, bytes(9000))
    assert limits.unanswered_bytes == 0


def test_all_connections_share_the_memory(pair: Pair, limits: Limits) -> None:
    assert limits.hold(FILES_AT_ONCE * (limits.message_bytes + LEAST_PDU_LIMIT_BYTES) - 100)
    with pytest.raises(OSError, match="too many bytes arrive at once"):
        pair.take(4, bytes(200))


def test_silence_in_the_middle_of_a_pdu_ends_it(pair: Pair) -> None:
    pair.peer.sendall(struct.pack(">BBL", 4, 0, 100) + bytes(50))
    pair.bounded.recv(6)
    pair.bounded.recv(100)
    with pytest.raises(TimeoutError):
        pair.bounded.recv(50)
