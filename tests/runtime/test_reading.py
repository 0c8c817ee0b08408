"""A file becomes the volume it holds, whatever its format, or one line that names it and says why not."""

from __future__ import annotations

import gzip
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.reading import SUFFIXES, read_volume, suffix_of
from mr2ct.writing import write_volume
from runtime.volumes import (
    GRIDS,
    METAIMAGE,
    NIFTI,
    REAL_TYPES,
    TILTED,
    apart,
    nifti,
    nifti_header,
    put,
    quick,
    ras_affine,
    refusal,
    some_voxels,
)

PACKED = (".mha", ".mhd", ".nrrd", ".nhdr")  # formats that may be compressed inside
INK = [b"0", b"9", b"-", b"nan", b"inf", b"1e400", b"999999999", b" ", b"\n", b"\r\n", b"\n\n", b"=", b":", b"(", b")"]
INK += [b"#", b"\0", b"\xff", b"%s", b"LIST", b"LOCAL", b"True", b"x" * 1500, b"\nNDims = 99\n", b"\nencoding: gzip\n"]
ODD_NUMBERS = (0, 1, -1, 2, 3, 4, 0.5, 1e-30, 1e30, -1e30, 3e38, np.nan, np.inf, 352, 32767, -32768)
NIFTI_FIELDS = "dim pixdim qform_code sform_code quatern_b quatern_d qoffset_x srow_x srow_z datatype vox_offset"
NIFTI_FIELDS += " scl_slope scl_inter xyzt_units intent_code"


def written_by_itk(path: Path, image: sitk.Image) -> Path:
    """Path, with image in it."""
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_every_format_and_real_type_reads_as_it_was_stored(tmp_path: Path, suffix: str, dtype: str) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED, dtype), TILTED)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.dtype(dtype)
    assert np.array_equal(volume.voxels, some_voxels(TILTED, dtype))
    assert apart(ras_affine(volume.grid), ras_affine(TILTED), TILTED.size) < 1e-4
    assert volume.grid == Grid.of(sitk.ReadImage(str(path)))
    assert volume.remarks == ()


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_voxels_compressed_inside_read_as_they_were_stored(tmp_path: Path, suffix: str, dtype: str) -> None:
    volume = read_volume(put(tmp_path / f"mr{suffix}", some_voxels(TILTED, dtype), TILTED, packed=True))
    assert volume.voxels.dtype == np.dtype(dtype)
    assert np.array_equal(volume.voxels, some_voxels(TILTED, dtype))


@quick
@given(GRIDS)
def test_one_volume_lies_in_one_place_in_all_formats(tmp_path: Path, grid: Grid) -> None:
    for number, suffix in enumerate(SUFFIXES):
        volume = read_volume(put(tmp_path / f"{number}{suffix}", some_voxels(grid), grid))
        assert apart(ras_affine(volume.grid), ras_affine(grid), grid.size) < 1e-4
        assert np.array_equal(volume.voxels, some_voxels(grid))


@quick
@given(GRIDS, st.sampled_from(METAIMAGE), st.sampled_from(METAIMAGE), st.booleans())
def test_a_ct_written_for_a_metaimage_lies_on_its_grid_to_the_last_bit(
    tmp_path: Path, grid: Grid, suffix: str, other_suffix: str, packed: bool
) -> None:
    source = put(tmp_path / f"mr{suffix}", some_voxels(grid), grid, packed=packed)
    target = tmp_path / f"ct{other_suffix}"
    mr = read_volume(source)
    assert mr.grid == grid == Grid.of(sitk.ReadImage(str(source)))
    ct = replace(mr, voxels=some_voxels(grid, "f4"))
    write_volume(ct, target, overwrite=True)
    assert read_volume(target).grid == grid
    assert np.array_equal(read_volume(target).voxels, ct.voxels)


@pytest.mark.parametrize("suffix", [s.upper() for s in SUFFIXES])
def test_a_suffix_in_capitals_is_read(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"mr{suffix.lower()}", some_voxels(TILTED), TILTED)
    assert np.array_equal(read_volume(path.rename(tmp_path / f"MR{suffix}")).voxels, some_voxels(TILTED))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_with_spaces_and_umlauts_is_read_as_path_or_text(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "Schädel von früher").mkdir()
    path = put(tmp_path / "Schädel von früher" / f"T1 größer.v2{suffix}", some_voxels(TILTED), TILTED)
    assert np.array_equal(read_volume(path).voxels, some_voxels(TILTED))
    assert np.array_equal(read_volume(str(path)).voxels, some_voxels(TILTED))


