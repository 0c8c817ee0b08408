"""The page says what is known of a run, loudly where it matters, and is written whole or not at all."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mr2ct.errors import OutputError
from mr2ct.gate.verdict import Verdict
from mr2ct.model import Model
from mr2ct.page.page import check_page_place, page, write_page
from mr2ct.report import Run
from runtime.page.runs import GATE, REFUSAL, cycle_of, drawn_head, run_of, series_of

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def run(identity_model: Model) -> Run:
    return run_of(identity_model, drawn_head())


def words(text: str) -> str:
    """What a page shows: its text without elements, scripts and styles."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def test_a_page_has_all_that_is_known_of_a_run(run: Run) -> None:
    told = words(page(run))
    certificate, card = run.result.choice.certificate, run.model.card
    assert certificate is not None
    for wanted in (
        "Research only: not a medical device",
        "/data/head.nii.gz",
        "/data/head_sct.nii.gz",
        f"{card.name} {card.version}",
        card.description,
        "80 \u00d7 84 \u00d7 56 voxels of 2.9 \u00d7 3.1 \u00d7 3.3 mm",
        "150 through the model, 7 of air skipped",
        "contrast distance 0.08 up to 0.25 within",
        "slice thickness 2.5 mm 0.5 to 3 mm within",
        f"maximum {certificate.max_hu:.3g} HU up to 0.1 HU within",
        "engine MR to CT 12.00 s",
        "peak memory 1.50 GiB",
        f"input sha256 {'a' * 64}",
        f"output sha256 {'b' * 64}",
        f"mr_to_ct.fp32.onnx {card.files['mr_to_ct.fp32.onnx'].sha256}",
        run.result.choice.backend.description,
        "SimpleITK",
        "Passed the gate",
    ):
        assert wanted in told, wanted


def test_a_refused_mr_is_told_loudly(run: Run) -> None:
    told = words(page(replace(run, verdict=Verdict((*GATE.findings, REFUSAL)))))
    assert "OUTSIDE VALIDATED USE" in told
    assert told.index("OUTSIDE VALIDATED USE") < told.index(REFUSAL.said) < told.index("Planes")
    assert "head height 90 mm from 140 mm OUTSIDE" in told
    assert "OUTSIDE VALIDATED USE" not in words(page(run))


def test_no_certificate_is_told_loudly(run: Run) -> None:
    choice = replace(run.result.choice, certificate=None)
    told = words(page(replace(run, result=replace(run.result, choice=choice))))
    assert "OUTSIDE VALIDATED USE" in told
    assert "NO certificate" in told


def test_an_untrained_model_is_told_loudly(run: Run) -> None:
    card = replace(run.model.card, training={"state": "untrained"})
    assert "OUTSIDE VALIDATED USE" in words(page(replace(run, model=replace(run.model, card=card))))


def test_a_model_without_a_gate_is_told(run: Run) -> None:
    told = words(page(replace(run, verdict=None)))
    assert "NOT CHECKED" in told
    assert "This model's card has no gate" in told


def test_what_is_to_be_known_of_a_run_stands_above_the_planes(run: Run) -> None:
    mr, _, head = drawn_head()
    result = replace(run.result, beyond={"inferior": 31.0})
    cycle = cycle_of(mr, head, limit=2.0)
    told = words(page(replace(run, result=result, cycle=cycle)))
    for line in (
        "Passed the gate, with remarks",
        "31 mm inferior",
        f"differs from the MR by {cycle.mean_percent:.1f} %",
    ):
        assert 0 <= told.find(line) < told.index("Planes"), line
    assert f"mean {cycle.mean_percent:.1f} % up to 2.0 % OUTSIDE" in told


def test_whose_mr_it_is_stands_on_the_page_of_a_series(run: Run) -> None:
    series = series_of(
        run.mr, PatientName="Doe^Jane", PatientID="17", StudyDate="20240131", SeriesDescription="T1 MPRAGE",
        SeriesNumber=4, MagneticFieldStrength=3.0,
    )  # fmt: skip
    told = words(page(replace(run, series=series)))
    for wanted in ("patient Doe^Jane", "patient ID 17", "study date 2024-01-31", "T1 MPRAGE", "series number 4"):
        assert wanted in told
    assert "Doe^Jane , 17 , 2024-01-31 , by" in told
    assert "patient ID" not in words(page(run))


def test_foreign_text_is_escaped_wherever_it_comes_from(run: Run) -> None:
    """Once as often as it is shown, and never as markup."""
    card = replace(run.model.card, name=MARKUP, version=MARKUP, description=MARKUP, data_source=MARKUP)
    mr = replace(run.mr, remarks=(MARKUP,))
    finding = replace(REFUSAL, name=MARKUP, unit=MARKUP, said=MARKUP)
    series = series_of(mr, PatientName=MARKUP, PatientID=MARKUP, StudyDescription=MARKUP)
    foreign = replace(
        run, source=Path(f"/data/{MARKUP}"), target=Path(MARKUP), mr=mr, model=replace(run.model, card=card),
        verdict=Verdict((finding,)), series=series, seconds={**run.seconds, MARKUP: 1.0}, output_sha256=MARKUP,
    )  # fmt: skip
    text = page(foreign)
    assert MARKUP not in text and "<img src=x" not in text
    assert text.count(html.escape(MARKUP)) >= 13


def test_a_name_that_is_not_utf8_is_written(run: Run, tmp_path: Path) -> None:
    write_page(replace(run, source=Path("/data/caf\udce9.nii.gz")), tmp_path / "a.html", overwrite=False)
    assert "caf\ufffd.nii.gz" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_page_is_one_file_that_names_no_other(run: Run, tmp_path: Path) -> None:
    write_page(run, tmp_path / "a.html", overwrite=False)
    assert [file.name for file in tmp_path.iterdir()] == ["a.html"]
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"/\*.*?\*/", "", text.split("<body>")[0].split("<style>")[0]))
    assert all(link.startswith("data:") for link in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "unsafe" not in re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]


def test_an_existing_file_stays_unless_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_page(run, path, overwrite=False)
    assert path.read_bytes() == b"mine"
    write_page(run, path, overwrite=True)
    assert path.read_bytes().startswith(b"<!doctype html>") and path.read_bytes().endswith(b"</html>\n")


def test_a_disk_that_fails_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mr2ct.page.page.os.fsync", full)
    with pytest.raises(OutputError, match=r"a\.html: not written: No space left on device"):
        write_page(run, tmp_path / "a.html", overwrite=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a", "a.html.txt", ".html", "a.xhtml"])
def test_another_suffix_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.html") as told:
        check_page_place(tmp_path / name, overwrite=True)
    assert "\n" not in str(told.value)


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "no" / "a.html", tmp_path / "folder.html"):
        with pytest.raises(OutputError):
            check_page_place(path, overwrite=True)
    check_page_place(tmp_path / "a.HTM", overwrite=False)
