"""The whole report: what must be in it, in Markdown and in HTML."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mr2ct_training.evaluation.markdown import plain
from mr2ct_training.evaluation.report import PAGE, REPORT_FILES, TABLE, report
from mr2ct_training.evaluation.results import Evaluation

EVIL = "<script>alert('1')</script>|`$x$`*[a](http://b.c)&\n\"q\""


class Outline(HTMLParser):
    """Tags as they open and close, attributes, and the words of each cell, by table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def files(evaluation: Evaluation) -> dict[str, bytes]:
    return report(evaluation)


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> Outline:
    return Outline(files[PAGE].decode())


def test_a_report_is_two_texts_and_their_pictures_the_same_each_time(
    evaluation: Evaluation, files: dict[str, bytes]
) -> None:
    assert sorted(files) == sorted(REPORT_FILES)
    assert report(evaluation) == files


def test_the_page_needs_nothing_else(files: dict[str, bytes], page: Outline) -> None:
    text = files[PAGE].decode()
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "a"})
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 4 and all(image["alt"] for image in images)
    data = [base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) for image in images]
    assert sorted(data) == sorted(content for name, content in files.items() if name.endswith(".png"))


def test_every_table_of_the_page_is_one_a_screen_reader_can_read(page: Outline) -> None:
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") == names.count("thead") == names.count("tbody") == 6
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    for table in page.tables:
        assert len({len(cells) for cells in table[-2:]}) == 1


def test_numbers_in_both_texts_are_those_of_the_results(
    evaluation: Evaluation, files: dict[str, bytes], page: Outline
) -> None:
    markdown = files[TABLE].decode()
    keys = [m for m in evaluation.metrics if m.shown != "results"]
    cells = {cell for table in page.tables for line in table for cell in line}
    for row in evaluation.rows:
        for metric in keys:
            value = row.values[metric.key]
            if value is not None:
                printed = f"{value:.{metric.digits}f}".replace("-", "\u2212")
                printed = printed.lstrip("\u2212") if float(f"{value:.{metric.digits}f}") == 0 else printed
                assert printed in cells and f"| {printed} |" in markdown
    first = page.tables[0]
    assert first[2] == ["anna", "20.0", "90.0", "46.2", "33.2"]  # 20 log10(4095 / 20) and / 90
    assert first[-1][:3] == ["Average \u00b1 SD", "25.0 \u00b1 5.0", "95.0 \u00b1 5.0"]
    assert page.tables[1][2] == ["Patient 1", "70.3", "86.2", "31.1", "29.3"]
    assert "| anna | 20.0 | 90.0 | 46.2 | 33.2 |" in markdown
    assert "| Patient 6 | 73.0 | 87.0 | 32.5 | 30.9 |" in markdown


def test_both_texts_say_what_has_to_be_said(files: dict[str, bytes]) -> None:
    for name in (TABLE, PAGE):
        text = files[name].decode()
        for words in (
            "Research only. mr2ct is not a medical device",
            "OTHER DATA",
            "near \u2212 far = \u221270.0 HU (95 % bootstrap interval",
            "PSNR in mask, range 4095 HU",
            "p-values are not corrected",
            "matplotlib 3.",
            "radiological convention",
            "sample standard deviation",
            "the mask given",
            "cycled MR in mask",
        ):
            assert words in text, (name, words)


def test_resampling_is_said_loudly_and_once(evaluation: Evaluation) -> None:
    rows = [replace(row, resampled=True, notes=("synthetic CT RESAMPLED",), planes=None) for row in evaluation.rows[:2]]
    files = report(replace(evaluation, rows=tuple(rows)))
    loud = "anna near, anna far: synthetic CT RESAMPLED"
    assert f"- **WARNING** {loud}" in files[TABLE].decode()
    assert f"<ul class=loud role=alert>\n<li>WARNING: {loud}</li>" in files[PAGE].decode()


def test_one_method_only_is_said(evaluation: Evaluation) -> None:
    rows = tuple(replace(row, planes=None) for row in evaluation.rows if row.method == "near")
    summaries = tuple(summary for summary in evaluation.summaries if summary.method == "near")
    files = report(replace(evaluation, rows=rows, summaries=summaries, comparisons=()))
    for name in (TABLE, PAGE):
        assert "One method only: no test." in files[name].decode()
    assert Outline(files[PAGE].decode()).tables[0][2] == ["anna", "20.0", "46.2"]


def test_names_are_words_whatever_is_in_them(evaluation: Evaluation) -> None:
    rows = [replace(row, patient=EVIL if row.patient == "anna" else row.patient) for row in evaluation.rows]
    rows = [replace(row, method=EVIL if row.method == "far" else row.method, notes=(EVIL,)) for row in rows]
    renamed = [replace(s, method=EVIL if s.method == "far" else s.method) for s in evaluation.summaries]
    compared = [replace(c, second=EVIL) for c in evaluation.comparisons]
    evil = replace(
        evaluation, rows=tuple(rows), summaries=tuple(renamed), comparisons=tuple(compared), notes=(EVIL,), table=EVIL
    )
    files = report(evil)
    page = Outline(files[PAGE].decode())
    assert "script" not in {tag for tag, _ in page.tags} and page.tables[0][2][0] == EVIL
    markdown = files[TABLE].decode()
    assert "<script" not in markdown and not re.search(r"(?<![\\!])\[a", markdown)
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("| ")}
    assert widths == {len(cells) + 1 for table in page.tables for cells in table if cells[0]}


def test_markdown_of_a_name_is_the_name() -> None:
    assert plain("a|b *c* <d>\n_e_") == r"a\|b \*c\* &lt;d&gt; \_e\_"