def test_the_suffix_of_a_name_is_its_longest_known_one() -> None:
    names = {"a.nii.gz": ".nii.gz", "a.b.nii": ".nii", "A.NII.GZ": ".nii.gz", "A.MHA": ".mha", "a.gz": "", "nii": ""}
    assert {name: suffix_of(Path(name)) for name in names} == names
    assert suffix_of(Path("a.Nii")) == ""


def test_the_reader_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = put(tmp_path / f"{suffix[1:3]}{suffix}", some_voxels(TILTED), TILTED)
        before = path.read_bytes()
        read_volume(path)
        assert path.read_bytes() == before


# what is no volume


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_is_told(tmp_path: Path, suffix: str) -> None:
    assert "no such file" in refusal(tmp_path / f"mr{suffix}")


def test_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "mr.nii").mkdir()
    assert "a folder" in refusal(tmp_path / "mr.nii")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["mr.dcm", "mr.nii.bz2", "mr.gz", "mr", "mr.Nii", "nii", ".png"])
def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(nifti(some_voxels(TILTED), ras_affine(TILTED)))
    assert ".nii.gz" in refusal(tmp_path / name)


def test_a_name_longer_than_the_file_system_allows_is_told(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path / f"{'x' * 300}.nii")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED)
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"Dear reader,\nthis is no volume.\n",
        b"x" * 70000,
        bytes(70000),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
        b"\x1f\x8b\x08\0",
        b"a = b\n" * 20000,
        b"NRRD0004\n",
        b"ObjectType = Image\nNDims = 3\n",
    ],
    ids=["empty", "NUL", "text", "one line", "NULs", "PNG", "gzip", "pairs", "NRRD only", "MetaImage only"],
)
def test_a_file_of_anything_else_is_told(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"mr{suffix}").write_bytes(content)
    refusal(tmp_path / f"mr{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "shape, words",
    [((4, 5), "3D"), ((1, 4, 5), "3D"), ((3, 1, 5), "3D"), ((2, 3, 4, 5), "3D")],
    ids=["2D", "one slice", "one row", "4D"],
)
def test_a_file_that_is_not_3d_is_told(tmp_path: Path, suffix: str, shape: tuple[int, ...], words: str) -> None:
    image = sitk.GetImageFromArray(np.zeros(shape, np.int16), isVector=False)
    assert words in refusal(written_by_itk(tmp_path / f"mr{suffix}", image))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colour_and_vector_voxels_are_told(tmp_path: Path, suffix: str) -> None:
    rgb = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    refusal(written_by_itk(tmp_path / f"mr{suffix}", rgb))
    assert "vector" in refusal(written_by_itk(tmp_path / "mr.nrrd", rgb))


@pytest.mark.parametrize("suffix", NIFTI)
def test_complex_voxels_are_told(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.complex64))
    assert "complex" in refusal(written_by_itk(tmp_path / f"mr{suffix}", image))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_finite_number_are_counted(tmp_path: Path, suffix: str, dtype: str, bad: float) -> None:
    voxels = some_voxels(TILTED, dtype)
    voxels[0, 1, 2] = voxels[2, 3, 4] = bad
    assert "2 voxels are NaN or infinite" in refusal(put(tmp_path / f"mr{suffix}", voxels, TILTED))


# what is damaged

GEOMETRY: dict[str, dict[str, dict[str, Any]]] = {
    "zero spacing": {
        "NIFTI": {"pixdim": [1, 1, 0, 1, 0, 0, 0, 0]},
        "MetaImage": {"ElementSpacing": "1 0 1"},
        "NRRD": {"space_directions": "(1,0,0) (0,0,0) (0,0,1)"},
    },
    "right angles": {
        "NIFTI": {"srow_x": [1, 0.1, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]},
        "MetaImage": {"TransformMatrix": "1 0 0 0.1 0.99 0 0 0 1"},
        "NRRD": {"space_directions": "(1,0,0) (0.1,0.99,0) (0,0,1)"},
    },
    "NaN in the origin": {
        "NIFTI": {"srow_x": [1, 0, 0, np.nan]},
        "MetaImage": {"Offset": "nan 0 0"},
        "NRRD": {"space_origin": "(nan,nan,nan)"},
    },
    "NaN in the axes": {
        "NIFTI": {"srow_x": [np.nan, 0, 0, 0]},
        "MetaImage": {"TransformMatrix": "nan 0 0 0 1 0 0 0 1"},
        "NRRD": {"space_directions": "(nan,nan,nan) (0,1,0) (0,0,1)"},
    },
    "a negative size": {
        "NIFTI": {"dim": [3, -5, 4, 3, 1, 1, 1, 1]},
        "MetaImage": {"DimSize": "-5 4 3"},
        "NRRD": {"sizes": "-5 4 3"},
    },
    "no place": {
        "NIFTI": {"codes": (0, 0)},
        "MetaImage": {"TransformMatrix": ""},
        "NRRD": {"space": "", "space_directions": "", "space_origin": ""},
    },
    "more voxels than there are": {
        "NIFTI": {"dim": [3, 5, 4, 30, 1, 1, 1, 1]},
        "MetaImage": {"DimSize": "5 4 30"},
        "NRRD": {"sizes": "5 4 30"},
    },
}


