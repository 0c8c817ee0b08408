"""mr2ct-prepare: volumes in, a data set out; whole, resumable, and made as the runtime makes its slices."""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

import phantom
from mr2ct.backend import Choice
from mr2ct.card import FixedWindow, PercentileWindow, SliceGrid
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.intensity import to_hu
from mr2ct.model import Model
from mr2ct.reading import read_volume
from mr2ct.synthesis import synthesize
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training import prepare as module
from mr2ct_training import prepare_volume, registration
from mr2ct_training.dataset import MANIFEST, Dataset, DatasetError, Modality, Split, from_bytes, to_bytes
from mr2ct_training.prepare import Prepared, Source, prepare
from mr2ct_training.prepare_cli import main
from mr2ct_training.prepare_volume import Settings
from mr2ct_training.registration import RegistrationError
from mr2ct_training.sampling import aligned_pairs

MR_GRID = phantom.grid_around((0, 0, 0), (84, 84, 62), (3.0, 3.0, 3.0), phantom.SAGITTAL)
CT_GRID = phantom.grid_around((0, 14, -4), (74, 92, 76), (3.0, 3.0, 3.2))
TURN, SHIFT = phantom.oblique(4, -3, 6), np.array([12.0, -8.0, 25.0])  # of the CT that is to be registered
SMALL = Settings(slices=SliceGrid("sagittal", rows=64, columns=64, pixel_mm=3.915, spacing_mm=4.0))
BONE_BYTE = 180  # 812 HU


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mr/anna, mr/bob, mr/carl; ct/anna, on a couch and in place, ct/dora; moved/anna, the same CT elsewhere."""
    folder = tmp_path_factory.mktemp("volumes")
    for kind in ("mr", "ct", "moved"):
        (folder / kind).mkdir()
    for person, name in enumerate(["anna", "bob", "carl"]):
        mr = phantom.draw(MR_GRID, phantom.Head(person=person), seed=person)[0]
        write_volume(Volume(np.rint(mr.voxels).astype(np.int16), MR_GRID), folder / "mr" / f"{name}.nii.gz")
    for person, name in ((0, "anna"), (3, "dora")):
        ct = phantom.draw(CT_GRID, phantom.Head(person=person), seed=person + 10)[1]
        ct.voxels[:, -4:, :] = 300  # a couch
        write_volume(ct, folder / "ct" / f"{name}.nii.gz")
    ct = read_volume(folder / "ct" / "anna.nii.gz")
    axes, origin = (TURN @ ct.grid.axes).ravel().tolist(), (TURN @ ct.grid.origin + SHIFT).tolist()
    grid = Grid(ct.grid.size, ct.grid.spacing, tuple(origin), tuple(axes))
    write_volume(Volume(ct.voxels, grid), folder / "moved" / "anna.mha")
    return folder


def source(path: Path, modality: Modality, split: Split = "train") -> Source:
    return Source(path, path.name.split(".")[0], modality, split)


@pytest.fixture
def sources(volumes: Path) -> list[Source]:
    """Anna's pair and Bob's MR, who is held out."""
    bob = source(volumes / "mr" / "bob.nii.gz", "mr", "validation")
    return [
        source(volumes / "mr" / "anna.nii.gz", "mr"),
        bob,
        source(volumes / "ct" / "anna.nii.gz", "ct"),
    ]


@pytest.fixture
def quick_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"CUBE_MM": 4.0, "COMPARED_MM": 8.0, "SHRINK": (2, 1), "SIGMAS_MM": (4.0, 0.0), "SAMPLES": (1.0, 0.3)}
    for name, value in quick.items():
        monkeypatch.setattr(registration, name, value)


@pytest.fixture(scope="module")
def sliced() -> dict[tuple[Any, ...], Any]:
    """What was sliced before, by function, file and settings."""
    return {}


@pytest.fixture(autouse=True)
def _once(sliced: dict[tuple[Any, ...], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume is sliced once for all tests: many prepare the same data set."""

    def remembering(real: Any) -> Any:
        def once(path: Path, *others: Any) -> Any:
            settings = next(other for other in others if isinstance(other, Settings))
            if real is not prepare_volume.slices_of_ct:
                settings = replace(settings, pairing="none")
            key = (real, path, settings, None in others)
            if key not in sliced:
                sliced[key] = real(path, *others)
            return sliced[key]

        return once

    for name in ("see_mr", "slices_of_mr", "slices_of_ct"):
        monkeypatch.setattr(module, name, remembering(getattr(prepare_volume, name)))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line that a refusal is told in."""
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    lines = [line for line in result.output.splitlines() if line.startswith("mr2ct-prepare: ")]
    assert len(lines) == 1 and "Traceback" not in result.output
    return lines[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def kept(prepared: list[Prepared]) -> dict[str, bool]:
    return {f"{one.entry.modality}-{one.entry.patient}": one.kept for one in prepared}


def hu_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return to_hu(from_bytes(pixels), SMALL.ct_window_hu)


@dataclass
class Recorder:
    """An engine that only keeps what the runtime gives it."""

    description: str = "a recorder"
    batch: int = 64
    seen: list[NDArray[np.float32]] = field(default_factory=list)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(batch[:, 0].copy())
        return batch.copy()


def test_slices_of_an_mr_are_those_the_runtime_gives_its_network(
    volumes: Path, tmp_path: Path, identity_model: Model
) -> None:
    card = identity_model.card
    recorder = Recorder()
    synthesize(
        read_volume(volumes / "mr" / "bob.nii.gz"), identity_model, Choice(recorder, "none", "fp32", "to look at it")
    )
    settings = Settings(mr_window=card.mr_window, slices=card.slices, ct_window_hu=card.ct_window_hu)
    both = [source(volumes / "mr" / "bob.nii.gz", "mr"), source(volumes / "ct" / "dora.nii.gz", "ct")]
    prepare(both, settings, tmp_path)
    mr = Dataset(tmp_path).slices("mr", "train")
    assert np.array_equal(mr.pixels[0], to_bytes(np.concatenate(recorder.seen)))
    assert mr.entries[0].limits == (0.0, 2000.0)


def test_a_ct_is_hu_inside_the_head_and_air_where_the_couch_was(sources: list[Source], tmp_path: Path) -> None:
    prepare(sources, SMALL, tmp_path)
    ct = Dataset(tmp_path).slices("ct", "train")
    pixels, head = np.array(ct.pixels[0]), np.stack([ct.head(n) for n in range(len(ct))])
    assert (pixels[~head] == 0).mean() > 0.98  # a slice's pixel at the edge of the head mixes both
    hu = hu_of(pixels)
    assert 5 < np.median(hu[head]) < 60  # brain
    assert 0.03 < (hu[head] > 812).mean() < 0.2  # bone
    assert ct.entries[0].limits == (-600.0, 1400.0) and ct.entries[0].registration is None


def test_aligned_slices_of_mr_and_ct_show_the_same_place(sources: list[Source], tmp_path: Path) -> None:
    prepare(sources, replace(SMALL, pairing="aligned"), tmp_path)
    data = Dataset(tmp_path)
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    pairs = aligned_pairs(mr, ct)
    assert pairs == [(n, n) for n in range(len(mr))] and len(mr) == len(ct) > 30
    heads = [np.stack([slices.head(n) for n in range(len(mr))]) for slices in (mr, ct)]
    assert 2 * (heads[0] & heads[1]).sum() > 0.95 * (heads[0].sum() + heads[1].sum())
    bone = heads[0] & (np.array(ct.pixels[0]) > BONE_BYTE)
    soft = heads[0] & (hu_of(np.array(ct.pixels[0])) > 0) & (hu_of(np.array(ct.pixels[0])) < 100)
    assert np.median(mr.pixels[0][bone]) < 0.5 * np.median(mr.pixels[0][soft])  # dark in the MR


@pytest.mark.usefixtures("quick_registration")
def test_a_registered_ct_is_sliced_as_if_it_had_never_moved(
    sources: list[Source], volumes: Path, tmp_path: Path
) -> None:
    prepare(sources, replace(SMALL, pairing="aligned"), tmp_path / "in place")
    elsewhere = [*sources[:2], source(volumes / "moved" / "anna.mha", "ct")]
    prepare(elsewhere, replace(SMALL, pairing="register"), tmp_path / "registered")
    before, after = (Dataset(tmp_path / name).slices("ct", "train") for name in ("in place", "registered"))
    assert len(before) == len(after)
    assert np.abs(hu_of(before.pixels[0]) - hu_of(after.pixels[0])).mean() < 15
    registered = after.entries[0].registration
    assert registered is not None and registered["metric"] < registered["start"]
    turn, shift = np.array(registered["transform"][:9]).reshape(3, 3), np.array(registered["transform"][9:])
    assert np.abs(turn @ TURN - np.eye(3)).max() < 0.02 and np.abs(turn @ SHIFT + shift).max() < 2


def test_a_ct_that_is_said_to_be_aligned_and_is_not_is_refused(volumes: Path, tmp_path: Path) -> None:
    wrong = [source(volumes / "mr" / "anna.nii.gz", "mr"), source(volumes / "moved" / "anna.mha", "ct")]
    wrong[1] = replace(wrong[1], path=volumes / "moved" / "anna.mha")
    with pytest.raises(RegistrationError, match=r"anna\.mha: not aligned with its MR.*--register aligns them"):
        prepare(wrong, replace(SMALL, pairing="aligned"), tmp_path)


def test_only_head_slices_are_kept_on_request_and_the_same_of_a_pair(sources: list[Source], tmp_path: Path) -> None:
    prepare(sources, replace(SMALL, pairing="aligned", head_slices_only=True), tmp_path)
    data = Dataset(tmp_path)
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    assert all(mr.head(n).any() for n in range(len(mr)))
    assert len(ct) == len(mr) < MR_GRID.extent[0] / SMALL.slices.spacing_mm
    assert aligned_pairs(mr, ct)


def test_a_percentile_window_is_taken_inside_each_head(sources: list[Source], tmp_path: Path) -> None:
    prepared = prepare(sources, replace(SMALL, mr_window=PercentileWindow(1.0, 99.0)), tmp_path)
    limits = [one.entry.limits for one in prepared if one.entry.modality == "mr"]
    assert len(set(limits)) == 2
    pixels = Dataset(tmp_path).slices("mr", "train").pixels[0]
    assert {int(pixels.min()), int(pixels.max())} == {0, 255}


def test_a_window_that_does_not_fit_is_told(sources: list[Source], tmp_path: Path) -> None:
    wide = replace(SMALL, mr_window=FixedWindow(0.0, 40000.0))
    notes = [note for one in prepare(sources, wide, tmp_path) for note in one.notes]
    assert len(notes) == 2 and all("--mr-percentile 0 99.5 fits" in note for note in notes)
    assert not [note for one in prepare(sources, SMALL, tmp_path / "fitting") for note in one.notes]


def test_a_second_run_slices_and_writes_nothing(
    sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(sources, SMALL, tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    for reader in ("see_mr", "slices_of_ct"):
        monkeypatch.setattr(module, reader, None)
    second = prepare(sources, SMALL, tmp_path)
    assert not any(kept(first).values()) and all(kept(second).values())
    assert [one.entry for one in first] == [one.entry for one in second]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files


def test_changed_settings_remake_what_they_touch(sources: list[Source], tmp_path: Path) -> None:
    prepare(sources, SMALL, tmp_path)
    window = replace(SMALL, mr_window=FixedWindow(0.0, 3000.0))
    assert kept(prepare(sources, window, tmp_path)) == {"mr-anna": False, "mr-bob": False, "ct-anna": True}
    paired = replace(window, pairing="aligned")
    assert kept(prepare(sources, paired, tmp_path)) == {"mr-anna": True, "mr-bob": True, "ct-anna": False}
    other_split = [replace(one, split="train") for one in sources]
    assert all(kept(prepare(other_split, paired, tmp_path)).values())
    assert len(Dataset(tmp_path).manifest.of("mr", "train")) == 2
    grid = replace(paired, slices=replace(SMALL.slices, spacing_mm=5.0))
    assert not any(kept(prepare(other_split, grid, tmp_path)).values())


def test_a_changed_mr_remakes_itself_and_the_ct_that_lies_on_it(sources: list[Source], tmp_path: Path) -> None:
    paired = replace(SMALL, pairing="aligned")
    prepare(sources, paired, tmp_path / "data")
    mr = read_volume(sources[0].path)
    write_volume(Volume(mr.voxels + np.int16(1), mr.grid), tmp_path / "anna.nii.gz")
    changed = [replace(sources[0], path=tmp_path / "anna.nii.gz"), *sources[1:]]
    assert kept(prepare(changed, paired, tmp_path / "data")) == {"mr-anna": False, "mr-bob": True, "ct-anna": False}


@pytest.mark.parametrize("file", ["mr-anna.npy", "ct-anna.head.npy", "mr-bob.json", MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_what_is_damaged_is_made_again(sources: list[Source], tmp_path: Path, file: str, damage: str) -> None:
    prepare(sources, SMALL, tmp_path)
    whole = contents(tmp_path)
    damaged = bytearray(whole[file])
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / file).write_bytes(damaged if damage == "flipped" else whole[file][:100])
    if damage == "gone":
        (tmp_path / file).unlink()
    again = prepare(sources, SMALL, tmp_path)
    assert contents(tmp_path) == whole
    assert sum(not one.kept for one in again) == (file != MANIFEST)


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("before", ["nothing", "another window"])
def test_a_run_killed_at_any_write_is_never_taken_for_a_whole_one(
    sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    other = replace(SMALL, mr_window=FixedWindow(0.0, 3000.0), ct_window_hu=(-1000.0, 1000.0))
    prepare(sources, SMALL, tmp_path / "whole")
    writes = []
    real = Path.replace
    for number in range(100):
        folder = tmp_path / str(number)
        if before != "nothing":
            prepare(sources, other, folder)
        writes.clear()

        def dying(self: Path, target: Path, number: int = number) -> Path:
            writes.append(target)
            if len(writes) > number:
                raise Killed
            return real(self, target)

        monkeypatch.setattr(Path, "replace", dying)
        try:
            prepare(sources, SMALL, folder)
            break
        except Killed:
            monkeypatch.setattr(Path, "replace", real)
            with pytest.raises(DatasetError, match="never ended"):
                Dataset(folder)
        again = prepare(sources, SMALL, folder)
        assert sum(one.kept for one in again) == number // 3
        assert contents(folder) == contents(tmp_path / "whole")
    assert len(writes) == 3 * len(sources) + 1


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(volumes: Path, tmp_path: Path) -> None:
    arguments = ["--mr", volumes / "mr" / "bob.nii.gz", "--ct", volumes / "ct" / "dora.nii.gz", "--out", tmp_path / "d"]
    arguments += ["--mr-percentile", 0, 99.5]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        line = refused(run(*arguments))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line.endswith("ct-dora.npy: not written: File too large") or "mr-bob.npy: not written" in line
    assert not [name for name in contents(tmp_path / "d") if name.endswith((".partial", ".npy", MANIFEST))]
    assert run(*arguments).exit_code == 0
    Dataset(tmp_path / "d").slices("ct", "train")


def test_the_command_makes_a_data_set_and_then_keeps_it(volumes: Path, tmp_path: Path) -> None:
    arguments = ["--mr", volumes / "mr", "--ct", volumes / "ct", "--out", tmp_path, "--mr-percentile", 0, 99.5]
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "train: anna, bob, dora\nvalidation: carl\n" in first.output
    rows = {(line.split()[0], line.split()[1]): line for line in first.output.splitlines() if line.endswith("made")}
    assert set(rows) == {("anna", "MR"), ("bob", "MR"), ("carl", "MR"), ("anna", "CT"), ("dora", "CT")}
    assert "-600 to 1400 HU" in rows["anna", "CT"] and "validation" in rows["carl", "MR"]
    assert Dataset(tmp_path).manifest.mr_window == PercentileWindow(0.0, 99.5)
    second = run(*arguments)
    assert second.exit_code == 0 and second.output.count("kept") == 5 and "made" not in second.output


def test_patients_and_splits_come_from_a_table(volumes: Path, tmp_path: Path) -> None:
    rows = "file,patient,split\nmr/anna.nii.gz,P1,train\nbob.nii.gz,P2,validation\ndora.nii.gz,P2,validation\n"
    (tmp_path / "who.csv").write_text("\ufeff" + rows + f"{volumes}/ct/anna.nii.gz,P1,train\n", encoding="utf-8")
    mrs = ["--mr", volumes / "mr" / "anna.nii.gz", "--mr", volumes / "mr" / "bob.nii.gz"]
    table = ["--patients", tmp_path / "who.csv", "--mr-percentile", 0, 99.5]
    done = run(*mrs, "--ct", volumes / "ct", *table, "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    manifest = Dataset(tmp_path / "d").manifest
    told = {(e.patient, e.modality, e.source): e.split for e in manifest.entries}
    assert told == {
        ("P1", "mr", "anna.nii.gz"): "train",
        ("P2", "mr", "bob.nii.gz"): "validation",
        ("P1", "ct", "anna.nii.gz"): "train",
        ("P2", "ct", "dora.nii.gz"): "validation",
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "file,patient\nanna.nii.gz,a\nbob.nii.gz,b\ndora.nii.gz,d\nzoe.nii.gz,z\n",
            "line 5 (zoe.nii.gz): no such file",
        ),
        ("file,patient\nanna.nii.gz,a\nbob.nii.gz,b\n", "no row for"),
        ("file,patient\nanna.nii.gz,a\nbob.nii.gz,b\ndora.nii.gz,d\nmr/anna.nii.gz,x\n", "another row's already"),
        ("file,patient,split\nanna.nii.gz,a,test\n", "line 2 (anna.nii.gz): split 'test'"),
        ("file,patient\nanna.nii.gz,\n", "line 2 (anna.nii.gz): file or patient is empty"),
        ("file,patient\nanna.nii.gz\n", "line 2 (anna.nii.gz): file or patient is empty"),
        ("file;patient\nanna.nii.gz;a\n", "needs the columns file and patient"),
        ("", "needs the columns file and patient"),
        (
            "file,patient,split\nbob.nii.gz,a,train\ndora.nii.gz,a,validation\nanna.nii.gz,b,train\n",
            "patient 'a' is in both splits",
        ),
        ("file,patient\nanna.nii.gz,a\nbob.nii.gz,../b\ndora.nii.gz,d\n", "'../b': no part of a file name"),
        ("file,patient\nanna.nii.gz,a\nbob.nii.gz,a\ndora.nii.gz,d\n", "patient 'a' has two MRs"),
    ],
)
def test_a_table_that_cannot_be_used_names_the_row(volumes: Path, tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "who.csv").write_text(rows, encoding="utf-8")
    mrs = ["--mr", volumes / "mr" / "anna.nii.gz", "--mr", volumes / "mr" / "bob.nii.gz"]
    result = run(*mrs, "--ct", volumes / "ct", "--patients", tmp_path / "who.csv", "--out", tmp_path / "d")
    assert message in refused(result)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("mr", "ct", "others", "message"),
    [
        ("ct/dora.nii.gz", "ct/anna.nii.gz", [], "dora.nii.gz: this is a CT"),
        ("mr/anna.nii.gz", "mr/bob.nii.gz", [], "bob.nii.gz: this is no CT in HU"),
        ("mr/zoe.nii.gz", "ct", [], "zoe.nii.gz: cannot be read: No such file"),
        ("mr", "empty", [], "empty: no volume in this folder"),
        ("mr", "ct", ["--validation", "zoe"], "--validation zoe: no such patient; there are anna, bob, carl, dora"),
        ("mr/anna.nii.gz", "ct", ["--validation", "anna"], "no MR in the train split"),
        ("mr", "ct/anna.nii.gz", ["--validation", "anna"], "no CT in the train split"),
        ("mr/bob.nii.gz", "ct", ["--register"], "no patient has both an MR and a CT"),
        ("mr", "cut.nii.gz", [], "cut.nii.gz: "),
    ],
)
def test_what_cannot_be_a_data_set_is_told_in_one_line(
    volumes: Path, tmp_path: Path, mr: str, ct: str, others: list[str], message: str
) -> None:
    (volumes / "empty").mkdir(exist_ok=True)
    (volumes / "cut.nii.gz").write_bytes((volumes / "ct" / "dora.nii.gz").read_bytes()[:50_000])
    line = refused(run("--mr", volumes / mr, "--ct", volumes / ct, "--out", tmp_path / "d", *others))
    assert message in line
    with pytest.raises(DatasetError):
        Dataset(tmp_path / "d")


@pytest.mark.parametrize(
    "arguments",
    [["--register", "--aligned"], ["--mr-percentile", "99", "1"], ["--mr-percentile", "0", "101"], ["--nonsense"]],
)
def test_wrong_usage_ends_with_2(volumes: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run("--mr", volumes, "--ct", volumes, "--out", tmp_path, *arguments).exit_code == 2
    assert run("--mr", volumes, "--out", tmp_path).exit_code == 2


@pytest.mark.parametrize(("patients", "held_out"), [(2, 0), (3, 1), (4, 1), (7, 1), (8, 2), (24, 6)])
def test_the_last_quarter_of_the_mr_patients_is_held_out(tmp_path: Path, patients: int, held_out: int) -> None:
    from mr2ct_training.prepare_patients import sources_of

    for kind in ("mr", "ct"):
        (tmp_path / kind).mkdir()
        for number in range(patients):
            (tmp_path / kind / f"p{number:02}.nii").touch()
    (tmp_path / "ct" / "zz.nrrd").touch()
    (tmp_path / "ct" / "notes.txt").touch()
    sources = sources_of([tmp_path / "mr"], [tmp_path / "ct"], None, [])
    assert len(sources) == 2 * patients + 1
    out = {(s.patient, s.modality) for s in sources if s.split == "validation"}
    last = [f"p{number:02}" for number in range(patients - held_out, patients)]
    assert out == {(patient, kind) for patient in last for kind in ("mr", "ct")}


def test_a_volume_whose_voxels_lie_in_a_second_file_is_known_by_them(volumes: Path, tmp_path: Path) -> None:
    ct = read_volume(volumes / "ct" / "dora.nii.gz")
    write_volume(ct, tmp_path / "dora.mhd")
    before = module._sha256_of(tmp_path / "dora.mhd")
    header = (tmp_path / "dora.mhd").read_bytes()
    other = ct.voxels.copy()
    other[5, 5, 5] += 1
    write_volume(Volume(other, ct.grid), tmp_path / "dora.mhd", overwrite=True)
    assert (tmp_path / "dora.mhd").read_bytes() == header
    assert module._sha256_of(tmp_path / "dora.mhd") != before


def test_an_mr_without_contrast_names_its_file(volumes: Path, tmp_path: Path) -> None:
    head = read_volume(volumes / "mr" / "anna.nii.gz")
    flat = Volume(np.where(head.voxels > 300, 500, 0).astype(np.int16), head.grid)
    write_volume(flat, tmp_path / "flat.nii.gz")
    both = [source(tmp_path / "flat.nii.gz", "mr"), source(volumes / "ct" / "dora.nii.gz", "ct")]
    with pytest.raises(VolumeError, match=r"flat\.nii\.gz: the MR has no contrast"):
        prepare(both, replace(SMALL, mr_window=PercentileWindow(50.0, 99.5)), tmp_path / "d")


@pytest.mark.heads
def test_real_heads_become_a_data_set(heads: Path, tmp_path: Path) -> None:
    ct, mr = heads / "ct" / "headneck_planning.nii.gz", heads / "mr" / "seg3d.nii.gz"
    done = run("--mr", mr, "--ct", ct, "--out", tmp_path, "--mr-percentile", 0, 99.5)
    assert done.exit_code == 0, done.output
    data = Dataset(tmp_path)
    for modality in ("mr", "ct"):
        slices = data.slices(modality, "train")  # type: ignore[arg-type]
        head = np.stack([slices.head(n) for n in range(len(slices))])
        pixels = np.array(slices.pixels[0])
        assert 0.05 < head.mean() < 0.5
        assert pixels[head].mean() > 5 * pixels[~head].mean()
    assert json.loads((tmp_path / "ct-headneck_planning.json").read_text())["entry"]["slices"] == 280
