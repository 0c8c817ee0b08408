"""Real peers of a DICOM node, DCMTK's tools, and a node in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt

import standing_in

PATIENCE_S = 30
TOOLS = ("echoscu", "storescu", "storescp")


def need_dcmtk() -> None:
    """Skip, and say how to get them, where the tools are missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt-get install dcmtk")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(what: Callable[[], object], why: str = "it did not happen", patience: float = PATIENCE_S) -> None:
    """Wait until what() is true."""
    until = time.monotonic() + patience
    while not what():
        assert time.monotonic() < until, why
        time.sleep(0.02)


def echo(port: int, calling: str = standing_in.CALLER, called: str = "MR2CT") -> subprocess.CompletedProcess[str]:
    """Run echoscu."""
    return _tool("echoscu", "-aet", calling, "-aec", called, "127.0.0.1", str(port))


def send(port: int, files: Iterable[Path], calling: str = standing_in.CALLER) -> subprocess.CompletedProcess[str]:
    """Run storescu with files."""
    return _tool("storescu", "-v", "-aet", calling, "-aec", "MR2CT", "127.0.0.1", str(port), *map(str, files))


def _tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


class StoreScp:
    """storescp, which keeps what it gets in a folder, one file an SOPInstanceUID."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port() if port is None else port
        self.log = folder.parent / f"{folder.name}.log"
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                ["storescp", "-v", "-aet", "PACS", "-od", str(folder), str(self.port)], stdout=log, stderr=log
            )
        wait_for(self._listens, "storescp does not listen")

    @property
    def files(self) -> list[Path]:
        """What came; a name that is still being written ends otherwise."""
        return sorted(self.folder.iterdir())

    @property
    def requests(self) -> int:
        """How many instances came, those that came twice counted twice."""
        return self.log.read_text(errors="replace").count("Received Store Request")

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class RefusingScp:
    """A destination that answers with the status that answer(SOPInstanceUID) gives; got: what it has answered 0 for."""

    def __init__(self, answer: Callable[[str], int]) -> None:
        self.got: list[str] = []
        self.asked: list[str] = []

        def store(event: Any) -> int:
            uid = str(event.request.AffectedSOPInstanceUID)
            self.asked.append(uid)
            status = answer(uid)
            if status < 0xA000 or status & 0xF000 == 0xB000:
                self.got.append(uid)
            return status

        ae = AE(ae_title="PACS")
        ae.add_supported_context(CTImageStorage)
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        self.port = int(self._server.server_address[1])

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()


class NodeProcess:
    """standing_in.py, started and listening; log: the file with its stderr."""

    def __init__(self, spool: Path, destination: int, log: Path, limit: Callable[[], None] | None = None,
                 **told: object) -> None:  # fmt: skip
        self.log, self._told = log, (log.stat().st_size if log.exists() else 0)
        pairs = [f"{name}={value}" for name, value in told.items()]
        self._stderr = open(log, "ab")  # noqa: SIM115 - closed in kill and stop
        self.process = subprocess.Popen(
            [sys.executable, standing_in.__file__, str(spool), f"PACS@127.0.0.1:{destination}", *pairs],
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            preexec_fn=limit,
        )
        wait_for(lambda: self.port or self.process.poll() is not None, "the node does not listen")
        assert self.port, self.text

    @property
    def text(self) -> str:
        """What it has said since this start."""
        return self.log.read_bytes()[self._told :].decode()

    @property
    def port(self) -> int:
        """Where it listens, 0 while it does not."""
        match = re.search(r"listens on port (\d+)", self.text)
        return int(match[1]) if match else 0

    @property
    def http(self) -> str:
        """The URL of /healthz and /metrics."""
        match = re.search(r"health and metrics on (\S+)", self.text)
        assert match, self.text
        return match[1]

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._stderr.close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self._stderr.close()
        return code
