"""A node from start to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import mr2ct
from mr2ct.errors import Mr2ctError, OutputError
from mr2ct.file_lock import locked
from mr2ct.node.durable import make_folder
from mr2ct.node.gathering import Gatherer
from mr2ct.node.health import HealthServer
from mr2ct.node.metrics import Metrics
from mr2ct.node.receiving import Receiver
from mr2ct.node.sending import Sender
from mr2ct.node.settings import Settings
from mr2ct.node.spool import STATES, Spool
from mr2ct.node.telling import LOG
from mr2ct.node.working import Synthesise, Worker

WATCH_S = 0.2


class Node:
    """All parts of a node on one spool, which must be locked; start() and then stop(), once."""

    def __init__(self, settings: Settings, synthesise: Synthesise) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.spool = Spool(settings)
        self.stopping = threading.Event()
        self._stopped_at_work = self.spool.recover()
        self.gatherer = Gatherer(settings, self.spool, self.stopping)
        self.worker = Worker(settings, self.spool, self.metrics, synthesise, self.stopping)
        self.sender = Sender(settings, self.spool, self.metrics, self.stopping)
        self.receiver = Receiver(settings, self.spool, self.metrics)
        self.http: HealthServer | None = None
        if settings.http_port is not None:
            self.http = HealthServer(settings.http_host, settings.http_port, self.ailing, self.metrics_text)

    def start(self) -> None:
        """Take up what is in the spool, then listen."""
        self.metrics.put("mr2ct_build_info", 1, label=mr2ct.__version__)
        self.metrics.put("mr2ct_start_time_seconds", time.time())
        waiting = {state: len(self.spool.keys(state)) for state in ("receiving", "queued", "made", "sending")}
        if any(waiting.values()):
            told = ", ".join(f"{count} {state}" for state, count in waiting.items() if count)
            at_work = f"; {len(self._stopped_at_work)} had been begun and is made anew" if self._stopped_at_work else ""
            LOG.info("goes on with the spool: %s%s", told, at_work)
        for thread in (self.gatherer, self.worker, self.sender):
            thread.start()
        if self.http is not None:
            self.http.start()
            LOG.info("health and metrics on http://%s:%d", self.settings.http_host, self.http.port)
        self.receiver.start()
        LOG.info(
            "%s listens on port %d for %s, sends to %s",
            self.settings.ae_title,
            self.receiver.port,
            ", ".join(self.settings.allow) or "anybody",
            self.settings.send_to,
        )

    def stop(self) -> bool:
        """End cleanly; whether every thread ended in time. A CT in the making is made anew at the next start."""
        until = time.monotonic() + self.settings.stop_seconds
        self.stopping.set()
        self.receiver.stop(self.settings.stop_seconds / 2)
        if self.http is not None:
            self.http.stop()
        threads = [thread for thread in (self.gatherer, self.worker, self.sender) if thread.is_alive()]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def ailing(self) -> list[str]:
        """What does not work, a line each; empty while all does."""
        reasons = [
            f"{part.name} has ended" for part in (self.gatherer, self.worker, self.sender) if not part.is_alive()
        ]
        if not self.receiver.alive:
            reasons.append("does not listen")
        if self.spool.free_bytes < self.settings.min_free_bytes:
            reasons.append("the disk is full")
        return reasons

    def metrics_text(self) -> str:
        """The text of /metrics, with what is only measured when asked for."""
        for state in STATES:
            self.metrics.put("mr2ct_series", len(self.spool.keys(state)), label=state)
        self.metrics.put("mr2ct_associations_open", self.receiver.associations)
        self.metrics.put("mr2ct_spool_bytes", self.spool.bytes)
        self.metrics.put("mr2ct_disk_free_bytes", self.spool.free_bytes)
        return self.metrics.text()

    @property
    def broken(self) -> bool:
        """Whether a part has ended by itself."""
        parts = (self.gatherer, self.worker, self.sender, self.receiver)
        return not all(part.alive if isinstance(part, Receiver) else part.is_alive() for part in parts)


@contextmanager
def spool_of_ones_own(settings: Settings) -> Iterator[None]:
    """Hold the spool. Raises Mr2ctError when another node has it, OutputError when it cannot be made."""

    def taken() -> None:
        raise Mr2ctError(f"{settings.spool}: another node uses this spool; --spool names another")

    try:
        make_folder(settings.spool)
    except OSError as error:
        raise OutputError(f"{settings.spool}: cannot be used as a spool: {error.strerror}") from error
    with locked(settings.spool / "lock", taken):
        yield


def serve(settings: Settings, synthesise: Synthesise) -> int:
    """Run a node until SIGTERM or Ctrl-C. Returns the exit code: 0 stopped, 1 a part of it ended by itself.

    Threads may still run when this returns, inside an engine that cannot be interrupted; the process should end.
    Raises Mr2ctError when it cannot start.
    """
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    with spool_of_ones_own(settings):
        node = Node(settings, synthesise)
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            node.start()
            while not asked.wait(WATCH_S) and not node.broken:
                pass
            broken = node.broken
            LOG.info("stopping%s", f": {'; '.join(node.ailing())}" if broken else "")
            if not node.stop():
                LOG.info("stopped while a CT was made; it is made anew at the next start")
            LOG.info("stopped")
            return 1 if broken else 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
