"""mr2ct-export, as typed: one line for whatever goes wrong, and never half a folder."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import phantom
from mr2ct.card import PAPER_SLICES
from mr2ct.model import graph_file, open_model
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_export import calibration
from mr2ct_export.cli import main
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.folder import Exported
from mr2ct_export.sensitivity import LIMITS_HU
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.checkpoint import Checkpoint, save_checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained

FP32, FP16, INT8 = graph_file("fp32"), graph_file("fp16"), graph_file("int8")
PROGRAM = "from mr2ct_export.cli import main; main()"
# a test run in the background of a shell has SIGINT ignored, and its children with it
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + PROGRAM
PATIENCE_S = 60


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def process(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def one_line(stderr: str) -> str:
    (line,) = stderr.splitlines()
    assert line.startswith("mr2ct-export: ")
    return line


def assert_refused(result: Result, *words: str, code: int = 1) -> None:
    """It ended in one line and without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    line = one_line(result.stderr)
    assert all(word in line for word in words), line


def saved(checkpoint: Checkpoint, folder: Path) -> Path:
    path = folder / "brain.pt"
    save_checkpoint(checkpoint, path)
    return path


def with_a_bias_of_nan(checkpoint: Checkpoint) -> Checkpoint:
    network = copy.deepcopy(checkpoint.mr_to_ct)
    with torch.no_grad():
        network.exit.get_parameter("1.bias").fill_(torch.nan)
    return replace(checkpoint, mr_to_ct=network)


def with_a_weight_of_1e5(checkpoint: Checkpoint) -> Checkpoint:
    network = copy.deepcopy(checkpoint.mr_to_ct)
    with torch.no_grad():
        network.residual.get_parameter("0.body.1.weight")[0, 0, 1, 1] = 1e5
    return replace(checkpoint, mr_to_ct=network)


