"""A cohort is its options: the same bytes again, never mixed with another, and a data set at the end."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import phantom_cohort
from drawn_volumes import COARSE
from mr2ct.errors import OutputError
from mr2ct.reading import read_volume
from mr2ct_training.prepare import prepare
from mr2ct_training.prepare_patients import sources_of
from phantom_cohort import make_cohort
from phantom_scans import Scan

TINY = Scan(coarser=6)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file, by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "new" / "folder"
    result = make_cohort(out, 4, 0, 3, TINY)
    assert (result["patients"], result["drawn"]) == (4, 12)
    return out


def test_cohort_says_what_was_drawn(cohort: Path) -> None:
    facts = json.loads((cohort / "cohort.json").read_text())
    assert (facts["seed"], facts["misalignment_mm"], facts["scan"]["coarser"]) == (0, 3, 6)
    assert [patient["name"] for patient in facts["patients"]] == ["p01", "p02", "p03", "p04"]
    for patient in facts["patients"]:
        assert patient["misalignment"]["rms_mm"]["neck"] == pytest.approx(3, rel=0.2)
        assert patient["misalignment"]["rms_mm"]["cranium"] < 0.3
        for kind, grid in (("mr", "mr_grid"), ("truth", "mr_grid"), ("ct", "ct_grid")):
            written = read_volume(cohort / kind / f"{patient['name']}.nii.gz").grid
            assert list(written.size) == patient[grid]["size"]
            assert written.origin == pytest.approx(patient[grid]["origin"], abs=1e-4)
            assert written.direction == pytest.approx(patient[grid]["direction"], abs=1e-6)


def test_same_options_same_bytes_and_the_seed_is_who_they_are(cohort: Path, tmp_path: Path) -> None:
    make_cohort(tmp_path / "again", 4, 0, 3, TINY)
    assert digests(tmp_path / "again") == digests(cohort)
    make_cohort(tmp_path / "other", 1, 1, 0, TINY)
    make_cohort(tmp_path / "aligned", 1, 0, 0, TINY)
    for kind in ("mr", "ct", "truth"):
        name = f"{kind}/p01.nii.gz"
        assert digests(tmp_path / "other")[name] != digests(cohort)[name]
        assert (digests(tmp_path / "aligned")[name] == digests(cohort)[name]) == (kind != "ct")


def test_what_is_missing_is_made_and_what_is_there_stays(cohort: Path) -> None:
    before, kept = digests(cohort), cohort / "mr" / "p02.nii.gz"
    (cohort / "truth" / "p02.nii.gz").unlink()
    (cohort / "ct" / "p03.nii.gz").unlink()
    (cohort / "patients.csv").unlink()
    written = kept.stat().st_mtime_ns
    assert make_cohort(cohort, 4, 0, 3, TINY)["drawn"] == 2
    assert digests(cohort) == before
    assert kept.stat().st_mtime_ns == written


def test_another_cohort_or_another_thing_is_left_alone(tmp_path: Path) -> None:
    dotted, dots = tmp_path / "cohort", Scan(coarser=12)
    make_cohort(dotted, 1, 0, 0, dots)
    before = digests(dotted)
    for count, seed, mm, scan in ((2, 0, 0, dots), (1, 1, 0, dots), (1, 0, 2, dots), (1, 0, 0, TINY)):
        with pytest.raises(OutputError, match="is not empty and not this cohort"):
            make_cohort(dotted, count, seed, mm, scan)
    assert digests(dotted) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        make_cohort(tmp_path, 1, 0, 0, TINY)
    with pytest.raises(OutputError, match="is no folder"):
        make_cohort(tmp_path / "notes.txt", 1, 0, 0, TINY)


def test_cohort_becomes_a_data_set_with_pairs(cohort: Path, tmp_path: Path) -> None:
    for kind in ("truth", "ct"):  # patients.csv fits both
        sources = sources_of([cohort / "mr"], [cohort / kind], cohort / "patients.csv", ())
        assert {source.patient for source in sources if source.split == "validation"} == {"p04"}
    prepared = prepare(sources, replace(COARSE, pairing="aligned"), tmp_path / "data")
    assert len(prepared) == 8
    for patient in ("p01", "p02", "p03", "p04"):
        assert len({one.entry.slices for one in prepared if one.entry.patient == patient}) == 1  # of CT as of MR
    assert not any(one.notes for one in prepared)


def test_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(phantom_cohort.SCANS, "coarse", Scan(coarser=8))
    arguments = ["phantom_cohort.py", str(tmp_path / "out"), "--patients", "1", "--grid", "coarse"]
    monkeypatch.setattr(sys, "argv", arguments)
    phantom_cohort.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["cohort"], result["drawn"]) == (str(tmp_path / "out"), 3)
    monkeypatch.setattr(sys, "argv", [*arguments, "--seed", "1"])
    with pytest.raises(SystemExit, match=r"phantom_cohort: .*not this cohort"):
        phantom_cohort.main()
    monkeypatch.setattr(sys, "argv", [*arguments, "--misalignment", "-1"])
    with pytest.raises(SystemExit, match="2"):
        phantom_cohort.main()


def test_script_finds_what_it_imports() -> None:
    command = [sys.executable, phantom_cohort.__file__, "--help"]
    assert "--misalignment MM" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
