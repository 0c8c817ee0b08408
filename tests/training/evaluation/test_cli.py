"""mr2ct-evaluate from the command line, on files."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mr2ct_training.evaluation import evaluate, folder
from mr2ct_training.evaluation.cli import main
from mr2ct_training.evaluation.report import report

HEADER = "patient,method,synthetic,reference,mask,mr"
PATIENTS = ("anna", "bob", "carl")


@pytest.fixture(autouse=True)
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of a run on small data: there are none, unless a test asks for them."""
    monkeypatch.setattr(folder, "report", lambda _: {"table.md": b"# A report\n"})


@pytest.fixture
def whole_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """With pictures; fixtures of every test come first."""
    monkeypatch.setattr(folder, "report", report)


def row(patient: str, method: str, **other: str) -> str:
    """A row with the mask given; other names other files, by column."""
    kinds = {"synthetic": method, "reference": "ct", "mask": "mask"}
    cells = {column: f"{kind}/{patient}.nii.gz" for column, kind in kinds.items()} | {"mr": ""} | other
    return ",".join([patient, method, *(cells[column] for column in ("synthetic", "reference", "mask", "mr"))])


EVERY = [row(patient, method) for patient in PATIENTS for method in ("near", "far")]


def run(drawn: Path, rows: list[str], *arguments: object, header: str = HEADER) -> Result:
    table = drawn / "pairs.csv"
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return CliRunner().invoke(main, [str(table), *(str(argument) for argument in arguments)])


def refused(result: Result) -> str:
    """The one line that a refusal is told in."""
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    (line,) = result.output.splitlines()
    assert line.startswith("mr2ct-evaluate: ")
    return line


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.usefixtures("whole_report")
def test_methods_are_measured_summed_up_and_compared(drawn: Path, tmp_path: Path) -> None:
    done = run(drawn, EVERY, "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[2] == ["patient", "method", "HU", *["dB", "of", "4095"] * 2, "2023"]
    figures = {(line[0], line[1]): line[2] for line in lines if len(line) == 7}  # the MAE in mask
    assert figures["anna", "near"] == "20.0" and figures["carl", "far"] == "100.0"
    assert figures["mean", "near"] == "25.0" and figures["mean", "far"] == "95.0"
    assert figures["SD", "near"] == figures["SD", "far"] == "5.0"  # of 20, 25, 30 and of 90, 95, 100 HU
    assert "near - far, paired by patient" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    files = ["results.json", "table.md", "report.html", "sagittal.png", "axial_coronal.png", "continuity.png"]
    assert done.stdout.splitlines()[-6:] == [str(tmp_path / "d" / file) for file in files]
    assert {file.name for file in (tmp_path / "d").iterdir()} == set(files)

    found = read(tmp_path / "d")
    assert found["schema"] == "mr2ct-evaluation/1" and found["convention"]["name"] == "paper"
    assert [(r["patient"], r["method"]) for r in found["rows"]] == [(p, m) for p in PATIENTS for m in ("near", "far")]
    assert found["rows"][0]["values"]["mae_hu_in_mask"] == 20
    keys = [metric["key"] for metric in found["metrics"]]
    assert all(list(r["values"]) == keys for r in found["rows"])
    mae = next(s for s in found["summaries"] if (s["method"], s["metric"]) == ("near", "mae_hu_in_mask"))
    assert (mae["patients"], mae["mean"], mae["sd"]) == (3, 25, 5)
    compared = next(c for c in found["comparisons"] if c["metric"] == "mae_hu_in_mask")
    assert compared["mean"] == -70 and compared["t_p"] is None  # 70 HU for each patient: no spread, no t
    assert compared["wilcoxon_p"] == 0.25  # 2 of 8 signs
    assert len(found["rows"][0]["continuity"]["x_mm"]) > 20
    assert set(found["versions"]) == {"mr2ct", "numpy", "scipy", "scikit-image", "SimpleITK", "matplotlib"}


@pytest.mark.usefixtures("whole_report")
def test_the_same_table_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(drawn, EVERY[:2], "--out", tmp_path / name).exit_code == 0
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("convention", "psnr", "structural"),
    [
        ("paper", "psnr_db_in_mask_range_4095", "ssim_synthrad2023_in_mask"),
        ("synthrad2023", "psnr_db_in_mask_range_4024_clipped_-1024_3000", "ssim_synthrad2023_in_mask"),
        ("synthrad2025", "psnr_db_in_mask_range_4095_clipped_-1024_3071", "ms_ssim_synthrad2025_in_mask"),
    ],
)
def test_a_convention_names_itself_in_its_figures(
    drawn: Path, tmp_path: Path, convention: str, psnr: str, structural: str
) -> None:
    done = run(drawn, EVERY[:1], "--out", tmp_path, "--convention", convention)
    assert done.exit_code == 0 and f"note: {convention}: " in done.stderr
    values = read(tmp_path)["rows"][0]["values"]
    assert values[psnr] > 40 and 0.9 < values[structural] < 1
    assert sum("psnr" in key for key in values) == 2 and sum("ssim" in key for key in values) == 1


