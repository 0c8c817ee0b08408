"""Destinations and AE titles are taken apart, or told in one line what they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.node.settings import Destination, check_ae_title, parse_destination, state_folder


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("PACS@10.0.0.5:104", Destination("PACS", "10.0.0.5", 104)),
        ("A B C@pacs.hospital.example:11112", Destination("A B C", "pacs.hospital.example", 11112)),
        ("PACS@[fd00::5]:104", Destination("PACS", "fd00::5", 104)),
    ],
)
def test_a_destination_is_taken_apart_and_put_together(text: str, destination: Destination) -> None:
    assert parse_destination(text) == destination
    assert str(destination) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PACS", "is not AET@HOST:PORT, such as PACS@10.0.0.5:104"),
        ("PACS@10.0.0.5", "is not AET@HOST:PORT"),
        ("@10.0.0.5:104", "is not AET@HOST:PORT"),
        ("PACS@10.0.0.5:0", "0 is no port"),
        ("PACS@10.0.0.5:99999", "99999 is no port"),
        ("A_TITLE_TOO_LONG_BY_FAR@h:1", "is no AE title: 1 to 16 ASCII characters"),
        ("PA\\CS@h:1", "is no AE title"),
        ("PÄCS@h:1", "is no AE title"),
        ("PACS@fd00::5:104", "is not AET@HOST:PORT"),
        ("PACS@a/b:104", "is not AET@HOST:PORT"),
        ("PACS@h:1\nX", "is not AET@HOST:PORT"),
    ],
)
def test_what_is_no_destination_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        parse_destination(text)
    assert "\n" not in str(told.value)


def test_spaces_around_an_ae_title_do_not_count() -> None:
    assert check_ae_title(" PACS  ") == "PACS"
    with pytest.raises(ValueError, match="not only spaces"):
        check_ae_title("   ")


def test_the_spool_is_in_the_user_s_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "mr2ct" / "spool"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_folder() == Path.home() / ".local" / "state" / "mr2ct" / "spool"