def format_of(suffix: str) -> str:
    return {".nii": "NIFTI", ".nii.gz": "NIFTI", ".mha": "MetaImage", ".mhd": "MetaImage"}.get(suffix, "NRRD")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", GEOMETRY)
def test_a_header_that_cannot_place_its_voxels_is_told(tmp_path: Path, suffix: str, damage: str) -> None:
    fields = GEOMETRY[damage][format_of(suffix)]
    message = refusal(put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, **fields))
    assert damage != "right angles" or "right angles" in message


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n", [1300, 30000])
def test_a_header_that_asks_for_absurdly_many_voxels_is_refused_at_once(
    tmp_path: Path, suffix: str, packed: bool, n: int
) -> None:
    claims: dict[str, dict[str, Any]] = {
        "NIFTI": {"dim": [3, n, n, n, 1, 1, 1, 1]},
        "MetaImage": {"DimSize": f"{n} {n} {n}", "packed": packed},
        "NRRD": {"sizes": f"{n} {n} {n}", "packed": packed},
    }
    fields = claims[format_of(suffix)]
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, **fields)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path)
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, -9, -2, -1])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, suffix: str, packed: bool, keep: float) -> None:
    fields = {"packed": packed} if suffix in PACKED else {}
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, **fields)
    part = path.with_suffix(".raw") if suffix in (".mhd", ".nhdr") else path
    content = part.read_bytes()
    part.write_bytes(content[: int(keep if keep < 0 else keep * len(content))])
    refusal(path)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_whose_voxel_file_is_missing_is_refused(tmp_path: Path, suffix: str, packed: bool) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, packed=packed)
    path.with_suffix(".raw").unlink()
    refusal(path)


@settings(quick, max_examples=100)
@given(st.sampled_from(PACKED), st.floats(0, 0.9999), st.integers(0, 7))
def test_a_flipped_bit_in_compressed_voxels_never_becomes_other_voxels(
    tmp_path: Path, suffix: str, place: float, bit: int
) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, packed=True)
    part = path.with_suffix(".raw") if suffix in (".mhd", ".nhdr") else path
    content = bytearray(part.read_bytes())
    start = content.index(b"LOCAL\n" if suffix == ".mha" else b"\n\n") if part == path else 0
    content[start + int(place * (len(content) - start))] ^= 1 << bit
    part.write_bytes(content)
    try:
        volume = read_volume(path)
    except VolumeError:
        refusal(path)
    else:  # in gzip's own date or name
        assert np.array_equal(volume.voxels, some_voxels(TILTED))


METAIMAGE_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no offset": ({"Offset": ""}, "Offset is missing"),
    "an offset of two numbers": ({"Offset": "1 2"}, "not 3 numbers"),
    "an offset with commas": ({"Offset": "1,2,3"}, "not 3 numbers"),
    "a garbled offset": ({"Offset": "1x 2 3"}, "not 3 numbers"),
    "an infinite offset": ({"Offset": "inf 2 3"}, "not 3 numbers"),
    "two offsets": ({"Position": "1 2 3"}, "Offset"),
    "a misspelt offset": ({"Offset": "", "Offsdt": "1 2 3"}, "Offset is missing"),
    "no spacing": ({"ElementSpacing": ""}, "ElementSpacing is missing"),
    "no axes": ({"TransformMatrix": ""}, "TransformMatrix is missing"),
    "axes of nothing": ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "right angles"),
    "no sizes": ({"DimSize": ""}, "DimSize is missing"),
    "no type": ({"ElementType": ""}, ""),
    "an unknown type": ({"ElementType": "MET_COLOUR"}, ""),
    "93 axes": ({"NDims": "93"}, "NDims"),
    "no number of axes": ({"NDims": "three"}, "NDims"),
    "a line that is no field": ({"Comment": "a\nline"}, "not a MetaImage file"),
    "a very long line": ({"Comment": "x" * 5000}, "not a MetaImage file"),
    "voxels in numbered files": ({"ElementDataFile": "slice%d.raw 0 2 1"}, "several files"),
    "voxels in a file of no name": ({"ElementDataFile": "%s%s%s%s"}, "several files"),
    "voxels in a file that is not there": ({"ElementDataFile": "nothing.raw"}, "missing"),
    "three channels": ({"ElementNumberOfChannels": "3"}, "vector"),
}


