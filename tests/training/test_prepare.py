"""A data set is made whole, kept where it is, and never mistaken for whole when a run was cut short."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phantom
from drawn_volumes import COARSE
from mr2ct.card import FixedWindow
from mr2ct.errors import VolumeError
from mr2ct.gate.measured import HALF_PATCH, QUANTILES, SCALARS, Measured
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training import prepare as module
from mr2ct_training.dataset import MANIFEST, Dataset, DatasetError, Modality, Split
from mr2ct_training.prepare import Prepared, Source, prepare
from mr2ct_training.prepare_volume import Settings, Sliced

ALIGNED = replace(COARSE, pairing="aligned")
WRITES_A_VOLUME = 3  # pixels, head, recipe
MEASURED = Measured(
    dict.fromkeys(SCALARS, 1.5), tuple(n / QUANTILES for n in range(QUANTILES)), "7f" * HALF_PATCH, "ff" * HALF_PATCH
)


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture(autouse=True)
def sliced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Volumes are sliced in no time: their slices follow from the bytes of the file and the settings alone.

    Returns the names of the files that were sliced.
    """
    names: list[str] = []

    def slices(path: Path, settings: Settings, window: object, mr: object) -> Sliced:
        names.append(path.name)
        text = f"{path.read_bytes()!r} {settings.slices} {window} {settings.head_slices_only} {mr}"
        random = np.random.default_rng(list(text.encode()))
        shape = (3, settings.slices.rows, settings.slices.columns)
        pixels, head = random.integers(0, 256, shape, np.uint8), random.random(shape) > 0.5
        registration = {"method": settings.pairing} if mr is not None else None
        limits, note = (0.0, float(random.integers(1, 99))), (f"a note on {path.name}",)
        return Sliced(pixels, head, limits, registration, note, None if path.parent.name == "ct" else MEASURED)

    monkeypatch.setattr(module, "see_mr", lambda path, _: path.read_bytes())
    monkeypatch.setattr(
        module, "slices_of_mr", lambda path, _, settings: slices(path, settings, settings.mr_window, None)
    )
    monkeypatch.setattr(
        module, "slices_of_ct", lambda path, settings, mr: slices(path, settings, settings.ct_window_hu, mr)
    )
    return names