def test_one_method_alone_is_not_tested_and_it_is_said(drawn: Path, tmp_path: Path) -> None:
    done = run(drawn, [row(patient, "near") for patient in PATIENTS], "--out", tmp_path)
    assert done.exit_code == 0 and "note: one method only (near): no test" in done.stderr
    assert "paired by patient" not in done.output and read(tmp_path)["comparisons"] == []


def test_one_shared_patient_is_not_tested_and_it_is_said(drawn: Path, tmp_path: Path) -> None:
    done = run(drawn, [row("anna", "near"), row("anna", "far"), row("bob", "far")], "--out", tmp_path)
    assert done.exit_code == 0 and "note: near and far share 1 patient(s): no test; at least 2" in done.stderr
    assert "paired by patient" not in done.output
    done = run(drawn, EVERY[:5], "--out", tmp_path / "d")
    assert "note: near and far are compared on the 2 patients they share; left out: carl" in done.stderr


def test_different_masks_of_one_patient_are_said(drawn: Path, tmp_path: Path) -> None:
    rows = [row("anna", "near"), row("anna", "far", mask="mask/bob.nii.gz")]
    done = run(drawn, rows, "--out", tmp_path)
    assert done.exit_code == 0 and "note: patient anna: methods are measured in different masks (near " in done.stderr


