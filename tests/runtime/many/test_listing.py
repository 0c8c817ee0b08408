"""What a run over many volumes takes as an MR, what it calls the CT, and what it refuses before any work."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mr2ct.errors import Mr2ctError, OutputError, VolumeError
from mr2ct.many.items import place_items
from mr2ct.many.listing import find_sources, is_many

DICOM = bytes(128) + b"DICM"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mr/ with volumes in folders, and what is none; pacs/ with DICOM. Names are all that is looked at."""
    for name in ("b/head.nii.gz", "a/one.mhd", "a/one.raw", "a/Two.NRRD", "c.nii", ".hidden/x.nii", "b/notes.txt"):
        place = tmp_path / "mr" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    for name in ("p1/im1", "p1/deeper/im2", "p2/im1"):
        place = tmp_path / "pacs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(DICOM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(*arguments: object, out: str = "out", each: bool = False) -> list[str]:
    return [item.id for item in place_items(find_sources([str(a) for a in arguments], each=each), Path(out))]


def refused(kind: type[Mr2ctError], *arguments: object, **given: object) -> str:
    with pytest.raises(kind) as told:
        ids(*arguments, **given)  # type: ignore[arg-type]
    assert str(told.value).isprintable()
    return str(told.value)


def test_a_folder_gives_its_volumes_by_name_in_the_folders_they_are_in(archive: Path) -> None:
    found = place_items(find_sources(["mr"]), Path("out"))
    assert [item.id for item in found] == ["a/Two_sct.nrrd", "a/one_sct.mha", "b/head_sct.nii.gz", "c_sct.nii"]
    assert found[2].source == archive / "mr/b/head.nii.gz"
    assert found[2].target == archive / "out/b/head_sct.nii.gz"
    assert pickle.loads(pickle.dumps(found)) == found


def test_files_keep_a_relative_path_and_of_an_absolute_one_the_name(archive: Path) -> None:
    assert ids("mr/c.nii", "./mr/b/head.nii.gz", archive / "mr/a/one.mhd", "../nowhere.nii") == [
        "mr/c_sct.nii", "mr/b/head_sct.nii.gz", "one_sct.mha", "nowhere_sct.nii",
    ]  # fmt: skip


def test_folders_of_dicom_are_one_mr_each(archive: Path) -> None:
    assert ids("pacs/p1", archive / "pacs/p2") == ["pacs/p1_sct", "p2_sct"]
    assert ids("pacs", each=True) == ["p1_sct", "p2_sct"]


def test_a_list_is_read_from_where_it_lies(archive: Path) -> None:
    text = "\ufeff# comment\r\n\r\nmr/c.nii\r\n  mr/b/head.nii.gz\tpatient 7/ct.nii.gz\r\npacs/p1\r\ngone.mha"
    (archive / "list.txt").write_bytes(text.encode())
    wanted = ["mr/c_sct.nii", "patient 7/ct.nii.gz", "pacs/p1_sct", "gone_sct.mha"]
    assert ids("@list.txt") == wanted
    (archive / "elsewhere").mkdir()
    (archive / "elsewhere/list.txt").write_text("../mr/c.nii\n../mr\n")
    found = find_sources(["@elsewhere/list.txt"])
    assert [source.path.name for source in found] == ["c.nii", "Two.NRRD", "one.mhd", "head.nii.gz", "c.nii"]


def test_what_is_wrong_with_a_list_is_told_with_its_line(archive: Path) -> None:
    assert "cannot be read" in refused(VolumeError, "@none.txt")
    (archive / "list.txt").write_text("# nothing\n\n")
    assert "nothing to do" in refused(VolumeError, "@list.txt")
    (archive / "list.txt").write_bytes(b"\x1f\x8b\0\0")
    assert "binary" in refused(VolumeError, "@list.txt")
    for name in ("../ct.nii", "/ct.nii"):
        (archive / "list.txt").write_text(f"mr/c.nii\nmr/c.nii\t{name}\n")
        assert "line 2" in refused(VolumeError, "@list.txt")
    (archive / "list.txt").write_text("mr\tct.nii\n")
    assert "line 1" in refused(VolumeError, "@list.txt")


