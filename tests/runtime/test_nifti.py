"""A NIfTI file is read as ITK and nibabel read it, and its place in the patient survives writing to the last bit."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.grid import Grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from runtime.volumes import (
    GRIDS,
    NIFTI,
    ORIENTATIONS,
    REAL_TYPES,
    TILTED,
    apart,
    grid_of,
    nifti,
    nifti_header,
    put,
    quick,
    ras_affine,
    refusal,
    some_voxels,
    turned,
)

BOTH, QFORM, SFORM = (1, 1), (1, 0), (0, 2)
MM_A_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by xyzt_units: unknown, m, mm, um
GRIDS_OF_A_HEADER = st.tuples(GRIDS, st.sampled_from((BOTH, QFORM, SFORM)), st.sampled_from("<>"))
NAMES = ("plain.nii", "packed.nii.gz")  # not of one stem: of mr.nii.gz ITK reads the voxels of a mr.nii beside it
load: Any = nib.load


def changed(grid: Grid, **fields: Any) -> bytes:
    """A .nii file on grid with fields of its header changed, by nifti1.h's names."""
    return nifti(some_voxels(grid), ras_affine(grid), **fields)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_real_type_of_either_byte_order_reads_as_it_was_stored(tmp_path: Path, dtype: str, order: str) -> None:
    voxels = some_voxels(TILTED, dtype)
    volume = read_volume(put(tmp_path / "mr.nii.gz", voxels, TILTED, order=order))
    assert volume.voxels.dtype == np.dtype(dtype)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, voxels)


@quick
@given(GRIDS_OF_A_HEADER, st.sampled_from(NAMES), st.sampled_from((0, 1, 2, 3)))
def test_any_orientation_lands_where_itk_and_nibabel_see_it(
    tmp_path: Path, header: tuple[Grid, tuple[int, int], str], name: str, units: int
) -> None:
    grid, codes, order = header
    path = put(tmp_path / name, some_voxels(grid), grid, codes=codes, order=order, xyzt_units=units)
    volume, itk, other = read_volume(path), sitk.ReadImage(str(path)), load(path)
    assert volume.grid == Grid.of(itk)
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(itk))
    assert np.array_equal(volume.voxels, np.asanyarray(other.dataobj).T)
    mm = MM_A_UNIT[units]
    affine = other.affine * [[mm], [mm], [mm], [1]]
    assert apart(ras_affine(volume.grid), affine, grid.size) < 1e-4 * mm