@pytest.fixture(scope="module")
def small_file(small: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(small, tmp_path_factory.mktemp("small"))


@pytest.fixture
def few_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """To calibrate and measure with: it is quicker, and says as much of a drawn head."""
    monkeypatch.setattr(calibration, "CALIBRATING", 6)
    monkeypatch.setattr(calibration, "HELD_OUT", 4)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place in an otherwise empty folder."""
    place = tmp_path / "models"
    place.mkdir()
    return place / "model"


@pytest.fixture
def old(out: Path, trained_export: Exported, trained_folder: Path) -> dict[str, bytes]:
    """A model folder, in both precisions, that is already there, and what is in it."""
    assert trained_export.refused == ()
    shutil.copytree(trained_folder, out)
    return content_of(out)


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give a CHECKPOINT, or --untrained"),
        (["brain.pt", "--untrained", "--reference", "t1.nii.gz"], "give a CHECKPOINT, or --untrained"),
        (["--untrained"], "--untrained needs --reference"),
        (["--untrained", "--reference", "t1.nii.gz", "--width", "0"], "--width"),
        (["--untrained", "--reference", "t1.nii.gz", "--width", "wide"], "--width"),
        (["--untrained", "--reference", "t1.nii.gz", "--seed", "-1"], "--seed"),
        (["brain.pt", "--fp8"], "--fp8"),
        (["brain.pt", "--int8"], "--int8 and --calibration MR.nii.gz go together"),
        (["brain.pt", "--calibration", "t1.nii.gz"], "--int8 and --calibration MR.nii.gz go together"),
        (["brain.pt", "--int8-limit", "8"], "--int8-limit goes with --int8"),
        (["brain.pt", "--int8-limit", "0"], "0 is not in the range 0<x<=20"),
        (["brain.pt", "--int8", "--calibration", "t1.nii.gz", "--int8-limit", "nan"], "is a number of HU"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str], told: str, out: Path) -> None:
    result = command(*arguments, "--out", out)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not list(out.parent.iterdir())


def test_a_folder_to_write_must_be_named(small_file: Path) -> None:
    result = command(small_file)
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_help_names_the_usual_limit_of_int8() -> None:
    assert f"[default: {LIMITS_HU['p99_9_hu']:g}]" in " ".join(command("-h").stdout.split())


def test_help_comes_without_loading_torch() -> None:
    code = (
        "import sys, mr2ct_export.cli as cli; cli.main(['-h'], standalone_mode=False); "
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    running = process(code)
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, stderr
    assert "--reference" in stdout


def test_a_checkpoint_with_its_own_slices_needs_no_reference(
    trained: Checkpoint, trained_file: Path, out: Path
) -> None:
    parameters = sum(parameter.numel() for parameter in trained.mr_to_ct.parameters())
    result = command(trained_file, "--out", out, "--fp16")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert f"{parameters:,} parameters" in result.stdout
    for file in (FP32, FP16):
        assert f"{file}  {(out / file).stat().st_size / 1e6:.1f} MB" in result.stdout
    assert result.stdout.count(" HU\n") == 2
    assert str(out) in result.stdout
    assert open_model(out).precisions == ("fp32", "fp16")
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.usefixtures("few_slices")
def test_an_int8_graph_is_written_beside_the_others_and_one_mr_may_calibrate_and_certify_it(
    trained_file: Path, head_file: Path, out: Path
) -> None:
    given = (trained_file, "--out", out, "--int8", "--reference", head_file, "--calibration", head_file)
    result = command(*given, "--int8-limit", 11.5)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert f"{INT8}  {(out / INT8).stat().st_size / 1e6:.1f} MB" in result.stdout
    model = open_model(out)
    assert model.precisions == ("fp32", "int8")
    assert model.card.quantisation is not None
    assert model.card.quantisation.limits_hu == {**LIMITS_HU, "p99_9_hu": 11.5}
    told = f"in int8: {len(model.card.quantisation.int8)} of the 20 convolutions that could be, by OpenVINO"
    assert told in result.stdout


@pytest.mark.usefixtures("few_slices")
def test_a_refused_int8_graph_exits_with_1_and_leaves_a_folder_in_single_precision(
    small_file: Path, head_file: Path, out: Path
) -> None:
    result = command(small_file, "--out", out, "--int8", "--calibration", head_file)
    assert_refused(result, INT8, "not written", "no convolution may be in int8")
    assert open_model(out).precisions == ("fp32",)
    assert list(out.parent.iterdir()) == [out]


def test_a_ct_to_calibrate_with_is_refused(small_file: Path, out: Path, tmp_path: Path) -> None:
    ct = phantom.draw(phantom.grid_around((0, 0, 0), (50, 50, 40), (5, 5, 5)))[1]
    write_volume(ct, tmp_path / "ct.nii.gz")
    result = command(small_file, "--out", out, "--int8", "--calibration", tmp_path / "ct.nii.gz")
    assert_refused(result, "this is a CT")
    assert not list(out.parent.iterdir())


def test_an_mr_to_calibrate_with_that_is_missing_or_holds_no_head_is_refused(
    small_file: Path, out: Path, tmp_path: Path
) -> None:
    result = command(small_file, "--out", out, "--int8", "--calibration", "t7.nii.gz")
    assert_refused(result, "t7.nii.gz: no such file")
    grid = phantom.grid_around((0, 0, 0), (20, 20, 20), (10, 10, 10))
    write_volume(Volume(np.zeros(grid.shape, np.int16), grid), tmp_path / "empty.nii.gz")
    assert_refused(command(small_file, "--out", out, "--int8", "--calibration", tmp_path / "empty.nii.gz"), "head")
    assert not list(out.parent.iterdir())


def test_a_checkpoint_without_slices_asks_for_a_reference(small: Checkpoint, out: Path, tmp_path: Path) -> None:
    path = saved(replace(small, reference=None), tmp_path)
    assert_refused(command(path, "--out", out), str(path), "no reference slices", "--reference MR.nii.gz")
    assert not list(out.parent.iterdir())


def test_a_missing_checkpoint_is_refused(out: Path) -> None:
    assert_refused(command("nowhere.pt", "--out", out), "nowhere.pt: no such checkpoint")


def test_a_damaged_checkpoint_is_refused(small_file: Path, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "brain.pt"
    path.write_bytes(small_file.read_bytes()[:-1000])
    assert_refused(command(path, "--out", out), str(path), "damaged")
    assert not list(out.parent.iterdir())


def test_a_missing_reference_is_refused_and_named(small_file: Path, out: Path) -> None:
    assert_refused(command(small_file, "--out", out, "--reference", "t7.nii.gz"), "t7.nii.gz: no such file")


def test_a_ct_as_reference_is_refused(small_file: Path, out: Path, tmp_path: Path) -> None:
    ct = phantom.draw(phantom.grid_around((0, 0, 0), (50, 50, 40), (5, 5, 5)))[1]
    write_volume(ct, tmp_path / "ct.nii.gz")
    assert_refused(command(small_file, "--out", out, "--reference", tmp_path / "ct.nii.gz"), "this is a CT")
    assert not list(out.parent.iterdir())


def test_a_reference_without_a_head_is_refused(small_file: Path, out: Path, tmp_path: Path) -> None:
    grid = phantom.grid_around((0, 0, 0), (20, 20, 20), (10, 10, 10))
    write_volume(Volume(np.zeros(grid.shape, np.int16), grid), tmp_path / "empty.nii.gz")
    assert_refused(command(small_file, "--out", out, "--reference", tmp_path / "empty.nii.gz"), "an MR with a head")
    assert not list(out.parent.iterdir())


def test_a_model_folder_that_exists_is_not_replaced_unasked(small_file: Path, out: Path, old: dict[str, bytes]) -> None:
    assert_refused(command(small_file, "--out", out), f"{out}: exists already", "--overwrite")
    assert content_of(out) == old


def test_overwrite_replaces_a_model_folder_whole(small_file: Path, out: Path, old: dict[str, bytes]) -> None:
    result = command(small_file, "--out", out, "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert FP16 in old
    assert open_model(out).precisions == ("fp32",)
    assert list(out.parent.iterdir()) == [out]


def test_overwrite_never_replaces_a_folder_that_is_no_model(small_file: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("four years")
    assert_refused(command(small_file, "--out", out, "--overwrite"), str(out), "no model folder")
    assert content_of(out) == {"thesis.tex": b"four years"}


def test_overwrite_never_replaces_a_file(small_file: Path, out: Path) -> None:
    out.write_text("four years")
    assert_refused(command(small_file, "--out", out, "--overwrite"), str(out), "no model folder")
    assert out.read_text() == "four years"


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_place_that_cannot_be_written_is_refused(parent: str, small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / parent / "model"
    assert_refused(command(small_file, "--out", out), f"{out}: cannot write there")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_write_permission_is_refused(small_file: Path, out: Path) -> None:
    out.parent.chmod(0o555)
    try:
        assert_refused(command(small_file, "--out", out), f"{out}: cannot write there", "Permission denied")
    finally:
        out.parent.chmod(0o755)


@pytest.mark.parametrize("spoilt", [True, False], ids=["too large a weight", "too large an error"])
def test_a_refused_half_graph_exits_with_1_and_leaves_a_folder_in_single_precision(
    spoilt: bool, small: Checkpoint, out: Path, tmp_path: Path
) -> None:
    told = "residual.0.body.1.weight: a weight of 100000 does not fit" if spoilt else "too far from PyTorch fp32"
    path = saved(with_a_weight_of_1e5(small) if spoilt else small, tmp_path)
    result = command(path, "--out", out, "--fp16")
    assert_refused(result, FP16, "not written", told)
    assert open_model(out).precisions == ("fp32",)
    assert FP32 in result.stdout
    assert FP16 not in result.stdout
    assert list(out.parent.iterdir()) == [out]


def test_a_refused_single_graph_exits_with_1_and_leaves_the_old_folder(
    small: Checkpoint, out: Path, old: dict[str, bytes], tmp_path: Path
) -> None:
    path = saved(with_a_bias_of_nan(small), tmp_path)
    assert_refused(command(path, "--out", out, "--overwrite"), FP32, "not written", "max inf HU (at most 0.1)")
    assert content_of(out) == old
    assert list(out.parent.iterdir()) == [out]


def test_an_untrained_export_of_a_seed_is_the_same_from_any_process(head_file: Path, out: Path) -> None:
    running = process(PROGRAM, "--untrained", "--width", "4", "--seed", "5", "--reference", head_file, "--out", out)
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, stderr
    assert stderr == ""
    assert "untrained: for geometry and speed only" in stdout
    model = open_model(out)
    assert not model.card.trained
    assert model.card.training["seed"] == 5
    here = with_exact_norms(to_onnx(untrained(GeneratorConfig(width=4), seed=5), PAPER_SLICES), OPSET)
    assert model.read(FP32) == here.SerializeToString(deterministic=True)


def test_a_real_process_ends_in_one_line_too(small_file: Path, out: Path) -> None:
    running = process(PROGRAM, small_file, "--reference", "t7.nii.gz", "--out", out)
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1
    assert stdout == ""
    assert "t7.nii.gz: no such file" in one_line(stderr)
    assert not list(out.parent.iterdir())


def test_ctrl_c_in_the_middle_leaves_nothing_behind(small_file: Path, out: Path) -> None:
    running = process(INTERRUPTIBLE, small_file, "--out", out)
    deadline = time.monotonic() + PATIENCE_S
    while not list(out.parent.glob(".model.*.partial/reference.npz")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, stderr
    assert stdout == ""
    assert "stopped; nothing was written" in one_line(stderr)
    assert not list(out.parent.iterdir())
