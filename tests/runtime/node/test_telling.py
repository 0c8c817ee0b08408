"""One line an event, whatever is in it, and nothing of a patient."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.node.telling import OneLine, Teller, one_line, without_patient
from mr_files import ROOT, write_mr

SAYS = """
import logging, warnings, sys, os
from mr2ct.node.telling import log_to_stderr
log_to_stderr(verbose=sys.argv[1] == "verbose")
logging.getLogger("pynetdicom.dul").error("about Muster^Erika")
logging.getLogger("pydicom").critical("about Muster^Erika")
warnings.warn("about Muster^Erika")
nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 2)
logging.getLogger("mr2ct.node").info("series\\n1.2.3")
logging.getLogger("mr2ct.node").debug("details")
"""


@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "quiet"])
def test_what_libraries_say_is_debug_and_nothing_else(verbose: bool) -> None:
    said = subprocess.run(
        [sys.executable, "-c", SAYS, "verbose" if verbose else "quiet"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True, text=True, check=True,
    ).stderr.splitlines()  # fmt: skip
    loud = [line for line in said if " DEBUG " not in line]
    assert len(loud) == 1
    assert loud[0].endswith(" INFO series | 1.2.3")
    assert len(said) == (5 if verbose else 1)
    assert all("Muster" in line for line in said[:-2])


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    record = logging.LogRecord("mr2ct.node", logging.INFO, "", 0, "%s", (text,), None)
    line = OneLine().format(record)
    assert len(line.splitlines()) == 1
    assert one_line(text) == "".join(character for character in one_line(text) if character.isprintable())


def test_a_reason_names_no_patient(tmp_path: Path) -> None:
    (file,) = write_mr(tmp_path, ROOT, 1, PatientName="O'Neil^Ann Marie", PatientID="1.2", PatientBirthDate="19700101")
    said = without_patient("o'neil, Ann, MARIE's head of 19700101 (1.2.3.19700101.4)\nis large", file)
    assert said == "[patient], [patient], [patient]'s head of [patient] (1.2.3.19700101.4) is large"


def test_the_same_is_said_once_and_others_are_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mr2ct.node")
    tell = Teller()
    for series in ("1.2", "1.2", "1.3"):
        tell.once(logging.INFO, ("full", series), f"no room for {series}")
    assert [record.getMessage() for record in caplog.records] == ["no room for 1.2", "no room for 1.3"]
