"""A connection that cannot be made to wait for ever or to take all memory.

pynetdicom reads as many bytes as a PDU's header says, 4 GiB if it says so, on a socket without a timeout. This socket
knows where PDUs begin (PS3.8 section 9.3.1: type, reserved, four bytes of length) and ends a connection that breaks a
limit. A socket's error is what pynetdicom takes for a connection that was closed.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pynetdicom.transport import ThreadedAssociationServer

HEADER_BYTES = 6
# an A-ASSOCIATE-RQ with all 128 presentation contexts of 30 transfer syntaxes each has 0.2 MB
LEAST_PDU_LIMIT_BYTES = 2**20
FILES_AT_ONCE = 4  # as large as one may be, in memory for all connections together
# beyond the associations that are allowed: those that wait for a refusal, and connections that say nothing yet
SPARE_CONNECTIONS = 64


@dataclass
class Limits:
    """Of one server's connections.  cut: told in one line why a connection ends."""

    pdu_bytes: int
    message_bytes: int
    seconds: float
    cut: Callable[[str], None]
    unanswered_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, more: int) -> bool:
        """Count bytes that no answer was sent to yet; whether all connections' together are within the limit."""
        with self.lock:
            self.unanswered_bytes += more
            return self.unanswered_bytes <= FILES_AT_ONCE * (self.message_bytes + LEAST_PDU_LIMIT_BYTES)


class BoundedSocket(socket.socket):
    """An accepted connection whose PDUs and messages are limited in bytes and whose PDUs are limited in seconds.

    A message's bytes are those that came since something was last sent: whoever stores waits for the answer.
    """

    def __init__(self, accepted: socket.socket, peer: str, limits: Limits) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.settimeout(limits.seconds)
        self._peer, self._limits = peer, limits
        self._header = b""
        self._left = 0  # bytes of the PDU that are still to come
        self._begun = 0.0
        self._unanswered = 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As socket.recv; raises OSError at a limit."""
        data = super().recv(size, flags)
        now = time.monotonic()
        if not self._header:
            self._begun = now
        if now - self._begun > self._limits.seconds:
            raise self._cut(f"a PDU took longer than {self._limits.seconds:g} s")
        if self._left:
            self._left -= len(data)
        else:
            self._header += data
            if len(self._header) >= HEADER_BYTES:
                self._left = int.from_bytes(self._header[2:HEADER_BYTES])
                if self._left > max(self._limits.pdu_bytes, LEAST_PDU_LIMIT_BYTES):
                    raise self._cut(f"a PDU of {self._left} bytes; {self._limits.pdu_bytes} were agreed on")
        if self._left <= 0 and len(self._header) >= HEADER_BYTES:
            self._header, self._left = b"", 0
        self._unanswered += len(data)
        within = self._limits.hold(len(data))
        if self._unanswered > self._limits.message_bytes + LEAST_PDU_LIMIT_BYTES:
            raise self._cut(f"an instance of more than {self._limits.message_bytes} bytes; --max-file-mb allows more")
        if not within:
            raise self._cut("too many bytes arrive at once; send it again, with fewer associations")
        return data

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        self._release()
        return super().send(data, flags)

    def shutdown(self, how: int, /) -> None:
        """As socket.shutdown."""
        self._release()
        super().shutdown(how)

    def close(self) -> None:
        """As socket.close."""
        self._release()
        super().close()

    def _release(self) -> None:
        self._limits.hold(-self._unanswered)
        self._unanswered = 0

    def _cut(self, why: str) -> OSError:
        self._release()
        line = f"connection from {self._peer} cut: {why}"
        self._limits.cut(line)
        return OSError(line)


class BoundedServer(ThreadedAssociationServer):
    """An association server whose connections are bounded, each and in number."""

    daemon_threads = True
    request_queue_size = 128  # so that a burst of connections meets an answer and not a timeout

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        self._limits = limits
        super().__init__(*arguments, **options)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        accepted, address = super().get_request()
        return BoundedSocket(accepted, str(address[0]), self._limits), address

    def verify_request(self, _request: object, address: Any) -> bool:
        """Whether there is room for one more connection; else it is closed at once."""
        if len(self.active_associations) < self.ae.maximum_associations + SPARE_CONNECTIONS:
            return True
        self._limits.cut(f"connection from {address[0]} cut: too many are open")
        return False

    def stop(self) -> None:
        """Take no more connections; those that are open go on."""
        # AssociationServer.shutdown would also remove this from a list that only AE.start_server puts servers on
        socketserver.BaseServer.shutdown(self)
        self.server_close()