@pytest.mark.parametrize("suffix", METAIMAGE)
@pytest.mark.parametrize("name", METAIMAGE_FIELDS)
def test_a_metaimage_header_that_itk_would_misread_or_crash_on_is_told(tmp_path: Path, name: str, suffix: str) -> None:
    fields, words = METAIMAGE_FIELDS[name]
    assert words in refusal(put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, **fields))


@pytest.mark.parametrize(
    "old, new",
    [(b"Offset", b"Position"), (b"Offset", b"Origin"), (b" = ", b"="), (b" = ", b" : "), (b"\n", b"\r\n")],
)
def test_a_metaimage_header_in_other_words_is_read(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = put(tmp_path / "mr.mhd", some_voxels(TILTED), TILTED)
    path.write_bytes(path.read_bytes().replace(old, new))
    volume = read_volume(path)
    assert volume.grid == TILTED
    assert np.array_equal(volume.voxels, some_voxels(TILTED))


EDITS = st.lists(
    st.tuples(
        st.sampled_from(("flip", "set", "delete", "insert", "insert")),
        st.one_of(st.floats(0, 0.2), st.floats(0, 1)),
        st.integers(0, 255),
        st.sampled_from(INK),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    """Content with bytes flipped, set, deleted and inserted, each at a fraction of its length."""
    new = bytearray(content)
    for kind, place, number, ink in edits:
        at = min(int(place * len(new)), len(new) - 1)
        if at < 0:
            break
        if kind == "flip":
            new[at] ^= 1 << number % 8
        elif kind == "set":
            new[at] = number
        elif kind == "delete":
            del new[at : at + 1 + number % 12]
        else:
            new[at:at] = ink
    return bytes(new)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(quick, max_examples=200)
@given(EDITS, st.booleans(), st.sampled_from(("header", "packed", "voxels")))
def test_a_file_damaged_anyhow_is_a_sound_volume_or_one_line(
    tmp_path: Path, suffix: str, edits: list[tuple[str, float, int, bytes]], inside: bool, part: str
) -> None:
    fields = {"packed": part == "packed"} if suffix in PACKED else {}
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED, "f4"), TILTED, **fields)
    hurt = path.with_suffix(".raw") if suffix in (".mhd", ".nhdr") and part == "voxels" else path
    if suffix == ".nii.gz" and inside:
        path.write_bytes(gzip.compress(edited(gzip.decompress(path.read_bytes()), edits), 1))
    else:
        hurt.write_bytes(edited(hurt.read_bytes(), edits))
    try:
        volume = read_volume(path)
    except VolumeError as error:
        assert str(error).splitlines() == [str(error)]
        assert path.name in str(error)
    else:
        assert np.isfinite([*volume.grid.spacing, *volume.grid.origin, *volume.grid.direction]).all()
        assert np.isfinite(volume.voxels).all()
        assert min(volume.grid.size) > 1


@settings(quick, max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(NIFTI_FIELDS.split()), st.integers(0, 7), st.sampled_from(ODD_NUMBERS)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from("<>"),
)
def test_a_nifti_header_of_odd_numbers_is_a_sound_volume_or_one_line(
    tmp_path: Path, changes: list[tuple[str, int, float]], order: str
) -> None:
    header = nifti_header(some_voxels(TILTED), ras_affine(TILTED), order)
    for name, at, value in changes:
        field = header.structarr[name].reshape(-1)
        if field.dtype.kind in "iu":
            value = int(np.clip(np.nan_to_num(value), np.iinfo(field.dtype).min, np.iinfo(field.dtype).max))
        field[at % field.size] = value
    voxels = some_voxels(TILTED).astype(order + "i2").tobytes()
    (tmp_path / "mr.nii").write_bytes(header.binaryblock + bytes(4) + voxels)
    try:
        volume = read_volume(tmp_path / "mr.nii")
    except VolumeError as error:
        assert str(error).splitlines() == [str(error)]
    else:
        assert np.isfinite([*volume.grid.spacing, *volume.grid.origin, *volume.grid.direction]).all()
        assert np.isfinite(volume.voxels).all()