def test_a_packed_file_keeps_its_own_voxels_beside_a_plain_one_of_its_name(tmp_path: Path) -> None:
    other = replace(TILTED, origin=(1.0, 2.0, 3.0))
    put(tmp_path / "mr.nii", some_voxels(other) // 2, other)
    volume = read_volume(put(tmp_path / "mr.nii.gz", some_voxels(TILTED), TILTED))
    assert np.array_equal(volume.voxels, some_voxels(TILTED))
    assert apart(ras_affine(volume.grid), ras_affine(TILTED), TILTED.size) < 1e-4
    plain = read_volume(tmp_path / "mr.nii")
    assert np.array_equal(plain.voxels, some_voxels(TILTED) // 2)
    assert apart(ras_affine(plain.grid), ras_affine(other), TILTED.size) < 1e-4


@pytest.mark.parametrize("slope, inter", [(2.0, 0.0), (1.0, -1024.0), (0.123, 4.5), (-1.0, 0.0)])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_scaled_voxels_come_out_in_their_real_unit_like_nibabels(
    tmp_path: Path, dtype: str, slope: float, inter: float
) -> None:
    voxels = some_voxels(TILTED, dtype)
    path = put(tmp_path / "mr.nii", voxels, TILTED, scl_slope=slope, scl_inter=inter)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, voxels * slope + inter, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(volume.voxels, load(path).get_fdata().T, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(volume.voxels, sitk.GetArrayFromImage(sitk.ReadImage(str(path))), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("slope, inter", [(1.0, 0.0), (0.0, 0.0), (0.0, 7.0), (np.nan, 0.0)])
def test_a_slope_that_means_no_scaling_leaves_the_voxels_as_they_are(
    tmp_path: Path, slope: float, inter: float
) -> None:
    voxels = some_voxels(TILTED)
    volume = read_volume(put(tmp_path / "mr.nii", voxels, TILTED, scl_slope=slope, scl_inter=inter))
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, voxels)


def test_scaling_beyond_float32_is_told_as_infinite_voxels(tmp_path: Path) -> None:
    message = refusal(put(tmp_path / "mr.nii", some_voxels(TILTED, "i4"), TILTED, scl_slope=1e38, scl_inter=0))
    assert "infinite" in message


@pytest.mark.parametrize("suffix", NIFTI)
@pytest.mark.parametrize("length", [1, 100, 5000])
def test_extension_blocks_before_the_voxels_are_skipped(tmp_path: Path, suffix: str, length: int) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, extension=b"<note>" * length)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, some_voxels(TILTED))
    assert np.array_equal(volume.voxels, np.asanyarray(load(path).dataobj).T)


@quick
@given(GRIDS_OF_A_HEADER, st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from((0, 1, 2, 3)))
def test_a_ct_written_for_a_nifti_lies_on_its_grid_to_the_last_bit(
    tmp_path: Path, header: tuple[Grid, tuple[int, int], str], name: str, ct_name: str, units: int
) -> None:
    grid, codes, order = header
    source = put(tmp_path / name, some_voxels(grid), grid, codes=codes, order=order, xyzt_units=units)
    target = tmp_path / f"ct_{ct_name}"
    mr = read_volume(source)
    ct = replace(mr, voxels=some_voxels(grid, "f4"))
    write_volume(ct, target, overwrite=True)
    back = read_volume(target)
    assert back.grid == mr.grid
    assert np.array_equal(back.voxels, ct.voxels)
    assert Grid.of(sitk.ReadImage(str(target))) == Grid.of(sitk.ReadImage(str(source)))
    before, after = load(source), load(target)
    assert np.array_equal(before.affine, after.affine)
    for form in ("get_qform", "get_sform"):
        (affine, code), (other_affine, other_code) = (getattr(image, form)(coded=True) for image in (before, after))
        assert code == other_code
        assert (affine is None) == (other_affine is None)
        assert affine is None or np.array_equal(affine, other_affine)
    for field in ("pixdim", "quatern_b", "quatern_c", "quatern_d", "srow_x", "srow_y", "srow_z"):
        assert np.array_equal(before.header[field].ravel()[:4], after.header[field].ravel()[:4]), field
    assert before.header.get_xyzt_units()[0] == after.header.get_xyzt_units()[0]


@pytest.mark.parametrize("axes", range(48))
def test_each_of_the_48_orientations_survives_reading_and_writing(tmp_path: Path, axes: int) -> None:
    grid = grid_of((2, 3, 4), (0.87, 1.1, 0.3), (12.3, -4.56, 78.9), turned(0.2, -0.1, 0.3) @ ORIENTATIONS[axes])
    mr = read_volume(put(tmp_path / "mr.nii.gz", some_voxels(grid), grid))
    write_volume(mr, tmp_path / "ct.nii.gz")
    assert read_volume(tmp_path / "ct.nii.gz").grid == mr.grid
    assert np.array_equal(load(tmp_path / "ct.nii.gz").affine, load(tmp_path / "mr.nii.gz").affine)
    assert apart(ras_affine(mr.grid), ras_affine(grid), grid.size) < 1e-4


@quick
@given(GRIDS, GRIDS)
def test_a_volume_moved_to_another_grid_does_not_keep_the_old_header(tmp_path: Path, grid: Grid, other: Grid) -> None:
    mr = read_volume(put(tmp_path / "mr.nii", some_voxels(grid), grid))
    moved = replace(mr, grid=other, voxels=some_voxels(other))
    write_volume(moved, tmp_path / "ct.nii", overwrite=True)
    assert apart(load(tmp_path / "ct.nii").affine, ras_affine(other), other.size) < 1e-4
    assert apart(ras_affine(read_volume(tmp_path / "ct.nii").grid), ras_affine(other), other.size) < 1e-4


def test_a_volume_moved_by_one_voxel_does_not_keep_the_old_header(tmp_path: Path) -> None:
    mr = read_volume(put(tmp_path / "mr.nii", some_voxels(TILTED), TILTED))
    x, y, z = mr.grid.points(np.array([1.0, 0.0, 0.0])).tolist()
    moved = replace(mr, grid=replace(mr.grid, origin=(x, y, z)))
    write_volume(moved, tmp_path / "ct.nii")
    assert apart(load(tmp_path / "ct.nii").affine, ras_affine(moved.grid), TILTED.size) < 1e-4


@pytest.mark.parametrize("units, told", [(1, "7000.0 mm"), (2, "7.0 mm"), (3, "")])
def test_qform_and_sform_apart_are_both_kept_and_told_in_millimetres(tmp_path: Path, units: int, told: str) -> None:
    affine = ras_affine(TILTED)
    header = nifti_header(some_voxels(TILTED), affine, codes=(1, 2), xyzt_units=units)
    affine[:3, 3] += (0.0, 7.0, 0.0)
    header.set_sform(affine, 2)
    source = tmp_path / "mr.nii"
    source.write_bytes(header.binaryblock + b"\0\0\0\0" + some_voxels(TILTED).tobytes())
    mr = read_volume(source)
    assert len(mr.remarks) == bool(told)
    assert all(f"up to {told} apart" in remark for remark in mr.remarks)
    assert mr.grid == Grid.of(sitk.ReadImage(str(source)))
    write_volume(mr, tmp_path / "ct.nii")
    before, after = load(source), load(tmp_path / "ct.nii")
    assert np.array_equal(before.get_qform(), after.get_qform())
    assert np.array_equal(before.get_sform(), after.get_sform())
    assert read_volume(tmp_path / "ct.nii").grid == mr.grid


def test_a_voxel_spacing_that_contradicts_the_sform_is_told(tmp_path: Path) -> None:
    (tmp_path / "mr.nii").write_bytes(changed(TILTED, codes=SFORM, pixdim=[1, 1, 1, 1, 0, 0, 0, 0]))
    (remark,) = read_volume(tmp_path / "mr.nii").remarks
    assert "voxel spacing and sform" in remark


@pytest.mark.parametrize("codes", [BOTH, QFORM, SFORM])
def test_a_sound_header_has_no_remarks(tmp_path: Path, codes: tuple[int, int]) -> None:
    assert read_volume(put(tmp_path / "mr.nii", some_voxels(TILTED), TILTED, codes=codes)).remarks == ()


def test_one_time_point_of_a_4d_file_is_a_volume(tmp_path: Path) -> None:
    i, j, k = TILTED.size
    (tmp_path / "mr.nii").write_bytes(changed(TILTED, dim=[4, i, j, k, 1, 1, 1, 1]))
    volume = read_volume(tmp_path / "mr.nii")
    assert volume.grid.size == (i, j, k)
    assert np.array_equal(volume.voxels, some_voxels(TILTED))
    assert apart(ras_affine(volume.grid), ras_affine(TILTED), TILTED.size) < 1e-4
    write_volume(volume, tmp_path / "ct.nii")
    assert read_volume(tmp_path / "ct.nii").grid == volume.grid


BAD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no orientation codes": ({"codes": (0, 0)}, "no orientation"),
    "several time points": ({"dim": [4, 5, 2, 2, 3, 1, 1, 1]}, "3D"),
    "two axes": ({"dim": [2, 5, 12, 1, 1, 1, 1, 1]}, "3D"),
    "one slice": ({"dim": [3, 5, 12, 1, 1, 1, 1, 1]}, "3D"),
    "no axes": ({"dim": [0] * 8}, "3D"),
    "eight axes": ({"dim": [8, 5, 4, 3, 1, 1, 1, 1]}, ""),
    "a negative size": ({"dim": [3, -5, 4, 3, 1, 1, 1, 1]}, "3D"),
    "30000^3 voxels": ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "cut short"),
    "2-vector voxels": ({"dim": [5, 5, 4, 3, 1, 2, 1, 1]}, "3D"),
    "RGB": ({"datatype": 128, "bitpix": 24}, "RGB"),
    "RGBA": ({"datatype": 2304, "bitpix": 32}, "RGBA"),
    "complex": ({"datatype": 32, "bitpix": 64}, "complex"),
    "bits": ({"datatype": 1, "bitpix": 1}, "1-bit"),
    "long double": ({"datatype": 1536, "bitpix": 128}, "float128"),
    "an unknown type": ({"datatype": 77}, "datatype 77"),
    "zero spacing": ({"pixdim": [1, 1, 0, 1, 0, 0, 0, 0], "codes": QFORM}, "0 mm"),
    "infinite spacing": ({"pixdim": [1, 1, np.inf, 1, 0, 0, 0, 0], "codes": QFORM}, ""),
    "NaN in the sform": ({"srow_y": [0, np.nan, 0, 0]}, "sform holds NaN"),
    "NaN in the qform": ({"qoffset_x": np.nan, "codes": QFORM}, "qform holds NaN"),
    "infinity in the sform": ({"srow_y": [0, 1, 0, np.inf]}, "sform holds NaN or infinity"),
    "a sheared sform": ({"srow_x": [1, 0.1, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, "right angles"),
    "a sform of zeros": ({"srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4}, "right angles"),
    "voxels inside the header": ({"vox_offset": 100}, "vox_offset"),
    "voxels far away": ({"vox_offset": 1e30}, "vox_offset"),
    "voxels at NaN": ({"vox_offset": np.nan}, "vox_offset"),
    "voxels at infinity": ({"vox_offset": np.inf}, "vox_offset"),
    "the magic of a pair": ({"magic": b"ni1"}, ".hdr/.img"),
    "another magic": ({"magic": b"n+9"}, "not a NIfTI"),
    "another header size": ({"sizeof_hdr": 1234}, "not a NIfTI"),
}


@pytest.mark.parametrize("suffix", NIFTI)
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_header_that_is_no_3d_volume_of_numbers_is_told_in_one_line(tmp_path: Path, name: str, suffix: str) -> None:
    fields, words = BAD_FIELDS[name]
    content = changed(TILTED, **fields)
    (tmp_path / f"mr{suffix}").write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    assert words in refusal(tmp_path / f"mr{suffix}")


@pytest.mark.parametrize("axes", range(0, 48, 5))
def test_a_qform_that_mirrors_the_sform_is_refused(tmp_path: Path, axes: int) -> None:
    grid = grid_of(TILTED.size, TILTED.spacing, TILTED.origin, ORIENTATIONS[axes])
    header = nifti_header(some_voxels(grid), ras_affine(grid))
    header.set_sform(np.diag([-1.0, 1, 1, 1]) @ ras_affine(grid), 1)
    (tmp_path / "mr.nii").write_bytes(header.binaryblock + b"\0\0\0\0" + some_voxels(grid).tobytes())
    assert "mirror each other" in refusal(tmp_path / "mr.nii")


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_is_refused_by_its_name(tmp_path: Path, order: str) -> None:
    content = struct.pack(order + "i", 540) + b"n+2\0\r\n\x1a\n" + bytes(2000)
    (tmp_path / "mr.nii").write_bytes(content)
    assert "NIfTI-2" in refusal(tmp_path / "mr.nii")


def test_a_pair_of_hdr_and_img_is_refused(tmp_path: Path) -> None:
    image: Any = nib.Nifti1Pair
    image(some_voxels(TILTED).T, ras_affine(TILTED)).to_filename(tmp_path / "mr.img")
    for name in ("mr.hdr", "mr.img"):
        assert "no reader" in refusal(tmp_path / name)


@pytest.mark.parametrize("keep", [0, 1, 100, 347, 348, 351, 352, 353, -1, -20])
@pytest.mark.parametrize("suffix", NIFTI)
def test_a_file_whose_end_is_missing_is_refused(tmp_path: Path, suffix: str, keep: int) -> None:
    content = changed(TILTED)[:keep]
    (tmp_path / f"mr{suffix}").write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    assert "cut short" in refusal(tmp_path / f"mr{suffix}")


@quick
@given(st.floats(0, 0.9999), st.integers(0, 7))
def test_a_flipped_bit_of_a_packed_file_is_refused_or_harmless(tmp_path: Path, place: float, bit: int) -> None:
    content = bytearray(gzip.compress(changed(TILTED), 1))
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / "mr.nii.gz"
    path.write_bytes(content)
    try:
        volume = read_volume(path)
    except ValueError:
        refusal(path)
    else:  # in gzip's own date or name
        assert np.array_equal(volume.voxels, some_voxels(TILTED))
        assert apart(ras_affine(volume.grid), ras_affine(TILTED), TILTED.size) < 1e-4


@pytest.mark.parametrize("tail", [1, 9, 5000])
def test_a_damaged_packed_file_is_refused_though_bytes_follow_the_voxels(tmp_path: Path, tail: int) -> None:
    content = bytearray(gzip.compress(changed(TILTED) + bytes(tail), 1))
    content[-8] ^= 1  # of the checksum
    (tmp_path / "mr.nii.gz").write_bytes(content)
    assert "CRC" in refusal(tmp_path / "mr.nii.gz")


def test_a_plain_file_named_gz_and_a_packed_one_named_nii_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mr.nii.gz").write_bytes(changed(TILTED))
    (tmp_path / "mr.nii").write_bytes(gzip.compress(changed(TILTED), 0))
    assert "Not a gzipped file" in refusal(tmp_path / "mr.nii.gz")
    assert "not a NIfTI file" in refusal(tmp_path / "mr.nii")


@quick
@given(GRIDS)
def test_a_volume_that_was_no_nifti_lands_within_a_ten_thousandth_of_a_millimetre(tmp_path: Path, grid: Grid) -> None:
    write_volume(Volume(some_voxels(grid), grid), tmp_path / "ct.nii", overwrite=True)
    assert apart(load(tmp_path / "ct.nii").affine, ras_affine(grid), grid.size) < 1e-4
    assert apart(ras_affine(read_volume(tmp_path / "ct.nii").grid), ras_affine(grid), grid.size) < 1e-4


def test_a_written_nifti_names_its_orientation_its_unit_and_no_scaling(tmp_path: Path) -> None:
    write_volume(Volume(some_voxels(TILTED), TILTED), tmp_path / "ct.nii.gz")
    header = load(tmp_path / "ct.nii.gz").header
    assert int(header["qform_code"]) > 0
    assert int(header["sform_code"]) > 0
    assert header.get_xyzt_units()[0] == "mm"
    assert header.get_slope_inter() in ((None, None), (1.0, 0.0))
