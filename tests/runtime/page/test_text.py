"""Foreign text is shown and never acts."""

from __future__ import annotations

import html
import json

import pytest

from mr2ct.page.text import LONGEST, as_script_json, facts, listed, plain, shown

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "text",
    [MARKUP, "</td></table><script>", "a & b \"c\" 'd'", "Müller^Jörg", "山田^太郎", "Иванов", "דוד כהן", "&lt;b&gt;"],
)
def test_text_reads_as_it_was(text: str) -> None:
    made = shown(text)
    inside = made.removeprefix("<bdi>").removesuffix("</bdi>")
    assert html.unescape(inside) == text
    assert "<" not in inside and ">" not in inside and '"' not in inside and "'" not in inside


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x1b[31mb", "a\x7fb", "a\x9bb", "a\udc80b", "a\uffffb"])
def test_what_cannot_be_shown_is_marked(text: str) -> None:
    assert plain(text).startswith("a\ufffd") and plain(text).endswith("b")
    shown(text).encode("utf-8")


def test_long_text_ends() -> None:
    assert len(plain("x" * 5000)) == LONGEST
    assert plain("x" * 5000).endswith("\u2026")


def test_json_cannot_leave_its_script() -> None:
    value = {"</script><script>alert(1)//": ["<!--", "\u2028", "&", -1.5]}
    made = as_script_json(value)
    assert json.loads(made) == value
    assert not set("<>&\u2028") & set(made)


def test_names_of_facts_and_lines_are_escaped() -> None:
    assert MARKUP not in facts([(MARKUP, "x")])
    assert MARKUP not in listed([MARKUP])
    assert listed(["one", "two", "one"]).count("<li>") == 2
    assert listed([]) == ""
