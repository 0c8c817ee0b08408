"""A volume is written whole, on its own grid, or not at all: whatever ends the writing, the folder is as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import OutputError
from mr2ct.grid import Grid
from mr2ct.reading import SUFFIXES, read_volume
from mr2ct.volume import Volume
from mr2ct.writing import check_place, whole_or_not_at_all, write_volume
from runtime.volumes import GRIDS, NIFTI, REAL_TYPES, TILTED, apart, put, quick, ras_affine, some_voxels

CT = Volume(some_voxels(TILTED), TILTED)
TOLD_MM = {suffix: 1e-4 if suffix in NIFTI else 1e-9 for suffix in SUFFIXES}  # NIfTI's numbers are float32


def refused(target: Path, **options: Any) -> str:
    """What write_volume says of a place it must not write to: one line that names the file."""
    with pytest.raises(OutputError) as caught:
        write_volume(CT, target, **options)
    message = str(caught.value)
    assert message.splitlines() == [message], f"more than one line: {message!r}"
    assert target.name in message
    return message


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


# what is written


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_every_format_and_real_type_comes_back_as_it_was(tmp_path: Path, suffix: str, dtype: str) -> None:
    write_volume(Volume(some_voxels(TILTED, dtype), TILTED), tmp_path / f"ct{suffix}")
    back = read_volume(tmp_path / f"ct{suffix}")
    assert back.voxels.dtype == np.dtype(dtype)
    assert np.array_equal(back.voxels, some_voxels(TILTED, dtype))
    assert apart(ras_affine(back.grid), ras_affine(TILTED), TILTED.size) < TOLD_MM[suffix]
    assert Grid.of(sitk.ReadImage(str(tmp_path / f"ct{suffix}"))) == back.grid


@quick
@given(GRIDS)
def test_any_grid_comes_back_in_any_format(tmp_path: Path, grid: Grid) -> None:
    for number, suffix in enumerate(SUFFIXES):
        path = tmp_path / f"{number}{suffix}"
        write_volume(Volume(some_voxels(grid), grid), path, overwrite=True)
        back = read_volume(path)
        assert np.array_equal(back.voxels, some_voxels(grid))
        assert apart(ras_affine(back.grid), ras_affine(grid), grid.size) < TOLD_MM[suffix]
        if suffix in (".mha", ".mhd"):
            assert back.grid == grid


@quick
@given(GRIDS, st.sampled_from(SUFFIXES), st.sampled_from(SUFFIXES))
def test_a_volume_read_in_one_format_keeps_its_place_in_another(
    tmp_path: Path, grid: Grid, suffix: str, other: str
) -> None:
    mr = read_volume(put(tmp_path / f"mr{SUFFIXES.index(suffix)}{suffix}", some_voxels(grid), grid))
    target = tmp_path / f"ct{SUFFIXES.index(other)}{other}"
    write_volume(mr, target, overwrite=True)
    assert apart(ras_affine(read_volume(target).grid), ras_affine(mr.grid), grid.size) < TOLD_MM[other]
    if suffix not in NIFTI and other in NIFTI:
        load: Any = nib.load
        assert apart(load(target).affine, ras_affine(mr.grid), grid.size) < 1e-4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_volume_gives_the_same_bytes_at_any_time_under_any_name(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, now in (("a", 1e9), ("b", 2e9)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("gzip.time.time", lambda now=now: now)
        write_volume(CT, tmp_path / name / f"ct{suffix}")
    monkeypatch.undo()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    if suffix not in (".mhd", ".nhdr"):  # those name their voxels' file
        write_volume(CT, tmp_path / f"another{suffix}")
        assert (tmp_path / f"another{suffix}").read_bytes() == (tmp_path / "a" / f"ct{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [s.upper() for s in SUFFIXES])
def test_a_suffix_in_capitals_is_written(tmp_path: Path, suffix: str) -> None:
    write_volume(CT, tmp_path / f"CT{suffix}")
    assert np.array_equal(read_volume(tmp_path / f"CT{suffix}").voxels, CT.voxels)
    assert set(contents(tmp_path)) <= {f"CT{suffix}", "CT.raw"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_with_spaces_and_umlauts_and_of_any_length_is_written(tmp_path: Path, suffix: str) -> None:
    for name in ("CT größer.v2", "x" * 240):
        write_volume(CT, str(tmp_path / f"{name}{suffix}"))
        assert np.array_equal(read_volume(tmp_path / f"{name}{suffix}").voxels, CT.voxels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_that_are_no_number_are_written_as_they_are(tmp_path: Path, suffix: str) -> None:
    voxels = some_voxels(TILTED, "f4")
    voxels[1, 2, 3] = np.nan
    write_volume(Volume(voxels, TILTED), tmp_path / f"ct{suffix}")
    assert tmp_path / f"ct{suffix}" in tmp_path.iterdir()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_but_the_volume_is_left_in_the_folder(tmp_path: Path, suffix: str) -> None:
    write_volume(CT, tmp_path / f"ct{suffix}")
    extra = {"ct.raw"} if suffix in (".mhd", ".nhdr") else set()
    assert set(contents(tmp_path)) == {f"ct{suffix}"} | extra


# where nothing may be written


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_exists_is_kept_unless_overwriting_is_asked_for(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"ct{suffix}"
    write_volume(replace(CT, voxels=CT.voxels // 2), target)
    before = contents(tmp_path)
    assert "exists already" in refused(target)
    assert contents(tmp_path) == before
    write_volume(CT, target, overwrite=True)
    assert np.array_equal(read_volume(target).voxels, CT.voxels)
    assert set(contents(tmp_path)) == set(before)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_the_voxels_of_another_volume_are_kept_too(tmp_path: Path, suffix: str) -> None:
    write_volume(CT, tmp_path / ("ct.nhdr" if suffix == ".mhd" else "ct.mhd"))
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"ct\.raw: exists already"):
        check_place(tmp_path / f"ct{suffix}", overwrite=False)
    with pytest.raises(OutputError, match=r"ct\.raw: exists already"):
        write_volume(replace(CT, voxels=CT.voxels // 2), tmp_path / f"ct{suffix}")
    assert contents(tmp_path) == before


def test_a_file_that_appears_while_another_is_being_written_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "ct.txt"
    with pytest.raises(OutputError, match="exists already"), whole_or_not_at_all(target, overwrite=False) as partial:
        partial.write_text("late")
        target.write_text("early")
    assert contents(tmp_path) == {"ct.txt": b"early"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_place_that_is_a_folder_or_in_none_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"ct{suffix}").mkdir()
    assert "is a folder" in refused(tmp_path / f"ct{suffix}", overwrite=True)
    assert "its folder does not exist" in refused(tmp_path / "nowhere" / f"ct{suffix}")
    (tmp_path / "file").write_text("")
    assert "its folder does not exist" in refused(tmp_path / "file" / f"ct{suffix}")
    assert set(contents(tmp_path)) == {f"ct{suffix}", "file"}


@pytest.mark.parametrize("name", ["ct", "ct.dcm", "ct.gz", "ct.nii.bz2", "ct.Nii", ".png"])
def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path: Path, name: str) -> None:
    assert ".nii.gz" in refused(tmp_path / name)
    assert contents(tmp_path) == {}


def test_a_name_longer_than_the_file_system_allows_is_told(tmp_path: Path) -> None:
    assert "too long" in refused(tmp_path / f"{'x' * 300}.nii.gz")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_place_can_be_checked_before_there_is_anything_to_write(tmp_path: Path, overwrite: bool) -> None:
    check_place(tmp_path / "ct.nii.gz", overwrite=overwrite)
    (tmp_path / "ct.nii.gz").write_bytes(b"old")
    if overwrite:
        check_place(tmp_path / "ct.nii.gz", overwrite=True)
    else:
        with pytest.raises(OutputError, match="exists already"):
            check_place(tmp_path / "ct.nii.gz", overwrite=False)
    for place in (tmp_path / "ct.png", tmp_path / "no" / "ct.nii", tmp_path):
        with pytest.raises(OutputError):
            check_place(place, overwrite=overwrite)
    assert contents(tmp_path) == {"ct.nii.gz": b"old"}


def test_a_file_in_the_place_of_a_link_replaces_the_link_only(tmp_path: Path) -> None:
    (tmp_path / "original.nii").write_bytes(b"old")
    (tmp_path / "ct.nii").symlink_to("original.nii")
    refused(tmp_path / "ct.nii")
    write_volume(CT, tmp_path / "ct.nii", overwrite=True)
    assert (tmp_path / "original.nii").read_bytes() == b"old"
    assert np.array_equal(read_volume(tmp_path / "ct.nii").voxels, CT.voxels)


# what ends the writing half-way

START = """
import json, os, resource, signal, sys
import numpy as np
from pathlib import Path
from mr2ct.errors import OutputError
from mr2ct.grid import Grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import check_place, whole_or_not_at_all, write_volume

