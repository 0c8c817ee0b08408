"""mr2ct-run over many volumes, as somebody with an archive calls it; then once more."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from mr2ct.gate.limiting import limits_of
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.many.manifest import MANIFEST, open_manifest
from mr2ct.model import Model
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from runtime.dicom.drawn_series import write_series
from runtime.many.archive import Result, coarse_model, entry, files, head, lines, names, put, run, start, states

VOLUMES = ("a/one.nii.gz", "a/two.mha", "b/three.nrrd", "four.nii")
CTS = ["a/one_sct.nii.gz", "a/two_sct.mha", "b/three_sct.nrrd", "four_sct.nii"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return coarse_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def finished(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mr/, four heads, and out/, their CTs."""
    folder = tmp_path_factory.mktemp("finished")
    for person, name in enumerate(VOLUMES):
        put(folder / "mr" / name, person)
    result = run(folder / "mr", "-o", folder / "out", "--model", model.folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, times kept, to stand in."""
    for part in ("mr", "out"):
        shutil.copytree(finished / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def again(model: Model, *more: object) -> Result:
    return run("mr", "-o", "out", "--model", model.folder, *more)


def refused(result: Result, code: int, *words: str) -> None:
    """It ended with that code and one line, before any work."""
    assert result.exit_code == code, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("mr2ct-run: ")
    for word in words:
        assert word in line


def made(result: Result) -> int:
    """How many volumes a run that is told had to make."""
    first = result.stdout.split()
    return int(first[0]) if first[1] == "of" else 0


def test_an_archive_becomes_one_of_cts_equal_to_those_of_single_runs_to_the_last_bit(
    finished: Path, model: Model, tmp_path: Path
) -> None:
    assert names(finished / "out") == sorted(CTS)
    for source, ct in zip(VOLUMES, CTS, strict=True):
        alone = tmp_path / Path(ct).name
        assert run(finished / "mr" / source, "-o", alone, "--model", model.folder).exit_code == 0
        assert alone.read_bytes() == (finished / "out" / ct).read_bytes()
    assert set(states(finished / "out").values()) == {"done"}
    assert not list((finished / "out").rglob("*.partial"))


def test_a_second_run_does_nothing(here: Path, model: Model) -> None:
    before, manifest = files(here / "out"), (here / "out" / MANIFEST).read_bytes()
    result = again(model)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "4 done (4 before this run)"
    assert (files(here / "out"), (here / "out" / MANIFEST).read_bytes()) == (before, manifest)


def test_a_second_run_makes_what_is_missing_or_altered_and_nothing_else(here: Path, model: Model) -> None:
    before = files(here / "out")
    (here / "out" / CTS[0]).unlink()
    (here / "out" / CTS[1]).write_bytes(b"altered")
    put(here / "mr" / VOLUMES[2], person=9)
    os.utime(here / "mr" / VOLUMES[3])  # another time and the same bytes
    os.utime(here / "out" / CTS[3])
    put(here / "mr/new/five.nii.gz", 5)
    result = again(model)
    assert result.exit_code == 0, result.output
    assert made(result) == 4
    after = files(here / "out")
    assert [after[ct][0] for ct in CTS[:2]] == [before[ct][0] for ct in CTS[:2]]
    assert after[CTS[2]][0] != before[CTS[2]][0]
    assert after[CTS[3]] == (before[CTS[3]][0], (here / "out" / CTS[3]).stat().st_mtime_ns)
    assert "new/five_sct.nii.gz" in after


def test_what_size_and_time_do_not_tell_verify_finds(here: Path, model: Model) -> None:
    ct = here / "out" / CTS[3]
    status, content = ct.stat(), bytearray(ct.read_bytes())
    content[-1000] ^= 1
    ct.write_bytes(content)
    os.utime(ct, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert made(again(model)) == 0
    assert made(again(model, "--verify")) == 1
    content[-1000] ^= 1
    assert ct.read_bytes() == bytes(content)


def test_bad_volumes_stop_no_others_are_told_with_reasons_and_tried_again(here: Path, model: Model) -> None:
    (here / "mr/bad1.nii.gz").write_text("hello")
    (here / "mr/bad2.nii.gz").write_text("hello")
    (here / "mr/gone.nii").symlink_to(here / "nothing.nii")
    put(here / "mr/good.nii.gz", 6)
    result = again(model)
    assert result.exit_code == 8, result.output
    assert result.stdout.splitlines()[1] == "5 done (4 before this run), 3 failed"
    told = [line for line in result.stderr.splitlines() if line.startswith("mr2ct-run: ")]
    assert len(told) == 3
    assert any("gone.nii: failed: no such file" in line for line in told)
    (grouped,) = [line for line in result.stdout.splitlines() if line.startswith("  2 failed: ")]
    assert "bad1.nii.gz" in grouped
    assert "bad2.nii.gz" in grouped
    put(here / "mr/bad1.nii.gz", 7)
    result = again(model)
    assert made(result) == 3
    assert result.exit_code == 8
    assert states(here / "out")["bad1_sct.nii.gz"] == "done"
    (here / "mr/bad2.nii.gz").unlink()
    (here / "mr/gone.nii").unlink()
    assert again(model).exit_code == 0


def test_a_folder_never_gets_cts_of_two_models_unasked(here: Path) -> None:
    other = coarse_model(here / "other", [helper.make_node("Mul", ["mr", "mr"], ["synthetic_ct"])], certificates=())
    before = files(here / "out")
    put(here / "mr/new.nii.gz", 5)
    refused(again(other, "--uncertified"), 6, "4 of 5 CTs", "another sha256", "--overwrite")
    assert files(here / "out") == before
    result = again(other, "--uncertified", "--overwrite")
    assert result.exit_code == 0, result.output
    assert made(result) == 5
    assert all(files(here / "out")[ct][0] != before[ct][0] for ct in CTS)
    assert made(again(other, "--uncertified", "--overwrite")) == 0  # what is done as asked is not done again


def test_other_wishes_are_told_where_they_change_what_is_there(here: Path, model: Model) -> None:
    put(here / "mr" / "more.nii.gz", 5)
    assert made(again(model, "--quality", "exact")) == 1
    refused(again(model, "--precision", "bf16"), 6, "fp32", "5 of 5")


def test_what_the_gate_refuses_is_kept_so_until_something_changes(tmp_path: Path) -> None:
    gated = coarse_model(
        tmp_path / "gated", gate=limits_of([measure(head(), head_mask(head()))], fixed_units=True)
    )  # fmt: skip
    put(tmp_path / "mr/good.nii.gz")
    odd = tmp_path / "mr/odd.nii.gz"
    write_volume(Volume(np.ascontiguousarray(head().voxels[:, ::-1]), head().grid), odd)
    arguments = [tmp_path / "mr", "-o", tmp_path / "out", "--model", gated.folder]
    result = run(*arguments)
    assert result.exit_code == 8
    assert "1 done, 1 refused by the gate" in result.stdout
    assert f"odd.nii.gz: refused: refused, the model {gated.card.name}" in result.stderr
    assert names(tmp_path / "out") == ["good_sct.nii.gz"]
    result = run(*arguments)
    assert (made(result), result.exit_code) == (0, 8)
    assert "1 refused: " in result.stdout
    forced = run(*arguments, "--force")
    assert (made(forced), forced.exit_code) == (1, 0)
    assert "1 OUTSIDE VALIDATED USE, by --force" in forced.stdout
    refused(run(*arguments), 6, "by --force")
    put(odd, 0)
    assert made(run(*arguments, "--force")) == 1
    assert run(*arguments).exit_code == 0


def test_a_file_of_somebody_else_is_kept_and_told(here: Path, model: Model) -> None:
    put(here / "mr/new.nii.gz", 5)
    (here / "out/new_sct.nii.gz").write_bytes(b"mine")
    for _ in range(2):
        result = again(model)
        assert result.exit_code == 8
        assert "exists already" in result.stderr
        assert (here / "out/new_sct.nii.gz").read_bytes() == b"mine"
    assert again(model, "--overwrite").exit_code == 0
    assert (here / "out/new_sct.nii.gz").read_bytes() != b"mine"


def test_a_ct_whose_mr_became_bad_stays_and_is_ours_when_the_mr_is_back(here: Path, model: Model) -> None:
    (here / "mr" / VOLUMES[0]).write_bytes(b"bad")
    assert again(model).exit_code == 8
    put(here / "mr" / VOLUMES[0], 3)
    assert again(model).exit_code == 0


def test_reports_pictures_and_a_list(here: Path, model: Model) -> None:
    (here / "list.txt").write_text(f"mr/{VOLUMES[0]}\tp1/ct.nii.gz\nmr/{VOLUMES[1]}\n")
    arguments = ["@list.txt", "-o", "cts", "--model", model.folder]
    assert run(*arguments).exit_code == 0
    assert names(here / "cts") == ["mr/a/two_sct.mha", "p1/ct.nii.gz"]
    result = run(*arguments, "--report", "reports")
    assert (result.exit_code, made(result)) == (0, 2)
    assert names(here / "reports") == ["mr/a/two_sct.html", "mr/a/two_sct.png", "p1/ct.html", "p1/ct.png"]
    assert made(run(*arguments, "--report", "reports")) == 0
    (here / "reports/p1/ct.html").unlink()
    assert made(run(*arguments, "--report", "reports")) == 1


def test_every_folder_of_dicom_becomes_a_series_of_its_patient(tmp_path: Path, model: Model) -> None:
    for person, name in enumerate(("anna", "bob")):
        write_series(tmp_path / "pacs" / name / "t1", head(person).grid, head(person).voxels)
    (tmp_path / "pacs/empty").mkdir()
    arguments = [tmp_path / "pacs", "-o", tmp_path / "out", "--model", model.folder, "--each", "--also-nifti"]
    result = run(*arguments)
    assert result.exit_code == 8
    assert "2 done, 1 failed" in result.stdout
    assert "no DICOM file in it" in result.stderr
    for name in ("anna", "bob"):
        alone = tmp_path / f"{name}_alone"
        assert run(tmp_path / "pacs" / name, "-o", alone, "--model", model.folder).exit_code == 0
        one, other = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in
                      (alone, tmp_path / "out" / f"{name}_sct"))  # fmt: skip
        assert one == other
        assert (tmp_path / "out" / f"{name}_sct.nii.gz").exists()
    assert made(run(*arguments)) == 1
    refused(run(*arguments, "--unmarked"), 6, "with SyntheticData")
    slices = sorted((tmp_path / "out/anna_sct").iterdir())
    slices[0].unlink()
    shutil.copytree(tmp_path / "pacs/bob", tmp_path / "copied")  # the same bytes at other times
    shutil.rmtree(tmp_path / "pacs/bob")
    shutil.copytree(tmp_path / "copied", tmp_path / "pacs/bob", copy_function=shutil.copyfile)
    assert made(run(*arguments)) == 2  # anna, whose CT lacks a slice, and the empty one
    assert slices[0].exists()


def test_dicom_and_reports_in_a_process_that_has_loaded_nothing_yet(tmp_path: Path, model: Model) -> None:
    """Several threads begin at once, and pydicom does not bear to be imported by more than one."""
    series = [write_series(tmp_path / "pacs" / str(n), head(n).grid, head(n).voxels) for n in range(2)]
    volumes = [put(tmp_path / "mr" / f"v{n}.nii.gz", n) for n in range(2)]
    with start(
        volumes[0], series[0], volumes[1], series[1], "-o", tmp_path / "out", "--report", tmp_path / "reports",
        "--model", model.folder,
    ) as process:  # fmt: skip
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, (told, errors)
    assert "4 done" in told


def test_an_engine_that_fails_again_and_again_ends_the_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["mr"], ["synthetic_ct"])]  # NaN for what is below 0
    failing = coarse_model(tmp_path / "model", nodes, certificates=())
    for person in range(8):
        put(tmp_path / f"mr/{person}.nii.gz", person % 2)
    result = run(tmp_path / "mr", "-o", tmp_path / "out", "--model", failing.folder, "--uncertified")
    assert result.exit_code == 5, result.output
    assert "ended early: the engine failed on 3 volumes in a row" in result.stdout
    assert "NaN" in result.stdout
    assert names(tmp_path / "out") == []
    assert "failed" not in list(states(tmp_path / "out").values())[5:]


def test_wrong_usage_and_what_cannot_begin_are_told_before_any_work(here: Path, model: Model) -> None:
    before = sorted(path.name for path in here.iterdir())
    for arguments in (
        ["mr", "--model", model.folder], ["mr", "-o", "new.nii"], ["mr", "-o", "new", "--json", "x.json"],
        ["mr", f"mr/{VOLUMES[0]}", "-o", "new", "--series", "1.2"], ["mr", "-o", "new", "--dicom-from", "mr"],
    ):  # fmt: skip
        assert run(*arguments).exit_code == 2
    refused(run("mr", "-o", "new", "--model", "nothing"), 4, "no such model folder")
    refused(run("mr", "-o", "mr/out", "--model", model.folder), 6, "name a folder outside")
    refused(run("mr", "-o", "new", "--report", "r", "--cycle-map", "mr/b"), 6, "name a folder outside")
    refused(run("mr", "-o", "new", "--cycle-check", "--model", model.folder), 4, "ct_to_mr")
    refused(run("@none.txt", "-o", "new", "--model", model.folder), 3, "cannot be read")
    (here / "mr/four.nii.gz").write_bytes((here / "mr" / VOLUMES[3]).read_bytes())
    refused(run("mr", "-o", "new", "--model", model.folder, "--picture", "p"), 6, "four.nii.gz", "would both write")
    assert sorted(path.name for path in here.iterdir()) == before
    with open_manifest(here / "out"):
        refused(run("mr", "-o", "out", "--model", model.folder), 6, "another mr2ct-run writes there")
    (here / "out" / MANIFEST).write_text("{}\n")
    refused(run("mr", "-o", "out", "--model", model.folder), 6, "line 1 is damaged")


def test_the_manifest_is_json_lines_with_what_a_study_needs(finished: Path) -> None:
    told = [line for line in lines(finished / "out") if line["state"] == "done"]
    assert len(told) == 4
    for line in told:
        assert {"id", "source", "target", "began", "ended", "input_sha256", "model_sha256", "mr2ct"} <= set(line)
        assert {"output_sha256", "engine", "precision", "slices", "seconds"} <= set(line["made"])
    one = entry(finished / "out", CTS[0])
    assert json.loads(one.as_line())["source"] == str(finished / "mr" / VOLUMES[0])
