"""A Ray cluster: the one that was named, the one of this machine, or one that is started for the run."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import DeviceError
from mr2ct.many.text import one_line
from mr2ct.quiet import quiet_native_stderr

TOKEN = Path.home() / ".ray" / "auth_token"  # https://docs.ray.io/en/latest/ray-security/token-auth.html

try:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here reports to nobody
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # of what it prints between our lines: none
    # Clusters want the token of whoever starts them, and Ray offers it to one that runs only when it is told to
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")) or TOKEN.exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray
    import ray.data
    from ray.exceptions import RayError
except ImportError as error:
    raise DeviceError(f"--ray needs Ray ({error}): pip install 'mr2ct[ray]'") from error

__all__ = ["Cluster", "Node", "RayError", "connected", "ray"]  # Ray comes from here: its absence is told above

REACH_S = 5.0  # for the head to take a connection; Ray itself tries for minutes
WATCH_S = 5.0  # between two looks at the head
SILENCES = 3  # one after the other, and it is taken for gone
SAID = 300  # characters of what Ray says


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has in all, by Ray's own count."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Cluster:
    """told: where it is, for people.  nodes: those that are up."""

    told: str
    nodes: tuple[Node, ...]

    @property
    def gpus(self) -> float:
        """Of all nodes."""
        return sum(node.gpus for node in self.nodes)


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """This process as a driver of the cluster; all that it has running there ends with the block.

    address: HOST:PORT of the head, None for RAY_ADDRESS, else the cluster that runs on this machine, else one that is
    started here and ends with the block. Raises DeviceError where the head is not reached, or this machine is no node.
    """
    before = signal.getsignal(signal.SIGTERM)
    if address is not None:
        _refuse_unreachable(address)
    with quiet_native_stderr():  # of Ray's C++
        try:
            ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False, include_dashboard=False)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError, by what is wrong
            ray.shutdown()
            raise DeviceError(
                f"Ray cluster at {one_line(address or 'this machine')}: {_said(error)}; `ray status` tells whether it "
                "runs, `ray get-auth-token` the token it may want"
            ) from error
        try:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has put its own there
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            head = str(ray.get_runtime_context().gcs_address)
            with _watched(head, address or head):
                yield Cluster(
                    address or head, tuple(Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
                )
        finally:
            ray.shutdown()


@contextmanager
def _watched(head: str, told: str) -> Iterator[None]:
    """Raise DeviceError in the block, which is in the main thread, when the head is gone.

    Ray waits a minute for it and then ends this process without a word.
    """
    over, gone, main = threading.Event(), threading.Event(), threading.get_ident()

    def watch() -> None:
        silent = 0
        while silent < SILENCES and not over.wait(WATCH_S):
            silent = 0 if _unreachable(head) is None else silent + 1
        if not over.is_set():
            gone.set()
            signal.pthread_kill(main, signal.SIGINT)  # which ends its waiting

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if gone.is_set():
            raise DeviceError(
                f"Ray cluster at {told}: its head is gone; what was not done is for the next run"
            ) from None
        raise
    finally:
        over.set()


def _refuse_unreachable(address: str) -> None:
    error = _unreachable(address)
    if error is not None:
        raise DeviceError(
            f"Ray cluster at {one_line(address)}: cannot be reached: {error.strerror or error}; `ray status` on its "
            "head tells whether it runs"
        ) from error


def _unreachable(address: str) -> OSError | None:
    """Why no connection is taken there; None where one is."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S):
            return None
    except OSError as error:
        return error


def _said(error: Exception) -> str:
    return one_line(" ".join(str(error).split()) or type(error).__name__)[:SAID]
