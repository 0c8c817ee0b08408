"""Stored numbers become the scanner's values, whatever the transfer syntax, bits, sign, rescale and padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from mr2ct.dicom.reading import read_mr_series
from runtime.dicom.compressing import ENCODERS, GRID, bits, encoded
from runtime.dicom.drawn_series import NATIVE, enhanced, refusal, save, slices, write_series
from runtime.volumes import TILTED, grid_of, some_voxels


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: str(syntax.name))
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_integer_reads_as_it_was_stored(tmp_path: Path, syntax: UID, dtype: str) -> None:
    voxels = some_voxels(TILTED, dtype)
    volume = read_mr_series(write_series(tmp_path / "single", TILTED, voxels, syntax=syntax)).volume
    assert volume.voxels.dtype == voxels.dtype
    assert np.array_equal(volume.voxels, voxels)
    save(enhanced(TILTED, voxels, syntax), tmp_path / "enhanced" / "one.dcm")
    assert np.array_equal(read_mr_series(tmp_path / "enhanced").volume.voxels, voxels)


@pytest.mark.parametrize("count", [15, 16], ids=["odd", "even"])
def test_bytes_in_big_endian_words_are_put_in_order(tmp_path: Path, count: int) -> None:
    grid = grid_of((3, count // 3, 4), (1, 1, 1), (0, 0, 0), np.eye(3))
    voxels = some_voxels(grid, "u1")
    header = enhanced(grid, voxels, ExplicitVRBigEndian)
    data = np.frombuffer(voxels.tobytes() + b"\0" * (voxels.size % 2), "u2")
    header.PixelData = data.byteswap().tobytes()
    header["PixelData"].VR = "OW"
    save(header, tmp_path / "one.dcm")
    assert np.array_equal(read_mr_series(tmp_path).volume.voxels, voxels)


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12), (1, 0)])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_only_the_bits_stored_count(tmp_path: Path, stored: int, high: int, signed: bool) -> None:
    low = -(1 << (stored - 1)) if signed else 0
    values = (low + np.arange(60) % (1 << stored)).reshape(3, 4, 5)
    shift = high + 1 - stored
    mask = ((1 << stored) - 1) << shift
    cells = ((values << shift) & mask | (0xA5A5 & ~mask)).astype("u2")  # something else in the other bits

    def say(header: Dataset, _k: int) -> None:
        header.BitsStored, header.HighBit, header.PixelRepresentation = stored, high, int(signed)

    assert np.array_equal(read_mr_series(write_series(tmp_path, TILTED, cells, say)).volume.voxels, values)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    voxels = some_voxels(TILTED)
    rescale = [(1.5, -3.0), (0.25, 0.0), (1.0, 7.125)]

    def scale(header: Dataset, k: int) -> None:
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = *rescale[k], "US"
        block = header.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.001 * (k + 1))  # Philips' own scale slope, which is left alone

    expected = np.stack([slope * voxels[k] + intercept for k, (slope, intercept) in enumerate(rescale)])
    single = read_mr_series(write_series(tmp_path / "single", TILTED, voxels, scale)).volume.voxels
    save(enhanced(TILTED, voxels, rescale=rescale, order=[2, 0, 1]), tmp_path / "enhanced" / "one.dcm")
    for values in (single, read_mr_series(tmp_path / "enhanced").volume.voxels):
        assert values.dtype == np.float32
        assert np.array_equal(values, expected.astype(np.float32))


def test_an_empty_rescale_is_none(tmp_path: Path) -> None:
    def empty(header: Dataset, _k: int) -> None:
        header.RescaleSlope = header.RescaleIntercept = None

    assert read_mr_series(write_series(tmp_path, TILTED, change=empty)).volume.voxels.dtype == np.int16


@pytest.mark.parametrize(("padding", "becomes"), [(-2000, -7), (0, 0), (5, 5), (32767, -7)])
def test_padding_outside_the_range_becomes_the_lowest_value(tmp_path: Path, padding: int, becomes: int) -> None:
    voxels = (np.arange(60) - 7).reshape(3, 4, 5).astype("i2")
    voxels[:, 0, :] = padding

    def say(header: Dataset, _k: int) -> None:
        header.add_new("PixelPaddingValue", "SS", padding)

    volume = read_mr_series(write_series(tmp_path, TILTED, voxels, say)).volume
    voxels[:, 0, :] = becomes if becomes != -7 else voxels[:, 1:, :].min()
    assert np.array_equal(volume.voxels, voxels)
    assert bool(volume.remarks) == (becomes == -7)


def drop(keyword: str) -> Callable[[Dataset], None]:
    return lambda header: delattr(header, keyword)


def put(**values: Any) -> Callable[[Dataset], None]:
    return lambda header: [setattr(header, keyword, value) for keyword, value in values.items()] and None


REFUSED: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "inverted": (put(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    "colour": (put(PhotometricInterpretation="RGB", SamplesPerPixel=3), "in colour"),
    "samples": (put(SamplesPerPixel=2), "SamplesPerPixel 2"),
    "no interpretation": (drop("PhotometricInterpretation"), "PhotometricInterpretation none"),
    "no rows": (drop("Rows"), "no Rows"),
    "no sign": (drop("PixelRepresentation"), "no PixelRepresentation"),
    "more rows": (put(Rows=5), "bytes of pixels"),
    "fewer rows": (put(Rows=3), "bytes of pixels"),
    "endless rows": (put(Rows=65535, Columns=65535), "65535"),
    "bits": (put(BitsAllocated=12), "BitsAllocated 12"),
    "more bits stored": (put(BitsStored=17, HighBit=16), "BitsStored 17"),
    "high bit": (put(HighBit=3), "HighBit 3"),
    "no pixels": (drop("PixelData"), "no pixels"),
    "flat": (put(RescaleSlope="0", RescaleIntercept="0"), "RescaleSlope is 0"),
    "slope": (put(RescaleSlope="1e39", RescaleIntercept="0"), "RescaleSlope is not 1 sound numbers"),
    "frames": (put(NumberOfFrames=2), "2 frames in an MR Image"),
    "spacing": (put(PixelSpacing=["0", "1"]), "PixelSpacing 0 x 1 mm"),
    "no spacing": (drop("PixelSpacing"), "no PixelSpacing"),
    "no position": (drop("ImagePositionPatient"), "no ImagePositionPatient"),
    "no orientation": (drop("ImageOrientationPatient"), "no ImageOrientationPatient"),
    "two numbers": (put(ImagePositionPatient=["1", "2"]), "ImagePositionPatient is not 3 sound numbers"),
    "quadruped": (put(AnatomicalOrientationType="QUADRUPED"), "of an animal"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_image_of_one_number_a_voxel_is_refused(tmp_path: Path, why: str) -> None:
    spoil, words = REFUSED[why]
    for k, header in enumerate(slices()):
        spoil(header)
        save(header, tmp_path / f"{k}.dcm")
    line = refusal(tmp_path)
    assert words in line
    assert str(tmp_path) in line


@pytest.mark.parametrize(
    "text", [b"nan\\0\\0 ", b"inf\\0\\0 ", b"1_0\\0\\0 ", b"\xff\\0\\0 ", b"0x1\\0\\0 ", b"1e9999\\0\\0"]
)
def test_numbers_that_are_none_are_refused(tmp_path: Path, text: bytes) -> None:
    for k, header in enumerate(slices()):
        header.ImagePositionPatient = ["7", "8", "9"]
        path = save(header, tmp_path / f"{k}.dcm")
        content = path.read_bytes()
        start = content.index(b"\x20\x00\x32\x00DS")
        path.write_bytes(content[: start + 6] + len(text).to_bytes(2, "little") + text + content[start + 8 + 6 :])
    assert "ImagePositionPatient is not 3 sound numbers" in refusal(tmp_path)


def test_slices_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    wide = grid_of((7, 4, 3), TILTED.spacing, TILTED.origin, TILTED.axes)
    header = next(slices(wide, tail=".9"))
    save(header, tmp_path / "other.dcm")
    assert "images of different kinds" in refusal(tmp_path)


@pytest.mark.parametrize("syntax", [*NATIVE, "RLE"], ids=str)
@pytest.mark.parametrize("kind", ["single", "enhanced"])
def test_pixels_cut_short_are_told_with_the_file(tmp_path: Path, syntax: UID | str, kind: str) -> None:
    plain = tmp_path / "series"
    if kind == "single":
        write_series(plain, GRID, bits(16, False), syntax=ExplicitVRLittleEndian if syntax == "RLE" else UID(syntax))
    else:
        of = ExplicitVRLittleEndian if syntax == "RLE" else UID(syntax)
        save(enhanced(GRID, bits(16, False), of), plain / "one.dcm")
    folder = encoded(ENCODERS["RLE"], plain, tmp_path / "encoded") if syntax == "RLE" else plain
    victim = sorted(folder.iterdir())[0]
    content = victim.read_bytes()
    for cut in (1, 2, 40, 200):
        victim.write_bytes(content[:-cut])
        if syntax == NATIVE[3] and cut < 3:
            continue  # deflate's own padding
        line = refusal(folder)
        assert victim.name in line
        assert "cut short" in line or "damaged" in line or "bytes of pixels" in line


def test_memory_is_not_asked_for_before_the_file_is_long_enough(tmp_path: Path) -> None:
    header = enhanced(GRID)
    header.Rows = header.Columns = 4000
    save(header, tmp_path / "one.dcm")
    assert "cut short" in refusal(tmp_path)
