"""Compressed series give the voxels of the uncompressed ones, or the line that says what would decode them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from mr2ct.dicom.reading import read_mr_series
from runtime.dicom.compressing import ENCODERS, GRID, bits, encoded, stored_as
from runtime.dicom.drawn_series import enhanced, no_temporary_files, refusal, save, write_series
from runtime.volumes import grid_of

JPEG_2000, HTJ2K = UID("1.2.840.10008.1.2.4.90"), UID("1.2.840.10008.1.2.4.201")


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


def test_a_volume_beyond_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    def vast(header: Dataset, _k: int) -> None:
        header.Rows = header.Columns = 4096
        header.file_meta.TransferSyntaxUID = JPEG_2000
        header.PixelData = encapsulate([b"\0" * 10])
        header["PixelData"].VR = "OB"

    grid = grid_of((2, 2, 70), (1, 1, 1), (0, 0, 0), np.eye(3))
    assert "up to 2 are read" in refusal(write_series(tmp_path, grid, change=vast))