def source(path: Path, modality: Modality, split: Split = "train") -> Source:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(f"voxels of {path.parent.name}/{path.name}".encode())
    return Source(path, path.stem, modality, split)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Anna's pair and Bob's MR, who is held out."""
    return [
        source(tmp_path / "mr" / "anna.nii", "mr"),
        source(tmp_path / "ct" / "anna.nii", "ct"),
        source(tmp_path / "mr" / "bob.nii", "mr", "validation"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def made(prepared: list[Prepared]) -> set[str]:
    return {f"{one.entry.modality}-{one.entry.patient}" for one in prepared if not one.kept}


def test_what_was_sliced_is_in_the_data_set(sources: list[Source], folder: Path) -> None:
    prepared = prepare(sources, COARSE, folder)
    data = Dataset(folder)
    assert [(e.modality, e.patient, e.split) for e in data.manifest.entries] == [
        ("mr", "anna", "train"),
        ("mr", "bob", "validation"),
        ("ct", "anna", "train"),
    ]
    assert [one.entry for one in prepared] == list(data.manifest.entries)
    bob = module.slices_of_mr(sources[2].path, None, COARSE)  # type: ignore[arg-type]
    slices = data.slices("mr", "validation")
    assert np.array_equal(slices.pixels[0], bob.pixels) and slices.entries[0].limits == bob.limits
    assert all(np.array_equal(slices.head(n), bob.head[n]) for n in range(3))
    assert prepared[1].notes == (f"{sources[2].path}: a note on bob.nii",)
    assert not [name for name in contents(folder) if name.endswith(".partial")]


def test_a_second_run_slices_and_writes_nothing(sources: list[Source], folder: Path, sliced: list[str]) -> None:
    first = prepare(sources, COARSE, folder)
    assert made(first) == {"mr-anna", "mr-bob", "ct-anna"}
    files = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    sliced.clear()
    second = prepare(sources, COARSE, folder)
    assert sliced == [] and made(second) == set()
    assert [one.entry for one in second] == [one.entry for one in first]
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == files


def test_what_is_measured_of_an_mr_is_kept_and_an_mr_without_it_is_made_again(
    sources: list[Source], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setitem(globals(), "MEASURED", None)
        prepare(sources, COARSE, folder)
    assert "measured" not in (folder / MANIFEST).read_text()
    assert made(prepare(sources, COARSE, folder)) == {"mr-anna", "mr-bob"}
    entries = Dataset(folder).manifest.entries
    assert [entry.measured for entry in entries] == [MEASURED, MEASURED, None]
    assert made(prepare(sources, COARSE, folder)) == set()


def test_changed_settings_remake_what_they_touch(sources: list[Source], folder: Path) -> None:
    prepare(sources, COARSE, folder)
    window = replace(COARSE, mr_window=FixedWindow(0.0, 3000.0))
    assert made(prepare(sources, window, folder)) == {"mr-anna", "mr-bob"}
    hu = replace(window, ct_window_hu=(-1000.0, 1000.0))
    assert made(prepare(sources, hu, folder)) == {"ct-anna"}
    assert made(prepare(sources, replace(hu, pairing="aligned"), folder)) == {"ct-anna"}
    assert made(prepare(sources, replace(hu, pairing="register"), folder)) == {"ct-anna"}
    everything = {"mr-anna", "mr-bob", "ct-anna"}
    assert made(prepare(sources, replace(hu, head_slices_only=True), folder)) == everything
    assert made(prepare(sources, replace(hu, slices=replace(hu.slices, spacing_mm=5.0)), folder)) == everything


def test_another_split_is_only_written_into_the_manifest(sources: list[Source], folder: Path) -> None:
    prepare(sources, COARSE, folder)
    assert made(prepare([replace(one, split="train") for one in sources], COARSE, folder)) == set()
    assert len(Dataset(folder).manifest.of("mr", "train")) == 2


def test_a_changed_mr_remakes_itself_and_the_ct_that_lies_on_it(sources: list[Source], folder: Path) -> None:
    prepare(sources, ALIGNED, folder)
    sources[0].path.write_bytes(b"another scan")
    assert made(prepare(sources, ALIGNED, folder)) == {"mr-anna", "ct-anna"}
    sources[1].path.write_bytes(b"another scan")
    assert made(prepare(sources, ALIGNED, folder)) == {"ct-anna"}


def test_a_patient_who_leaves_is_no_longer_in_the_manifest(sources: list[Source], folder: Path) -> None:
    prepare(sources, COARSE, folder)
    prepare(sources[:2], COARSE, folder)
    assert {e.patient for e in Dataset(folder).manifest.entries} == {"anna"}


@pytest.mark.parametrize("file", ["mr-anna.npy", "ct-anna.head.npy", "mr-bob.json", MANIFEST])
def test_what_is_damaged_is_made_again(sources: list[Source], folder: Path, file: str) -> None:
    prepare(sources, COARSE, folder)
    whole = contents(folder)
    for at in range(0, len(whole[file]), max(1, len(whole[file]) // 25)):
        (folder / file).write_bytes(whole[file][:at] + bytes([whole[file][at] ^ 1]) + whole[file][at + 1 :])
        assert len(made(prepare(sources, COARSE, folder))) == (file != MANIFEST)
        assert contents(folder) == whole
    for damaged in (b"", whole[file][:100]):
        (folder / file).write_bytes(damaged)
        prepare(sources, COARSE, folder)
        assert contents(folder) == whole
    (folder / file).unlink()
    prepare(sources, COARSE, folder)
    assert contents(folder) == whole


@pytest.mark.parametrize("before", ["nothing", "another data set"])
def test_a_run_killed_at_any_write_is_never_taken_for_a_whole_one(
    sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    other = replace(COARSE, mr_window=FixedWindow(0.0, 3000.0), ct_window_hu=(-1000.0, 1000.0))
    prepare(sources, COARSE, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    real = Path.replace
    writes = len(sources) * WRITES_A_VOLUME + 1
    for survived in range(writes):
        folder = tmp_path / str(survived)
        if before != "nothing":
            prepare(sources, other, folder)
        done: list[Path] = []

        def dying(self: Path, target: Path, survived: int = survived, done: list[Path] = done) -> Path:
            if len(done) == survived:
                raise Killed
            done.append(target)
            return real(self, target)

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(Path, "replace", dying)
            prepare(sources, COARSE, folder)
        with pytest.raises(DatasetError, match="never ended"):
            Dataset(folder)
        again = prepare(sources, COARSE, folder)
        assert len(made(again)) == len(sources) - survived // WRITES_A_VOLUME
        assert contents(folder) == whole
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", None)
        prepare(sources, COARSE, folder)  # there was no other write


def test_a_volume_that_cannot_be_used_leaves_the_data_set_as_it_was(
    sources: list[Source], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any) -> Sliced:
        raise VolumeError(f"{path}: no head")

    prepare(sources, COARSE, folder)
    whole = contents(folder)
    monkeypatch.setattr(module, "slices_of_mr", refuse)
    with pytest.raises(VolumeError):
        prepare(sources, replace(COARSE, mr_window=FixedWindow(0.0, 3000.0)), folder)
    assert contents(folder) == whole


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        ("../anna", "no part of a file name"),
        (".anna", "no part of a file name"),
        ("", "no part of a file name"),
        ("a\0b", "no part of a file name"),
        ("anna.head", "what masks are called"),
        ("bob", "'bob' has two MRs, .*anna.nii and .*bob.nii; --patients tells"),
    ],
)
def test_a_patient_without_files_of_his_own_is_refused(
    sources: list[Source], folder: Path, patient: str, message: str
) -> None:
    sources[:2] = [replace(one, patient=patient) for one in sources[:2]]
    with pytest.raises(DatasetError, match=message):
        prepare(sources, COARSE, folder)
    assert not folder.exists()


def test_splits_that_cannot_be_are_refused(sources: list[Source], folder: Path) -> None:
    mr, ct, bob = sources
    for wrong, message in (
        ([replace(mr, split="validation"), ct, bob], "'anna' is in both splits"),
        ([replace(mr, split="validation"), replace(ct, split="validation"), bob], "no MR in the train split"),
        ([mr, bob], "no CT in the train split"),
    ):
        with pytest.raises(DatasetError, match=message):
            prepare(wrong, COARSE, folder)
    with pytest.raises(DatasetError, match="no patient has both an MR and a CT"):
        prepare([mr, replace(ct, patient="carl")], ALIGNED, folder)


def test_a_volume_whose_voxels_lie_in_a_second_file_is_known_by_them(
    sources: list[Source], tmp_path: Path, folder: Path
) -> None:
    grid = phantom.grid_around((0, 0, 0), (4, 4, 4), (1, 1, 1))
    for value, expected in ((0, {"ct-anna"}), (0, set()), (1, {"ct-anna"})):
        voxels = np.full((4, 4, 4), value, np.int16)
        write_volume(Volume(voxels, grid), tmp_path / "anna.mhd", overwrite=True)
        sources[1] = replace(sources[1], path=tmp_path / "anna.mhd")
        assert made(prepare(sources, COARSE, folder)) - {"mr-anna", "mr-bob"} == expected


def test_the_recipe_says_all_that_the_slices_follow_from(sources: list[Source], folder: Path) -> None:
    prepare(sources, ALIGNED, folder)
    told = json.loads((folder / "ct-anna.json").read_text(encoding="utf-8"))["recipe"]
    assert told["pairing"] == "aligned" and told["window"] == [-600.0, 1400.0] and told["slices"]["rows"] == 64
    mr = json.loads((folder / "mr-anna.json").read_text(encoding="utf-8"))["recipe"]
    assert told["mr_sha256"] == mr["source_sha256"] and mr["window"]["kind"] == "FixedWindow"
