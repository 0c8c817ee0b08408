"""mr2ct-run, as it is called in a hospital's script."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result

import phantom
from mr2ct import read_volume, write_volume
from mr2ct.cli import main
from mr2ct.model import Model
from mr2ct.volume import Volume
from small_models import shifted_graph, write_model

COMMAND = [sys.executable, "-c", "from mr2ct.cli import main; main()"]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smooth head on a coarse grid, as int16 NIfTI."""
    mr = phantom.smooth(phantom.grid_around((0, 0, 0), (64, 80, 78), (3.0, 3.0, 3.0), phantom.AXIAL))
    path = tmp_path_factory.mktemp("head") / "t1.nii.gz"
    write_volume(Volume(np.rint(mr.voxels).astype(np.int16), mr.grid), path)
    return path


@pytest.fixture
def here(head: Path, tmp_path: Path) -> Path:
    """A copy of the head in a folder of its own."""
    return Path(shutil.copy(head, tmp_path))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """The command ended with that code and one line on stderr that has those words; nothing else was said."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("mr2ct-run: ")
    for word in words:
        assert word in lines[0]


def test_it_writes_a_ct_beside_the_mr_and_says_what_ran_where(here: Path, identity_model: Model) -> None:
    result = run(here, "--model", identity_model.folder, "--batch", 32)
    assert result.exit_code == 0, result.output
    written = here.with_name("t1_sct.nii.gz")
    assert result.stdout.splitlines()[-1] == str(written)
    assert ", CPU, " in result.stdout
    for stage in ("read", "mask", "grid", "engine", "back", "write", "slices a second", "peak memory"):
        assert stage in result.stdout
    mr, ct = read_volume(here), read_volume(written)
    assert ct.grid == mr.grid
    assert ct.voxels.dtype == np.int16


def test_json_and_picture_tell_the_same_story(here: Path, identity_model: Model, tmp_path: Path) -> None:
    out, report, picture = tmp_path / "ct.nrrd", tmp_path / "run.json", tmp_path / "planes.png"
    result = run(
        here, "-o", out, "--json", report, "--picture", picture, "--model", identity_model.folder, "--batch", 32,
        "--quality", "exact",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(report.read_text())
    assert (told["output"]["file"], told["output"]["unit"]) == (str(out), "HU")
    assert told["output"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert told["input"]["sha256"] == hashlib.sha256(here.read_bytes()).hexdigest()
    assert told["engine"]["precision"] == "fp32"
    assert told["model"]["certificate"]["max_hu"] == 0
    assert told["slices"] + told["slices_of_air_skipped"] == 192
    assert 0 < told["slices_of_air_skipped"] < 60
    assert set(told["seconds"]) == {"load", "read", "mask", "grid", "engine", "back", "write", "picture"}
    assert told["peak_memory_bytes"] > 10**8
    assert sitk.ReadImage(str(picture)).GetDimension() == 2


def test_an_untrained_model_is_said_to_be_one(here: Path, tmp_path: Path) -> None:
    model = write_model(
        tmp_path / "m", training={"state": "untrained"}, description="untrained: for geometry and speed only"
    )
    result = run(here, "--model", model.folder, "--batch", 32)
    assert result.exit_code == 0
    assert "untrained: for geometry and speed only" in result.stderr


def test_head_beyond_the_model_is_told_in_millimetres(identity_model: Model, tmp_path: Path) -> None:
    mr, _ = phantom.draw(phantom.grid_around((0, 0, -40), (60, 80, 100), (3.2, 3.2, 3.2), phantom.AXIAL))
    write_volume(mr, tmp_path / "long.nii.gz")
    result = run(tmp_path / "long.nii.gz", "--model", identity_model.folder, "--batch", 32)
    assert result.exit_code == 0
    assert "mm inferior" in result.stderr


def test_an_existing_output_is_kept_unless_overwrite(here: Path, identity_model: Model) -> None:
    out = here.with_name("t1_sct.nii.gz")
    out.write_bytes(b"mine")
    assert_one_line(run(here, "--model", identity_model.folder), 6, "exists already", "--overwrite")
    assert out.read_bytes() == b"mine"
    assert run(here, "--model", identity_model.folder, "--overwrite", "--batch", 32).exit_code == 0
    assert out.read_bytes() != b"mine"


@pytest.mark.parametrize("option", ["-o", "--json", "--picture"])
def test_the_mr_is_never_an_output(option: str, here: Path, identity_model: Model) -> None:
    before = here.read_bytes()
    assert_one_line(run(here, option, here, "--overwrite", "--model", identity_model.folder), 6, "named twice")
    assert here.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("-o", "ct.jpg", "no writer"),
        ("-o", "nowhere/ct.nii.gz", "folder does not exist"),
        ("--json", "nowhere/run.json", "folder does not exist"),
        ("--picture", "planes.jpg", ".png"),
        ("--picture", "nowhere/planes.png", "folder does not exist"),
    ],
)
def test_an_impossible_output_is_told_before_any_work(
    option: str, value: str, words: str, here: Path, identity_model: Model
) -> None:
    assert_one_line(run(here, option, here.parent / value, "--model", identity_model.folder), 6, words)
    assert sorted(file.name for file in here.parent.iterdir()) == ["t1.nii.gz"]


def test_a_missing_volume_is_one_line(tmp_path: Path, identity_model: Model) -> None:
    assert_one_line(run(tmp_path / "none.nii.gz", "--model", identity_model.folder), 3, "no such file")


def test_a_text_file_is_one_line(tmp_path: Path, identity_model: Model) -> None:
    (tmp_path / "notes.nii.gz").write_text("hello")
    assert_one_line(run(tmp_path / "notes.nii.gz", "--model", identity_model.folder), 3, "notes.nii.gz")
    (tmp_path / "notes.txt").write_text("hello")
    assert_one_line(run(tmp_path / "notes.txt", "--model", identity_model.folder), 3, "no reader", ".nii.gz")


def test_a_truncated_metaimage_says_one_line_and_itk_nothing(tmp_path: Path, head: Path, identity_model: Model) -> None:
    """In a real process: what ITK's C++ prints does not go through Python."""
    write_volume(read_volume(head), tmp_path / "t1.mhd")
    raw = tmp_path / "t1.raw"
    raw.write_bytes(raw.read_bytes()[:1000])
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "t1.mhd"), "--model", str(identity_model.folder)], capture_output=True, text=True
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("kind", ["constant", "nan", "four", "ct", "speck"])
def test_a_volume_without_a_usable_head_is_one_line(
    kind: str, tmp_path: Path, head: Path, identity_model: Model
) -> None:
    image = sitk.Cast(sitk.ReadImage(str(head)), sitk.sitkFloat32)
    voxels = sitk.GetArrayFromImage(image)
    speck = np.zeros_like(voxels)
    speck[30:34, 30:34, 30:34] = 500
    changed = {
        "constant": np.full_like(voxels, 7),
        "nan": np.where(voxels > 500, np.nan, voxels),
        "four": np.stack([voxels, voxels]),
        "ct": voxels * 2 - 1000,
        "speck": speck,
    }[kind]
    path = tmp_path / "odd.nii"
    if kind == "four":
        sitk.WriteImage(sitk.GetImageFromArray(changed, isVector=False), str(path))
    else:
        changed_image = sitk.GetImageFromArray(changed.astype(np.float32))
        changed_image.CopyInformation(image)
        sitk.WriteImage(changed_image, str(path))
    assert_one_line(run(path, "--model", identity_model.folder), 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["odd.nii"]


def test_an_altered_model_is_one_line(here: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    graph = model.folder / "mr_to_ct.fp32.onnx"
    graph.write_bytes(graph.read_bytes() + b" ")
    assert_one_line(run(here, "--model", model.folder), 4, "mr_to_ct.fp32.onnx")
    assert_one_line(run(here, "--model", tmp_path / "nothing"), 4, "no such model folder")


def test_an_uncertified_graph_runs_only_when_asked_for_and_loudly(here: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", {"fp32": shifted_graph(0.5)}, certificates=())
    assert_one_line(run(here, "--model", model.folder), 4, "no passing certificate", "--uncertified")
    result = run(here, "--model", model.folder, "--uncertified", "--batch", 32)
    assert result.exit_code == 0
    assert "NO certificate" in result.stderr


def test_a_gpu_that_is_not_there_is_an_error_and_no_fallback(here: Path, identity_model: Model) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    assert_one_line(run(here, "--device", "cuda", "--model", identity_model.folder), 5, "mr2ct[gpu]")


def test_wrong_usage_is_exit_code_2(here: Path) -> None:
    assert run().exit_code == 2
    assert run(here, "--batch", 0).exit_code == 2
    assert run(here, "--device", "abacus").exit_code == 2


def test_a_full_disk_leaves_nothing_and_says_so(here: Path, identity_model: Model) -> None:
    """The most bytes a file may have stands in for the disk: writes beyond it fail the same way."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [*COMMAND, str(here), "--model", str(identity_model.folder)],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
    )
    assert done.returncode == 6, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "not written" in done.stderr
    assert sorted(file.name for file in here.parent.iterdir()) == ["t1.nii.gz"]


# mr2ct-run, which says when the engine begins
TELLING = """
from mr2ct import synthesis
from mr2ct.cli import main
through = synthesis.through
def tell(*given):
    print("begins", flush=True)
    return through(*given)
synthesis.through = tell
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_nothing_is_left(number: signal.Signals, here: Path) -> None:
    """The shipped model needs some seconds for the 148 slices of this head."""
    with subprocess.Popen(
        [sys.executable, "-c", TELLING, str(here), "--batch", "1", "--quality", "exact"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert "stopped; no file is half-written" in err
    assert sorted(file.name for file in here.parent.iterdir()) == ["t1.nii.gz"]


def test_the_models_that_come_with_mr2ct_are_listed_and_taken_by_name(head: Path, tmp_path: Path) -> None:
    listed = run("--models")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["head-t1", "untrained-demo"]
    assert "version 3, in fp32, fp16, int8, 36 MB: Demonstrator" in listed.stdout
    missing = run(head, "-o", tmp_path / "ct.nii.gz", "--model", "head-t7")
    assert missing.exit_code == 4
    assert "head-t1, untrained-demo" in missing.stderr


def test_help_is_short_and_names_every_exit_code() -> None:
    text = run("--help").output
    assert "Research only" in text
    for code in ("2 wrong usage", "3 the volume", "4 the model", "5 the device", "6 an"):
        assert code in " ".join(text.split())


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to: Linux's /proc"
)
def test_a_place_that_takes_no_files_is_one_line(here: Path, identity_model: Model) -> None:
    assert_one_line(
        run(here, "-o", "/proc/ct.nii.gz", "--model", identity_model.folder, "--batch", 32), 6, "cannot write"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_one_line(here: Path, identity_model: Model) -> None:
    here.parent.chmod(0o500)
    try:
        assert_one_line(run(here, "--model", identity_model.folder), 6, "Permission denied")
    finally:
        here.parent.chmod(0o700)
