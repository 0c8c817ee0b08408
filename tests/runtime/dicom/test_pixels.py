"""Stored numbers become the scanner's values, whatever the transfer syntax, bits, sign, rescale and padding."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from mr2ct.dicom.reading import read_mr_series
from mr2ct.grid import Grid
from runtime.dicom.drawn_series import NATIVE, enhanced, no_temporary_files, refusal, save, slices, write_series
from runtime.volumes import TILTED, grid_of, some_voxels

GRID = grid_of((24, 20, 3), (0.9, 1.1, 1.3), (-90.5, 81.25, -7.0), np.eye(3))
ENCODERS = {  # dcmtk's
    "JPEG Lossless, first order": ["dcmcjpeg", "+e1"],
    "JPEG Lossless": ["dcmcjpeg", "+el"],
    "JPEG-LS": ["dcmcjpls"],
    "RLE": ["dcmcrle"],
    "deflated": ["dcmconv", "+td"],
    "implicit": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "explicit": ["dcmconv", "+te"],
    "undefined lengths": ["dcmconv", "-e"],
}
JPEG_2000, HTJ2K = UID("1.2.840.10008.1.2.4.90"), UID("1.2.840.10008.1.2.4.201")
Voxels = np.ndarray[Any, np.dtype[Any]]


def bits(stored: int, signed: bool, grid: Grid = GRID) -> Voxels:
    """(k, j, i) numbers over the whole range of some bits, smooth enough to be worth a codec."""
    k, j, i = np.indices(grid.shape)
    wave = np.sin(i / 5) * np.cos(j / 4) + 0.3 * np.sin(k + j * i)
    unit = (wave - wave.min()) / (wave.max() - wave.min())
    low = -(1 << (stored - 1)) if signed else 0
    values: Voxels = (
        (low + unit * ((1 << stored) - 1)).round().astype(f"{'i' if signed else 'u'}{1 if stored <= 8 else 2}")
    )
    return values


def stored_as(stored: int) -> Callable[[Dataset, int], None]:
    """Says that only some lower bits count; the others are set, to show whether they do."""

    def change(header: Dataset, _k: int) -> None:
        header.BitsStored, header.HighBit = stored, stored - 1

    return change


def encoded(command: list[str], source: Path, target: Path) -> Path:
    """A folder of dcmtk's versions of the files of another."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}: apt-get install dcmtk")
    target.mkdir()
    for path in source.iterdir():
        subprocess.run([*command, str(path), str(target / path.name)], check=True, capture_output=True, timeout=20)
    return target


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_dcmtks_encodings_give_the_voxels_of_the_uncompressed_series(
    tmp_path: Path, encoder: str, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = bits(12, signed)
    plain = write_series(tmp_path / "plain", GRID, voxels, stored_as(12))
    folder = encoded(ENCODERS[encoder], plain, tmp_path / "encoded")
    assert np.array_equal(read_mr_series(plain).volume.voxels, voxels)
    with no_temporary_files(tmp_path / "temporary", monkeypatch):
        volume = read_mr_series(folder).volume
    assert volume.voxels.dtype == voxels.dtype
    assert np.array_equal(volume.voxels, voxels)
    assert volume.grid == read_mr_series(plain).volume.grid
    assert volume.remarks == ()


@pytest.mark.parametrize("stored", [8, 10, 16])
@pytest.mark.parametrize("encoder", ["JPEG Lossless, first order", "JPEG-LS", "RLE"])
def test_other_depths_are_decoded_too(tmp_path: Path, encoder: str, stored: int) -> None:
    voxels = bits(stored, signed=False)
    plain = write_series(tmp_path / "plain", GRID, voxels, stored_as(stored))
    volume = read_mr_series(encoded(ENCODERS[encoder], plain, tmp_path / "encoded")).volume
    assert np.array_equal(volume.voxels, voxels)


@pytest.mark.parametrize("encoder", ["JPEG Lossless, first order", "JPEG-LS", "RLE"])
def test_compressed_frames_of_an_enhanced_object_are_decoded_each_at_its_place(tmp_path: Path, encoder: str) -> None:
    voxels = bits(16, signed=False)
    save(enhanced(GRID, voxels, order=[2, 0, 1]), tmp_path / "plain" / "one.dcm")
    folder = encoded(ENCODERS[encoder], tmp_path / "plain", tmp_path / "encoded")
    assert np.array_equal(read_mr_series(folder).volume.voxels, voxels)


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("table", [True, False])
def test_jpeg_2000_is_decoded_from_any_number_of_pieces(tmp_path: Path, pieces: int, table: bool) -> None:
    voxels = bits(16, signed=False)

    def compress(header: Dataset, k: int) -> None:
        header.file_meta.TransferSyntaxUID = JPEG_2000
        path = tmp_path / f"{k}.j2k"
        Image.fromarray(voxels[k]).save(path, irreversible=False)
        header.PixelData = encapsulate([path.read_bytes()], fragments_per_frame=pieces, has_bot=table)
        header["PixelData"].VR = "OB"

    folder = write_series(tmp_path / "series", GRID, voxels, compress)
    assert np.array_equal(read_mr_series(folder).volume.voxels, voxels)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_jpeg_2000_of_itks_own_encoder_is_decoded(tmp_path: Path, signed: bool) -> None:
    voxels = bits(16, signed)

    def compress(header: Dataset, k: int) -> None:
        image = sitk.GetImageFromArray(voxels[k])
        path = tmp_path / f"{k}.dcm"
        sitk.WriteImage(image, str(path), useCompression=True, imageIO="GDCMImageIO")
        theirs = pydicom.dcmread(path)
        assert theirs.file_meta.TransferSyntaxUID == JPEG_2000
        header.file_meta.TransferSyntaxUID = JPEG_2000
        header.PixelData = theirs.PixelData
        header["PixelData"].VR = "OB"

    folder = write_series(tmp_path / "series", GRID, voxels, compress)
    assert np.array_equal(read_mr_series(folder).volume.voxels, voxels)


@pytest.mark.parametrize("command", [["dcmcjpeg", "+ee"], ["dcmcjpls", "+en"]], ids=["JPEG Extended", "JPEG-LS near"])
def test_lossy_compression_is_read_with_a_remark(tmp_path: Path, command: list[str]) -> None:
    voxels = bits(12, signed=False)
    plain = write_series(tmp_path / "plain", GRID, voxels, stored_as(12))
    volume = read_mr_series(encoded(command, plain, tmp_path / "encoded")).volume
    assert volume.remarks == ("3 of 3 files are compressed with losses",)
    assert np.abs(volume.voxels.astype(int) - voxels).max() < 200


@pytest.mark.parametrize(
    ("syntax", "cure"),
    [(HTJ2K, "pip install pylibjpeg pylibjpeg-openjpeg"), (UID("1.2.840.10008.1.2.4.100"), "uncompressed")],
)
def test_a_syntax_without_decoder_is_told_with_what_would_work(tmp_path: Path, syntax: UID, cure: str) -> None:
    def compress(header: Dataset, _k: int) -> None:
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = encapsulate([b"\xff\x4f\xff\x51" * 40])
        header["PixelData"].VR = "OB"

    line = refusal(write_series(tmp_path, GRID, bits(16, signed=False), compress))
    assert "no decoder" in line
    assert cure in line


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


def test_a_volume_beyond_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    def vast(header: Dataset, _k: int) -> None:
        header.Rows = header.Columns = 4096
        header.file_meta.TransferSyntaxUID = JPEG_2000
        header.PixelData = encapsulate([b"\0" * 10])
        header["PixelData"].VR = "OB"

    grid = grid_of((2, 2, 70), (1, 1, 1), (0, 0, 0), np.eye(3))
    assert "up to 2 are read" in refusal(write_series(tmp_path, grid, change=vast))