def test_resampling_is_said_loudly(drawn: Path, tmp_path: Path) -> None:
    rows = [row("carl", "near", synthetic="broken/moved.nii.gz")]
    done = run(drawn, rows, "--out", tmp_path, "--resample")
    assert done.exit_code == 0, done.output
    assert "note: carl, near: synthetic CT RESAMPLED onto the reference's grid" in done.stderr
    (found,) = read(tmp_path)["rows"]
    assert found["resampled"] and "RESAMPLED" in found["notes"][0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row("bob", "near", synthetic="near/zoe.nii.gz"), "line 3 (patient bob, method near): synthetic "),
        (row("bob", "near", reference="ct/zoe.nii.gz"), "zoe.nii.gz: no such file"),
        (row("anna", "near"), "line 3 (patient anna, method near): this patient and method are those of "),
        (row("anna", "far", reference="ct/bob.nii.gz"), "line 3 (patient anna, method far): reference bob.nii.gz"),
        (row("", "near"), "line 3 (patient ?, method near): patient empty"),
        (row("bob", "near", synthetic="broken/cut.nii.gz"), "line 3 (patient bob, method near): synthetic "),
        (row("bob", "near", synthetic="broken/nan.nii.gz"), "nan.nii.gz: 7 voxels are NaN or infinite"),
        (row("bob", "near", synthetic="broken/constant.nii.gz"), "constant.nii.gz: constant volume, 40 everywhere"),
        (
            row("bob", "near", synthetic="broken/moved.nii.gz"),
            "not on the reference's grid (voxels up to 4.00 mm away)",
        ),
        (row("bob", "near", synthetic="broken/small.nii.gz"), "51 x 63 x 60 voxels, not 52 x 63 x 60"),
        (row("bob", "near", mask="broken/empty.nii.gz"), "line 3 (patient bob, method near): empty mask"),
        (row("bob", "near", reference="mr/bob.nii.gz", mask=""), "reference: this is no CT in HU"),
        (row("bob", "near", mask="", mr="ct/bob.nii.gz"), "mr: this is a CT"),
        (row("bob", "near", mask="pairs.csv"), "pairs.csv: no reader for this kind of file"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_no_file(drawn: Path, tmp_path: Path, wrong: str, message: str) -> None:
    line = refused(run(drawn, [row("anna", "near"), wrong], "--out", tmp_path / "d"))
    assert message in line and f"{drawn / 'pairs.csv'}, line 3 (" in line
    assert not (tmp_path / "d").exists()


def test_what_is_no_table_of_pairs_is_one_line_and_no_file(drawn: Path, tmp_path: Path) -> None:
    assert "no column reference; needed" in refused(
        run(drawn, [], "--out", tmp_path, header="patient,method,synthetic")
    )
    assert "no rows" in refused(run(drawn, [], "--out", tmp_path))
    line = refused(CliRunner().invoke(main, [str(tmp_path / "zoe.csv"), "--out", str(tmp_path)]))
    assert line.endswith("zoe.csv: cannot be read as a table: No such file or directory")
    assert not list(tmp_path.iterdir())


def test_results_are_replaced_only_when_asked(drawn: Path, tmp_path: Path) -> None:
    assert run(drawn, EVERY[:1], "--out", tmp_path).exit_code == 0
    before = (tmp_path / "results.json").read_bytes()
    line = refused(run(drawn, EVERY[:2], "--out", tmp_path))
    assert line.endswith("results.json: exists already; --overwrite replaces it, --out names another place")
    refused(run(drawn, [row("anna", "near", synthetic="broken/cut.nii.gz")], "--out", tmp_path, "--overwrite"))
    assert (tmp_path / "results.json").read_bytes() == before
    assert run(drawn, EVERY[:2], "--out", tmp_path, "--overwrite").exit_code == 0
    assert len(read(tmp_path)["rows"]) == 2


def test_places_that_cannot_be_written_are_told_before_anything_is_measured(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(run(drawn, EVERY, "--out", tmp_path / "file")).endswith("file: is a file; --out names a folder")
    assert "its parent folder does not exist" in refused(run(drawn, EVERY, "--out", tmp_path / "a" / "b"))


def test_a_full_disk_leaves_nothing_behind(drawn: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        line = refused(run(drawn, EVERY[:1], "--out", tmp_path / "d"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line.endswith("results.json: not written: File too large") and not (tmp_path / "d").exists()


def test_a_report_is_written_with_the_results_or_not_at_all(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(drawn, EVERY[:1], "--out", tmp_path / "d").exit_code == 0
    assert {file.name for file in (tmp_path / "d").iterdir()} == {"results.json", "table.md"}

    def fails(_: object) -> dict[str, bytes]:
        raise MemoryError

    monkeypatch.setattr(folder, "report", fails)
    assert refused(run(drawn, EVERY[:1], "--out", tmp_path / "e")).endswith("out of memory")
    assert not (tmp_path / "e").exists()


def test_a_stopped_run_writes_nothing(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "score", stop)
    result = run(drawn, EVERY, "--out", tmp_path / "d")
    assert result.exit_code == 130 and result.output == "mr2ct-evaluate: stopped; nothing was written\n"
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["--out"], ["--out", "d", "--convention", "mine"], ["--out", "d", "--nonsense"]]
)
def test_wrong_usage_ends_with_2(drawn: Path, arguments: list[str]) -> None:
    assert run(drawn, EVERY, *arguments).exit_code == 2


def test_help_needs_no_heavy_library() -> None:
    script = (
        "import sys; from mr2ct_training.evaluation.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'numpy', 'scipy', 'skimage', 'SimpleITK', 'torch'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "synthrad2025" in printed and printed.endswith("[]\n")
