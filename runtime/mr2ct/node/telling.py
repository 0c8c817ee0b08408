"""What a node says, one line an event, on stderr; of patients it says nothing above debug.

Libraries quote what they cannot read, a patient's name too, and log with levels of their own. Here all they say is
debug, and nothing of it is seen without --verbose.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from pydicom import dcmread

LOG = logging.getLogger("mr2ct.node")
FOREIGN = ("pynetdicom", "pydicom", "py.warnings")
SILENT = logging.CRITICAL + 1
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "PatientAddress")
SHORTEST_WORD = 3  # of a patient's that is taken out; shorter ones would tear every line apart
REPEAT_S = 60.0  # how long the same line about the same thing is not said again


class OneLine(logging.Formatter):
    """TIME LEVEL message, the time in UTC; what would break the line becomes a space, a traceback " | "."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """ISO 8601."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record).replace("\n", " | "))


def one_line(text: str) -> str:
    """Text from anywhere without control characters, bidirectional ones and line separators of Unicode included."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def log_to_stderr(*, verbose: bool) -> None:
    """Set logging up for this process: mr2ct's lines, and with verbose everybody's, at debug.

    Lines go to a copy of stderr, since a synthesis closes stderr itself to native libraries for a while.
    """
    sys.stderr.flush()
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace"))
    handler.setFormatter(OneLine())
    handler.addFilter(_as_debug)
    root = logging.getLogger()
    root.handlers = [handler]
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)
    for name in FOREIGN:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else SILENT)
    threading.excepthook = lambda failed: LOG.debug("thread failed: %s", failed.exc_type.__name__)


def _as_debug(record: logging.LogRecord) -> bool:
    if record.name.partition(".")[0] in ("pynetdicom", "pydicom") or record.name == "py.warnings":
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return True


def without_patient(text: str, file: Path) -> str:
    """A line without what a file says of its patient: "[patient]" for each word of name, ID and birth date.

    Errors of reading and the gate should name UIDs only; this holds whatever they quote.
    """
    header = dcmread(file, stop_before_pixels=True, specific_tags=["SpecificCharacterSet", *PATIENT], force=True)
    words: set[str] = set()
    for keyword in PATIENT:
        value = str(header.get(keyword, ""))
        words.update(word for word in re.split(r"[\s^=\\]+", value) if len(word) >= SHORTEST_WORD)
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(word)}(?![\w.])", "[patient]", text, flags=re.IGNORECASE)
    return one_line(text)


class Teller:
    """Says the same thing about the same matter once in REPEAT_S: 200 slices refused by a full disk are one line."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def once(self, level: int, about: Iterable[str], line: str) -> None:
        """Log a line, unless one about the same was logged just now."""
        now, matter = time.monotonic(), tuple(about)
        with self._lock:
            for old in [key for key, when in self._said.items() if now - when > REPEAT_S]:
                del self._said[old]
            if matter in self._said:
                return
            self._said[matter] = now
        LOG.log(level, line)
