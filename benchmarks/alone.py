"""A command in a process of its own that ends its output in one line of JSON, or a reason why it did not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

SHOWN_BYTES = 4000  # of the error output of what failed
RAISED = re.compile(r"^[\w.]+(?:Error|Exception|Interrupt)\b.*")  # the line of a traceback that says what it was


def alone(command: Sequence[str], timeout: float, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object of a command's last line, else {"status": "failed" or "timed out", "reason": ...}.

    timeout: seconds. Whatever happens, Ctrl-C too, no process that the command has started is left. What a command
    that failed has said goes on to stderr.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        # Files, not pipes: a pipe would stay open for as long as any child of the command lives.
        process = subprocess.Popen(
            command, stdout=out, stderr=errors, env={**os.environ, **(environment or {})}, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _show(errors)
            return {"status": "timed out", "reason": f"no answer within {timeout:.0f} s"}
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        answer = _last_line(out)
        with suppress(json.JSONDecodeError):
            parsed = json.loads(answer)
            if code == 0 and isinstance(parsed, dict):
                return parsed
        _show(errors)
        return {"status": "failed", "reason": _why(code, errors)}


def _why(code: int, errors: IO[str]) -> str:
    """ "killed by SIGSEGV", "exit code 1: RuntimeError: ..." """
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    said = _last_line(errors, RAISED) or _last_line(errors)
    return f"{ended}: {said}" if said else ended


def _last_line(file: IO[str], like: re.Pattern[str] = re.compile(r".*\S")) -> str:
    """The last line that fits, "" where none does."""
    file.seek(0)
    return next((line.strip() for line in reversed(file.read().splitlines()) if like.match(line)), "")


def _show(file: IO[str]) -> None:
    file.seek(0)
    print(file.read()[-SHOWN_BYTES:], end="", file=sys.stderr)