grid = Grid((30, 20, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
voxels = np.random.default_rng(0).integers(-1000, 3000, grid.shape).astype(np.int16)
ct = Volume(voxels, grid)
"""


def started(code: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A Python process of its own, in folder, that runs START and code."""
    return subprocess.Popen(
        [sys.executable, "-c", START + code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FULL_DISK = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing on fails with EFBIG, as it fails with ENOSPC
no_limit = resource.RLIM_INFINITY
answers = []
for suffix in sys.argv[1:]:
    place = Path(suffix)
    place.mkdir()
    target = place / f"ct{suffix}"
    write_volume(ct, target)
    largest = max(file.stat().st_size for file in place.iterdir())
    for file in place.iterdir():
        file.unlink()
    plain = voxels.nbytes
    tight = [*range(plain + 347, plain + 352), largest - 1, largest - 2, largest - 9]
    for limit in (0, 100, 349, plain // 2, plain - 1, *tight):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, no_limit))
        try:
            write_volume(ct, target)
            told = None
        except Exception as error:
            told = (type(error).__name__, str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (no_limit, no_limit))
        left = sorted(file.name for file in place.iterdir())
        whole = told is not None or bool(np.array_equal(read_volume(target).voxels, voxels))
        if told is None:
            for file in place.iterdir():
                file.unlink()
        answers.append((suffix, limit, limit < largest, told, left, whole))
print(json.dumps(answers))
"""


def test_a_full_disk_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with started(FULL_DISK, tmp_path, *SUFFIXES) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    tries = json.loads(out)
    assert {suffix for suffix, *_ in tries} == set(SUFFIXES)
    for suffix, limit, too_small, told, left, whole in tries:
        about = f"{suffix} with room for {limit} bytes: {told}, {left}"
        assert whole, about
        assert told or not too_small, about
        if told:
            kind, message = told
            assert kind == "OutputError", about
            assert message.splitlines() == [message], about
            assert f"ct{suffix}" in message, about
            assert left == [], about
    for suffix in SUFFIXES:
        assert any(told for s, _, _, told, _, _ in tries if s == suffix)


NO_RIGHTS = """
os.chmod(".", 0o555)
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # nobody
for suffix in sys.argv[1:]:
    target = Path(f"ct{suffix}")
    for step in (
        lambda: check_place(target, overwrite=False),
        lambda: write_volume(ct, target),
        lambda: whole_or_not_at_all(target, overwrite=False).__enter__(),
    ):
        try:
            step()
        except OutputError as error:
            print(json.dumps(str(error)))
"""


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    with started(NO_RIGHTS, tmp_path, *SUFFIXES) as process:
        out, err = process.communicate(timeout=60)
    if "Operation not permitted" in err:
        pytest.skip("root may write anywhere, and may not become nobody here")
    assert process.returncode == 0, err
    messages = [json.loads(line) for line in out.splitlines()]
    for suffix, message in zip(np.repeat(SUFFIXES, 3), messages, strict=True):
        assert f"ct{suffix}: cannot write there: Permission denied" == message
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ValueError])
@pytest.mark.parametrize("overwrite", [False, True])
def test_whatever_ends_the_writing_leaves_the_folder_as_it_was(
    tmp_path: Path, error: type[BaseException], overwrite: bool
) -> None:
    target = tmp_path / "ct.mhd"
    if overwrite:
        target.write_text("old header")
        (tmp_path / "ct.raw").write_text("old voxels")
    before = contents(tmp_path)
    with pytest.raises(error), whole_or_not_at_all(target, overwrite=overwrite) as partial:
        partial.write_text("new header")
        partial.with_suffix(".raw").write_text("new voxels")
        assert partial.name == target.name
        assert partial.parent.parent == target.parent
        raise error
    assert contents(tmp_path) == before


def test_an_error_of_the_disk_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, whole_or_not_at_all(tmp_path / "ct.txt", overwrite=False):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == f"{tmp_path / 'ct.txt'}: not written: No space left on device"
    assert contents(tmp_path) == {}


def test_of_several_files_the_named_one_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    move = os.replace

    def noting(source: Path, target: Path) -> None:
        moved.append(target.name)
        move(source, target)

    monkeypatch.setattr("mr2ct.writing.os.replace", noting)
    with whole_or_not_at_all(tmp_path / "ct.mhd", overwrite=False) as partial:
        for suffix in (".raw", ".mhd", ".zzz"):
            partial.with_suffix(suffix).write_text(suffix)
    assert sorted(moved) == ["ct.mhd", "ct.raw", "ct.zzz"]
    assert moved[-1] == "ct.mhd"


@pytest.mark.parametrize(
    "suffix, how",
    [(s, "empty") for s in SUFFIXES]
    + [
        (s, how) for s in SUFFIXES if s not in NIFTI for how in ("cut short", "other voxels")
    ],  # of NIfTI ITK writes the header
)
def test_a_writer_of_itk_that_loses_voxels_without_a_word_is_caught(
    tmp_path: Path, suffix: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = sitk.WriteImage

    def losing(image: sitk.Image, path: str, **options: Any) -> None:
        write(image + 1 if how == "other voxels" else image, path, **options)
        if how != "other voxels":
            part = Path(path).with_suffix(".raw") if suffix in (".mhd", ".nhdr") else Path(path)
            part.write_bytes(part.read_bytes()[:-2] if how == "cut short" else b"")

    monkeypatch.setattr("mr2ct.writing.sitk.WriteImage", losing)
    refused(tmp_path / f"ct{suffix}")
    assert contents(tmp_path) == {}


INTERRUPTED = """
voxels = np.random.default_rng(0).integers(-1000, 3000, (60, 200, 200)).astype(np.int16)
ct = Volume(voxels, Grid((200, 200, 60), grid.spacing, grid.origin, grid.direction))
print("ready", flush=True)
try:
    while True:
        write_volume(ct, Path(sys.argv[1]), overwrite=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.mha"])
def test_ctrl_c_in_the_middle_of_writing_leaves_a_whole_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    write_volume(CT, tmp_path / name)
    with started(INTERRUPTED, tmp_path, name) as process:
        deadline = time.monotonic() + 30
        while not any(tmp_path.glob(".*.partial/*")) and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out.split() == ["ready", "interrupted"], err
    assert list(contents(tmp_path)) == [name]
    assert read_volume(tmp_path / name).grid.size in (TILTED.size, (200, 200, 60))
