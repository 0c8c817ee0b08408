"""Wrong usage of mr2ct-serve and mr2ct-mercure is told in one line, before anything is opened."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mr2ct.node.cli import main
from mr2ct.node.mercure import main as mercure

SEND = ["--send-to", "PACS@127.0.0.1:104"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--send-to'"),
        (SEND, "--allow AET names who may call, or --allow-any lets everybody; one of both is needed"),
        ([*SEND, "--allow", "A", "--allow-any"], "one of both is needed"),
        (["--send-to", "PACS", "--allow-any"], "'PACS' is not AET@HOST:PORT"),
        ([*SEND, "--allow", "MUCH_TOO_LONG_A_TITLE"], "is no AE title"),
        ([*SEND, "--allow-any", "--ae-title", ""], "is no AE title"),
        ([*SEND, "--allow-any", "--http", "11180"], "is not HOST:PORT, such as 127.0.0.1:11180, nor off"),
        ([*SEND, "--allow-any", "--http", "127.0.0.1:x"], "is not HOST:PORT"),
        ([*SEND, "--allow-any", "--quiet-seconds", "0"], "--quiet-seconds"),
        ([*SEND, "--allow-any", "--max-associations", "0"], "--max-associations"),
        ([*SEND, "--allow-any", "--max-pdu", "0"], "--max-pdu"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_help_names_every_limit() -> None:
    said = CliRunner().invoke(main, ["--help"]).output
    for option in ("--max-associations", "--max-pdu", "--max-file-mb", "--max-files-per-series", "--max-spool-gb",
                   "--min-free-gb", "--keep-days", "--give-up-hours", "--quiet-seconds", "--allow"):  # fmt: skip
        assert option in said


def test_mercure_needs_its_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERCURE_IN_DIR", raising=False)
    assert "MERCURE_IN_DIR" in CliRunner().invoke(mercure, []).output


def test_without_pynetdicom_it_tells_what_to_install() -> None:
    code = "import sys; sys.modules['pynetdicom'] = None; from mr2ct.node.cli import main; main()"
    command = [sys.executable, "-c", code, *SEND, "--allow-any"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "mr2ct-serve: needs pynetdicom: pip install 'mr2ct[cpu,node]'\n"
