"""What TensorRT says: its log, and the progress of a build.

TensorRT calls back from threads of its own, and drops an exception that a callback raises (it prints it and ends the
build; seen with TensorRT-RTX 1.7.1). So nothing here raises: what goes wrong is kept and raised after the build.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# phase ("Cloning network graph"), steps done, steps of this phase; phases nest, and each tells its own
Report = Callable[[str, int, int], None]
NO_DRIVER = "cudaError 35"  # TensorRT-RTX logs it on a machine without a GPU beside whatever else goes wrong
LONGEST_REASON = 300  # characters of TensorRT's own words in an error


@dataclass(frozen=True)
class LogLine:
    """A line of TensorRT's log. severity: INTERNAL_ERROR, ERROR, WARNING or INFO; VERBOSE is not kept."""

    severity: str
    text: str

    @property
    def is_error(self) -> bool:
        """Whether something failed, which the build may have got over."""
        return self.severity in ("ERROR", "INTERNAL_ERROR")


def logger(library: Any, log: list[LogLine]) -> Any:
    """A TensorRT ILogger that appends to log."""

    def keep(_: Any, severity: Any, text: str) -> None:
        if severity.name != "VERBOSE":
            log.append(LogLine(severity.name, text))

    return type("Log", (library.ILogger,), {"log": keep})()


def first_error(log: list[LogLine]) -> str:
    """The first error of the log, which the others follow from; "" where there is none."""
    errors = [line.text for line in log if line.is_error]
    own = [text for text in errors if NO_DRIVER not in text]
    return shortened(next(iter(own or errors), ""))


def shortened(text: str) -> str:
    """TensorRT's words on one line of bearable length."""
    return textwrap.shorten(text, LONGEST_REASON, placeholder=" ...")


class Progress:
    """Passes a build's progress on, and ends the build when it was asked to or when passing on failed."""

    def __init__(self, report: Report | None) -> None:
        self._report = report
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._error: BaseException | None = None

    def monitor(self, library: Any) -> Any:
        """A TensorRT IProgressMonitor that tells this object."""
        calls = {"phase_start": self._start, "step_complete": self._step, "phase_finish": self._finish}
        return type("BuildProgress", (library.IProgressMonitor,), calls)()

    def stop(self) -> None:
        """End the build at its next step."""
        self._stopped = True

    def raise_kept(self) -> None:
        """Raise what the report raised, now that the build has ended."""
        if self._error is not None:
            raise self._error

    def _start(self, phase: str, _parent: str | None, steps: int) -> None:
        with self._lock:
            self._steps[phase] = steps
            self._tell(phase, 0)

    def _step(self, phase: str, step: int) -> bool:
        with self._lock:
            self._tell(phase, step + 1)
        return not self._stopped

    def _finish(self, phase: str) -> None:
        with self._lock:
            self._steps.pop(phase, None)

    def _tell(self, phase: str, done: int) -> None:
        if self._report is None or self._stopped:
            return
        try:
            self._report(phase, done, self._steps.get(phase, done))
        except BaseException as error:
            self._error = error
            self.stop()
