"""Who is in a data set, by file names or by a table, and who is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.errors import VolumeError
from mr2ct_training.dataset import DatasetError
from mr2ct_training.prepare import Source
from mr2ct_training.prepare_patients import sources_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """mr/anna, mr/bob; ct/anna, ct/dora; nothing in them is read."""
    for name in ("mr/anna.nii.gz", "mr/bob.NRRD", "ct/anna.nii.gz", "ct/dora.mhd", "ct/dora.raw", "ct/.dora.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def by_table(folder: Path, text: str) -> list[Source]:
    (folder / "who.csv").write_text(text, encoding="utf-8")
    return sources_of([folder / "mr"], [folder / "ct"], folder / "who.csv", [])


def test_a_folder_gives_its_volumes_and_their_names_are_the_patients(folder: Path) -> None:
    found = [(s.path.name, s.patient, s.modality) for s in sources_of([folder / "mr"], [folder / "ct"], None, [])]
    assert found == [
        ("anna.nii.gz", "anna", "mr"),
        ("bob.NRRD", "bob", "mr"),
        ("anna.nii.gz", "anna", "ct"),
        ("dora.mhd", "dora", "ct"),
    ]


def test_a_folder_without_volumes_is_told(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(VolumeError, match=r"empty: no volume in this folder; known: \.nii "):
        sources_of([folder / "empty"], [folder / "ct"], None, [])


@pytest.mark.parametrize(("patients", "held_out"), [(2, 0), (3, 1), (4, 1), (7, 1), (8, 2), (24, 6)])
def test_the_last_quarter_of_the_mr_patients_is_held_out(tmp_path: Path, patients: int, held_out: int) -> None:
    for kind in ("mr", "ct"):
        (tmp_path / kind).mkdir()
        for number in range(patients):
            (tmp_path / kind / f"p{number:02}.nii").touch()
    (tmp_path / "ct" / "zz.nrrd").touch()  # who has no MR
    sources = sources_of([tmp_path / "mr"], [tmp_path / "ct"], None, [])
    assert len(sources) == 2 * patients + 1
    out = {(s.patient, s.modality) for s in sources if s.split == "validation"}
    last = [f"p{number:02}" for number in range(patients - held_out, patients)]
    assert out == {(patient, kind) for patient in last for kind in ("mr", "ct")}


def test_named_patients_are_held_out_with_all_they_have(folder: Path) -> None:
    sources = sources_of([folder / "mr"], [folder / "ct"], None, ["anna"])
    assert {(s.patient, s.modality) for s in sources if s.split == "validation"} == {("anna", "mr"), ("anna", "ct")}
    with pytest.raises(DatasetError, match="--validation zoe: no such patient; there are anna, bob, dora"):
        sources_of([folder / "mr"], [folder / "ct"], None, ["anna", "zoe"])


def test_a_table_tells_patient_and_split(folder: Path) -> None:
    rows = "\ufefffile,patient,split\nmr/anna.nii.gz,P1,train\nbob.NRRD,P2,validation\ndora.mhd,P2,validation\n"
    sources = by_table(folder, rows + f"{folder}/ct/anna.nii.gz,P3,train\n")
    assert [(s.path.name, s.patient, s.modality, s.split) for s in sources] == [
        ("anna.nii.gz", "P1", "mr", "train"),
        ("bob.NRRD", "P2", "mr", "validation"),
        ("anna.nii.gz", "P3", "ct", "train"),
        ("dora.mhd", "P2", "ct", "validation"),
    ]


def test_a_name_stands_for_every_file_that_has_it(folder: Path) -> None:
    sources = by_table(folder, "file,patient,note\nanna.nii.gz,a,both\nbob.NRRD,b,\ndora.mhd,d,\n")
    assert [s.patient for s in sources] == ["a", "b", "a", "d"]
    assert {s.split for s in sources} == {"train"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file,patient\nanna.nii.gz,a\nbob.NRRD,b\ndora.mhd,d\nzoe.nii,z\n", r"line 5 \(zoe.nii\): no such file"),
        ("file,patient\nanna.nii.gz,a\nbob.NRRD,b\n", "no row for .*dora.mhd"),
        ("file,patient\nanna.nii.gz,a\nmr/anna.nii.gz,x\n", r"line 3 \(mr/anna.nii.gz\): .* another row's already"),
        ("file,patient,split\nanna.nii.gz,a,test\n", r"line 2 \(anna.nii.gz\): split 'test'"),
        ("file,patient,split\nanna.nii.gz,a\n", r"line 2 \(anna.nii.gz\): split None"),
        ("file,patient\nanna.nii.gz,\n", r"line 2 \(anna.nii.gz\): file or patient is empty"),
        ("file,patient\nanna.nii.gz\n", r"line 2 \(anna.nii.gz\): file or patient is empty"),
        ("file,patient\n,a\n", r"line 2 \(\): file or patient is empty"),
        ("file;patient\nanna.nii.gz;a\n", "needs the columns file and patient"),
        ("", "needs the columns file and patient"),
    ],
)
def test_a_table_that_cannot_be_used_names_the_row(folder: Path, rows: str, message: str) -> None:
    with pytest.raises(DatasetError, match=r"who\.csv.*" + message) as caught:
        by_table(folder, rows)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_none_is_told(folder: Path) -> None:
    (folder / "who.csv").write_bytes(b"file,patient\n\xff\xfe\x00,a\n")
    for table in (folder / "who.csv", folder / "nowhere.csv", folder):
        with pytest.raises(DatasetError, match="cannot be read as a table"):
            sources_of([folder / "mr"], [folder / "ct"], table, [])


def test_a_table_with_splits_and_validation_are_one_too_many(folder: Path) -> None:
    (folder / "who.csv").write_text("file,patient,split\nanna.nii.gz,a,train\nbob.NRRD,b,train\ndora.mhd,d,train\n")
    with pytest.raises(DatasetError, match="--validation is one too many"):
        sources_of([folder / "mr"], [folder / "ct"], folder / "who.csv", ["a"])