def test_two_mrs_with_one_ct_are_both_named(archive: Path) -> None:
    line = refused(OutputError, archive / "mr/c.nii", archive / "pacs/c.nii")
    assert str(archive / "mr/c.nii") in line
    assert str(archive / "pacs/c.nii") in line
    assert "c_sct.nii" in line
    assert "mr/c.nii" in refused(OutputError, "mr/c.nii", "mr/c.nii")
    (archive / "mr/a/one.mha").write_bytes(b"")
    assert "one.mhd" in refused(OutputError, "mr")
    (archive / "list.txt").write_text("mr/c.nii\tx\npacs/p1\tx/y\n")
    assert "the CT of another MR" in refused(OutputError, "@list.txt")


def test_cts_never_go_where_mrs_are_read(archive: Path) -> None:
    (archive / "link").symlink_to(archive / "mr")
    for arguments, out in (
        (["mr"], "mr"), (["mr"], "mr/b/out"), (["mr"], "link/out"), (["mr/c.nii", "mr/b/head.nii.gz"], "mr"),
        (["pacs/p1", "pacs/p2"], "pacs"), (["pacs/p1", "pacs/p2"], "pacs/p1/ct"),
    ):  # fmt: skip
        assert "name a folder outside" in refused(OutputError, *arguments, out=out)
    assert "name a folder outside" in refused(OutputError, "pacs", out="pacs/cts", each=True)


def test_no_ct_is_written_over_an_mr(archive: Path) -> None:
    (archive / "list.txt").write_text("mr/c.nii\tmr/b/head.nii.gz\nmr/b/head.nii.gz\n")
    assert "head.nii.gz: an MR that was given" in refused(OutputError, "@list.txt", out=".")


def test_volumes_and_dicom_in_one_folder_are_not_mixed(archive: Path) -> None:
    (archive / "pacs/p1/t1.nii.gz").write_bytes(b"")
    line = refused(VolumeError, "pacs/p1")
    assert "t1.nii.gz" in line
    assert "im" in line
    assert "p1" in refused(VolumeError, "pacs")
    (archive / "pacs/stray.nii").write_bytes(b"")
    assert "stray.nii" in refused(VolumeError, "pacs", each=True)
    assert "no such folder" in refused(VolumeError, "none", each=True)


def test_what_is_one_volume_stays_the_run_of_one(archive: Path) -> None:
    for one in ("mr/c.nii", "none.nii", "pacs/p1", "pacs", "mr/b/notes.txt", "none"):
        assert not is_many([one])
    (archive / "@odd.nii").write_bytes(b"")
    assert not is_many(["./@odd.nii"])
    assert not is_many(["mr"], series=True)
    for many in (["mr"], ["mr/a"], ["@list.txt"], ["mr/c.nii", "mr/a"]):
        assert is_many(many)
    assert is_many(["pacs"], each=True)


def test_names_that_would_break_a_line_do_not(archive: Path) -> None:
    (archive / "mr/a\nb.nii").write_bytes(b"")
    (archive / "pacs/p1/a\nb.nii").write_bytes(b"")
    refused(VolumeError, "pacs/p1")
    refused(OutputError, "mr/a\nb.nii", "mr/a\nb.nii")
    (archive / "mr" / "\udcff.nii").write_bytes(b"")
    assert ids("mr")[-1] == "\udcff_sct.nii"
    refused(OutputError, "mr/\udcff.nii", "mr/\udcff.nii")


def test_a_link_in_a_circle_ends_and_one_to_nothing_is_an_mr_that_is_missing(archive: Path) -> None:
    (archive / "mr/a/up").symlink_to(archive / "mr")
    (archive / "mr/gone.nii").symlink_to(archive / "nothing.nii")
    assert ids("mr") == ["a/Two_sct.nrrd", "a/one_sct.mha", "b/head_sct.nii.gz", "c_sct.nii", "gone_sct.nii"]
