"""A series as its reader gives it, and what must not matter to it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from fuzz_files import Seed, damaged, seeds
from fuzz_reading import unsound
from mr2ct.dicom import reading
from mr2ct.dicom.frames import Frame
from mr2ct.dicom.pixel_format import PixelFormat
from mr2ct.dicom.reading import read_mr_series
from mr2ct.errors import VolumeError
from mr2ct.reading import read_volume
from runtime.dicom.drawn_series import SERIES, enhanced, refusal, save, slices, write_series
from runtime.volumes import TILTED, some_voxels

NAMES = [
    b"M\xfcller^E",
    b"\x1b$B;3ED",
    b"\xe5\xbc\xa0^\xe4\xbc",
    b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
    b"\n\r\x1b[2J\0^",
    b"========",
]


def test_a_series_knows_its_files_headers_and_sources_in_the_order_of_its_slices(tmp_path: Path) -> None:
    series = read_mr_series(str(write_series(tmp_path / "in")))
    assert series.folder == tmp_path / "in"
    assert series.files == tuple(sorted((tmp_path / "in").iterdir()))
    assert series.source == tuple(("1.2.840.10008.5.1.4.1.1.4", f"{SERIES}.{k}") for k in (1, 2, 3))
    assert [header.SOPInstanceUID for header in series.headers] == [uid for _, uid in series.source]
    assert series.header.PatientName == "Doe^Jane"
    assert "PixelData" not in series.header
    along = [np.array(h.ImagePositionPatient, float) @ TILTED.axes[:, 2] for h in series.headers]
    assert along == sorted(along) or along == sorted(along, reverse=True)
    assert series.volume.header is None
    assert series.volume.remarks == ()


def test_reading_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    write_series(tmp_path)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    read_mr_series(tmp_path)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_a_series_may_be_picked_by_its_uid(tmp_path: Path) -> None:
    assert np.array_equal(read_mr_series(write_series(tmp_path), SERIES).volume.voxels, some_voxels(TILTED))


@pytest.mark.parametrize(
    "charset",
    [b"ISO_IR 100", b"ISO 2022 IR 87", b"ISO_IR 192", b"GB18030   ", b"nonsense  ", b"\\ISO_IR 1\\", b"\xff" * 10],
)
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_in_any_character_set_does_not_matter_and_is_never_told(
    tmp_path: Path, charset: bytes, name: bytes
) -> None:
    def say(header: Dataset, _k: int) -> None:
        header.SpecificCharacterSet = "ISO_IR 100"

    for path in write_series(tmp_path, change=say).iterdir():
        content = path.read_bytes().replace(b"ISO_IR 100", charset.ljust(10)[:10])
        path.write_bytes(content.replace(b"Doe^Jane", name.ljust(8)[:8]))
    assert np.array_equal(read_mr_series(tmp_path).volume.voxels, some_voxels(TILTED))


@pytest.mark.parametrize(("date", "time"), [("29991231", "235959.999999"), ("19000101", "000000"), ("", "")])
def test_clocks_do_not_matter(tmp_path: Path, date: str, time: str) -> None:
    def set_clock(header: Dataset, k: int) -> None:
        header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = date
        header.StudyTime, header.AcquisitionTime = time, f"{235959 - k}"

    assert np.array_equal(read_mr_series(write_series(tmp_path, change=set_clock)).volume.voxels, some_voxels(TILTED))


@pytest.mark.parametrize("comes", [True, False])
def test_a_series_that_grows_or_shrinks_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    write_series(tmp_path)
    late = save(next(slices(tail=".9")), tmp_path.parent / f"{tmp_path.name}-late.dcm")

    def meanwhile(frames: list[Frame], of: PixelFormat, where: str) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        read = true_read_voxels(frames, of, where)
        if comes:
            late.rename(tmp_path / "late.dcm")
        else:
            sorted(tmp_path.iterdir())[0].unlink()
        return read

    true_read_voxels = reading.read_voxels
    monkeypatch.setattr(reading, "read_voxels", meanwhile)
    assert "files came or went" in refusal(tmp_path)


def _remove_groups(header: Dataset) -> None:
    del header.PerFrameFunctionalGroupsSequence


def _one_too_many(header: Dataset) -> None:
    header.NumberOfFrames = 4


def _unplaced(header: Dataset) -> None:
    del header.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence


def _undirected(header: Dataset) -> None:
    del header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def _unmeasured(header: Dataset) -> None:
    header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0", "1"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_remove_groups, "describe 0"),
        (_one_too_many, "NumberOfFrames is 4, its functional groups describe 3"),
        (_unplaced, "frame 2: no ImagePositionPatient"),
        (_undirected, "frame 1: no ImageOrientationPatient"),
        (_unmeasured, "frame 1: PixelSpacing 0 x 1 mm"),
    ],
)
def test_an_enhanced_object_without_its_groups_is_refused(tmp_path: Path, spoil: object, words: str) -> None:
    header = enhanced()
    spoil(header)  # type: ignore[operator]
    save(header, tmp_path / "one.dcm")
    assert words in refusal(tmp_path)


def test_parts_of_an_enhanced_object_are_put_together(tmp_path: Path) -> None:
    whole, voxels = enhanced(), some_voxels(TILTED)
    for n, frames in enumerate(([2, 0], [1])):
        part = enhanced()
        part.SOPInstanceUID = part.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.10{n}"
        part.NumberOfFrames = len(frames)
        part.PerFrameFunctionalGroupsSequence = [whole.PerFrameFunctionalGroupsSequence[k] for k in frames]
        part.PixelData = voxels[frames].tobytes()
        save(part, tmp_path / f"{n}.dcm")
    series = read_mr_series(tmp_path)
    assert np.array_equal(series.volume.voxels, voxels)
    assert len(series.source) == len(series.headers) == 2


@pytest.mark.heads
def test_a_ct_is_refused_as_what_it_is(heads: Path) -> None:
    assert "is CT, not MR" in refusal(heads / "dicom" / "ct_slicer_tiny")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    """Small sound files of every kind."""
    return seeds(tmp_path_factory.mktemp("sound"))[0]


@settings(max_examples=200, deadline=5000, derandomize=True, database=None)
@given(st.integers(0, 2**40))
def test_whatever_happens_to_a_file_it_is_a_sound_volume_or_one_line(sound: list[Seed], number: int) -> None:
    random = Random(number)
    one = random.choice(sound)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in one.files.items():
            (folder / file).write_bytes(damaged(one, sound, random) if file == one.victim else content)
        try:
            volume = read_mr_series(folder).volume if one.is_dicom else read_volume(folder / one.victim)
        except VolumeError as error:
            assert str(error).isprintable()
        else:
            assert unsound(volume) == ""
