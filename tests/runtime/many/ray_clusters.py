"""A Ray cluster of this machine, in processes of its own, and what runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dicom_peers import free_port

PATIENCE_S = 90.0
CODE = "from ray.scripts.scripts import main; main()"  # the command `ray`, by this Python


@contextmanager
def cluster(cpus: int, extra_path: Path | None = None, gpus: int = 0) -> Iterator[str]:
    """A head without workers, until the end of the block; its address.

    extra_path: first on the path of its workers.  gpus: that it counts, whether there are any or not.
    """
    port = free_port()
    paths = [*([str(extra_path)] if extra_path else []), *map(os.path.abspath, sys.path)]
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,  # of a short path
        tempfile.TemporaryFile() as told,
    ):
        process = subprocess.Popen(
            [
                sys.executable, "-c", CODE, "start", "--head", "--block", "--node-ip-address=127.0.0.1",
                f"--port={port}", f"--num-cpus={cpus}", f"--num-gpus={gpus}",
                "--include-dashboard=false", "--disable-usage-stats",
                f"--temp-dir={folder}",
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=told, stderr=told, start_new_session=True,
        )  # fmt: skip

        def runs() -> bool:
            told.seek(0)
            return b"To terminate the Ray runtime" in told.read()

        try:
            wait_for(runs, process)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # asked politely it waits for what runs on it
            process.wait()


def workers() -> list[int]:
    """The processes that make volumes, or are about to."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if command.startswith(b"ray::") and b"Worker" in command:
                found.append(int(folder.name))
    return found


def wait_for(
    happened: Callable[[], bool], process: subprocess.Popen[str] | subprocess.Popen[bytes] | None = None
) -> None:
    """Wait until a function tells True; fail where the process has ended before."""
    patience = time.monotonic() + PATIENCE_S
    while not happened():
        assert process is None or process.poll() is None, "it has ended"
        assert time.monotonic() < patience
        time.sleep(0.05)
