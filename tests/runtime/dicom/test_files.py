"""Which files of a folder are read, and that no file can break, hang or fill the process."""

from __future__ import annotations

import os
import shutil
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from mr2ct.dicom import files, parsing
from mr2ct.dicom.files import find_files, quiet
from mr2ct.dicom.parsing import parse_file
from mr2ct.dicom.reading import read_mr_series
from mr2ct.errors import VolumeError
from runtime.dicom.drawn_series import NATIVE, refusal, save, slices, write_series
from runtime.volumes import TILTED, some_voxels

META = b"\0" * 128 + b"DICM"


def element(tag: int, kind: bytes, value: bytes) -> bytes:
    """An explicit little-endian element."""
    length = len(value).to_bytes(2, "little")
    if kind in (b"OB", b"OW", b"SQ", b"UN"):
        length = b"\0\0" + len(value).to_bytes(4, "little")
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + kind + length + value


def with_syntax(uid: bytes) -> bytes:
    """The start of a file of a transfer syntax."""
    return META + element(0x00020010, b"UI", uid + b"\0" * (len(uid) % 2))


def test_what_is_no_series_file_is_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "DICOM" / "S1")
    plain = read_mr_series(tmp_path)
    for name in ("README.txt", "empty", "report.pdf", "DICOMDIR", ".hidden.dcm", "._im003.dcm", "short"):
        (tmp_path / name).write_bytes(b"text\n" * 60 * (name not in ("empty", "short")))
    (tmp_path / "DICOMDIR").write_bytes(META + b"broken")
    (tmp_path / ".git").mkdir()
    shutil.copy(plain.files[0], tmp_path / ".git" / "im.dcm")
    again = read_mr_series(tmp_path)
    assert again.files == plain.files
    assert again.volume.grid == plain.volume.grid


def test_a_directory_of_media_by_another_name_is_left_out(tmp_path: Path) -> None:
    write_series(tmp_path)
    start = META + element(0x00020002, b"UI", b"1.2.840.10008.1.3.10")
    (tmp_path / "INDEX").write_bytes(start + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0") + b"\4\0\0\0rubbish")
    assert len(read_mr_series(tmp_path).files) == 3


def test_links_are_followed_once(tmp_path: Path) -> None:
    write_series(tmp_path / "kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "series").symlink_to(tmp_path / "kept")
    (folder / "series again").symlink_to(tmp_path / "kept")
    (tmp_path / "kept" / "up").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    (folder / "itself").symlink_to(folder / "itself")
    assert len(read_mr_series(folder).files) == 3


def test_linked_files_are_read(tmp_path: Path) -> None:
    kept = write_series(tmp_path / "kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in kept.iterdir():
        (folder / path.name).symlink_to(path)
    assert np.array_equal(read_mr_series(folder).volume.voxels, some_voxels(TILTED))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(write_series(tmp_path) / "pipe.dcm")
    assert len(read_mr_series(tmp_path).files) == 3


def test_a_folder_without_dicom_says_what_is_there(tmp_path: Path) -> None:
    assert "no DICOM file" in refusal(tmp_path)
    (tmp_path / "mr.nii.gz").write_bytes(b"x" * 500)
    assert "1 others" in refusal(tmp_path)
    assert "no such folder" in refusal(tmp_path / "missing")
    assert "give the folder" in refusal(tmp_path / "mr.nii.gz")


@pytest.mark.parametrize("syntax", [NATIVE[0], ImplicitVRLittleEndian], ids=str)
def test_data_sets_without_preamble_are_told_and_not_read(tmp_path: Path, syntax: UID) -> None:
    for number, header in enumerate(slices(syntax=syntax)):
        content = save(header, tmp_path / f"{number}").read_bytes()
        (tmp_path / f"{number}").write_bytes(content[content.index(b"\x08\0\x08\0") :])
    line = refusal(tmp_path)
    assert "3 files look like DICOM without" in line
    assert "dcmconv" in line


def test_data_sets_without_preamble_beside_a_series_are_a_remark(tmp_path: Path) -> None:
    content = next(write_series(tmp_path).iterdir()).read_bytes()
    (tmp_path / "naked").write_bytes(content[content.index(b"\x08\0\x08\0") :])
    (remark,) = read_mr_series(tmp_path).volume.remarks
    assert remark.startswith("1 files without DICOM's preamble")


@pytest.mark.parametrize(
    "content",
    [
        META,
        META + b"\2\0",
        META + os.urandom(300),
        META + element(0x00080060, b"CS", b"MR"),
        with_syntax(b"1.2.840.10008.1.2.1"),
        with_syntax(b"1.2.840.10008.1.2.1") + element(0x00080060, b"CS", b"MR"),
        with_syntax(b"1.2.840.10008.1.2.1") + b"\x08\0\x60\0UN\0\0\xf0\xff\xff\xff" + b"MR",
        with_syntax(b"1.2.840.10008.1.2") + b"\x08\0\x60\0\xf0\xff\xff\xff" + b"MR",
        with_syntax(b"1.2.840.10008.1.2.1.99") + b"\xff" * 100,
        with_syntax(b"1.2.840.10008.1.2.1") + b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" * 20,
        with_syntax(b"1.2.840.10008.1.2.1")
        + (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff") * 9000,
    ],
    ids=[
        "magic",
        "stub",
        "noise",
        "no syntax",
        "empty",
        "no series",
        "long",
        "long implicit",
        "deflate",
        "items",
        "deep",
    ],
)
def test_a_damaged_file_with_dicoms_magic_is_named(tmp_path: Path, content: bytes) -> None:
    write_series(tmp_path)
    (tmp_path / "damaged.dcm").write_bytes(content)
    assert "damaged.dcm" in refusal(tmp_path)


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)  # 16 MiB in 16 kB
    header = element(0x00080060, b"CS", b"MR") + element(0x0020000E, b"UI", b"1.2.3\0")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = packer.compress(header + b"\x09\0\x01\x10OB\0\0\0\0\0\x30") + packer.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "bomb.dcm").write_bytes(with_syntax(b"1.2.840.10008.1.2.1.99") + start + block * 64)
    asked: list[int] = []
    true_first = parsing._Stream.first
    monkeypatch.setattr(parsing._Stream, "first", lambda self, count: asked.append(count) or true_first(self, count))
    refusal(tmp_path)
    assert max(asked) <= parsing.LONGEST_HEADER


def test_a_large_private_value_before_the_pixels_does_not_matter(tmp_path: Path) -> None:
    def add(header: Dataset, _k: int) -> None:
        header.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(
            0x10, "OB", b"\7" * (3 * parsing.FIRST_READ)
        )

    for n, syntax in enumerate(NATIVE):
        series = read_mr_series(write_series(tmp_path / str(n), change=add, syntax=syntax))
        assert np.array_equal(series.volume.voxels, some_voxels(TILTED))
        assert not any(element.tag.is_private for element in series.header)


def test_a_document_of_any_size_beside_a_series_does_not_matter(tmp_path: Path) -> None:
    write_series(tmp_path)
    header = with_syntax(b"1.2.840.10008.1.2.1") + element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.104.1\0")
    header += element(0x00080060, b"CS", b"DOC ") + element(0x0020000E, b"UI", b"1.2.3\0")
    with open(tmp_path / "document.dcm", "wb") as file:
        file.write(header + element(0x00420011, b"OB", b"")[:-4] + (40 << 20).to_bytes(4, "little"))
        file.truncate(file.tell() + (40 << 20))
    assert len(read_mr_series(tmp_path).files) == 3


def test_a_header_beyond_the_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "LONGEST_HEADER", 4 << 18)

    def add(header: Dataset, _k: int) -> None:
        block = header.private_block(0x0029, "A", create=True)
        for n in range(5):
            block.add_new(n, "OB", b"\7" * (1 << 18))

    assert "its header is longer than" in refusal(write_series(tmp_path, change=add))


def test_too_many_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 2)
    assert "more than 2 files" in refusal(write_series(tmp_path))


def test_undefined_lengths_and_nested_sequences_are_read(tmp_path: Path) -> None:
    def nest(header: Dataset, _k: int) -> None:
        inner = Dataset()
        for _ in range(20):
            outer = Dataset()
            outer.ReferencedImageSequence = Sequence([inner])
            outer["ReferencedImageSequence"].is_undefined_length = True
            outer.is_undefined_length_sequence_item = True
            inner = outer
        header.ReferencedImageSequence = Sequence([inner])
        header["ReferencedImageSequence"].is_undefined_length = True

    for n, syntax in enumerate((*NATIVE[:2], ExplicitVRBigEndian)):
        series = read_mr_series(write_series(tmp_path / str(n), change=nest, syntax=syntax))
        assert np.array_equal(series.volume.voxels, some_voxels(TILTED))


@pytest.mark.parametrize("name", ["im\n1.dcm", "im\x1b[2J.dcm", "ü \u202e.dcm", os.fsdecode(b"im\xff.dcm")])
def test_a_files_name_never_breaks_the_line(tmp_path: Path, name: str) -> None:
    write_series(tmp_path)
    (tmp_path / name).write_bytes(META + b"x")
    assert "damaged" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    victim = sorted(write_series(tmp_path).iterdir())[0]
    victim.chmod(0)
    assert victim.name in refusal(tmp_path)


def test_a_file_that_changes_after_its_header_was_read_is_refused(tmp_path: Path) -> None:
    victim = sorted(write_series(tmp_path).iterdir())[0]
    file = parse_file(victim)
    assert file is not None
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(VolumeError, match="changed while it was read"), file.at_pixels(10):
        pass


def test_files_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c/a", "10", "9"):
        save(next(slices()), tmp_path / name)
    assert [str(p.relative_to(tmp_path)) for p in find_files(tmp_path).paths] == ["10", "9", "a", "b", "c/a"]


ITEM, SEQUENCE = b"\xfe\xff\0\xe0\0\0\0\0", b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "body",
    [
        SEQUENCE + ITEM * 9000,
        SEQUENCE + ITEM[:4] + b"\xff\xff\xff\xff" + element(0x00080060, b"CS", b"") * 9000,
        element(0x00080060, b"CS", b"") * 9000,
        element(0x00080005, b"CS", b"A\\" * 9000),
    ],
    ids=["items", "nested elements", "elements", "character sets"],
)
def test_a_header_of_endless_small_things_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(parsing, "MOST_READS", 5000)
    write_series(tmp_path)
    (tmp_path / "hostile.dcm").write_bytes(with_syntax(b"1.2.840.10008.1.2.1") + body)
    line = refusal(tmp_path)
    assert "hostile.dcm" in line
    assert "damaged DICOM header" in line


def test_warnings_of_several_threads_are_put_back_when_the_last_is_done() -> None:
    before, first, second = list(warnings.filters), quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("of pydicom's", stacklevel=1)  # an error in these tests, if it were heard
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before
