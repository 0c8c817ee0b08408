"""A NRRD file is read where its header says, refused where it does not say, and written with the same header lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.grid import Grid
from mr2ct.nrrd import GEOMETRY_FIELDS, with_geometry_of
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from runtime.volumes import (
    GRIDS,
    NRRD,
    ORIENTATIONS,
    TILTED,
    apart,
    grid_of,
    put,
    quick,
    ras_affine,
    refusal,
    some_voxels,
)

PACKED = st.booleans()


def geometry_lines(path: Path) -> set[bytes]:
    """The lines of a NRRD header that place its voxels."""
    header = path.read_bytes().replace(b"\r", b"").split(b"\n\n")[0]
    return {line for line in header.split(b"\n") if line.split(b":")[0] in GEOMETRY_FIELDS}


@quick
@given(GRIDS, st.sampled_from(NRRD), PACKED)
def test_any_orientation_lands_where_its_header_and_itk_say(
    tmp_path: Path, grid: Grid, suffix: str, packed: bool
) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(grid), grid, packed=packed)
    volume = read_volume(path)
    assert apart(ras_affine(volume.grid), ras_affine(grid), grid.size) < 1e-9
    assert volume.grid == Grid.of(sitk.ReadImage(str(path)))
    assert np.array_equal(volume.voxels, some_voxels(grid))


@quick
@given(GRIDS, st.sampled_from(NRRD), st.sampled_from(NRRD), PACKED)
def test_a_ct_written_for_a_nrrd_lies_on_its_grid_to_the_last_bit(
    tmp_path: Path, grid: Grid, suffix: str, other_suffix: str, packed: bool
) -> None:
    source = put(tmp_path / f"mr{suffix}", some_voxels(grid), grid, packed=packed)
    target = tmp_path / f"ct{other_suffix}"
    mr = read_volume(source)
    ct = replace(mr, voxels=some_voxels(grid, "f4"))
    write_volume(ct, target, overwrite=True)
    assert geometry_lines(target) == geometry_lines(source)
    assert read_volume(target).grid == mr.grid
    assert np.array_equal(read_volume(target).voxels, ct.voxels)


@pytest.mark.parametrize("axes", range(48))
def test_each_of_the_48_orientations_survives_reading_and_writing(tmp_path: Path, axes: int) -> None:
    grid = grid_of((2, 3, 4), (0.87, 1.1, 0.3), (12.3, -4.56, 78.9), TILTED.axes @ ORIENTATIONS[axes])
    mr = read_volume(put(tmp_path / "mr.nrrd", some_voxels(grid), grid))
    write_volume(mr, tmp_path / "ct.nrrd")
    assert read_volume(tmp_path / "ct.nrrd").grid == mr.grid
    assert geometry_lines(tmp_path / "ct.nrrd") == geometry_lines(tmp_path / "mr.nrrd")


@quick
@given(GRIDS, GRIDS)
def test_a_volume_moved_to_another_grid_does_not_keep_the_old_header(tmp_path: Path, grid: Grid, other: Grid) -> None:
    mr = read_volume(put(tmp_path / "mr.nrrd", some_voxels(grid), grid))
    write_volume(replace(mr, grid=other, voxels=some_voxels(other)), tmp_path / "ct.nrrd", overwrite=True)
    assert apart(ras_affine(read_volume(tmp_path / "ct.nrrd").grid), ras_affine(other), other.size) < 1e-9


@quick
@given(GRIDS)
def test_a_volume_that_was_no_nrrd_lands_on_its_grid(tmp_path: Path, grid: Grid) -> None:
    write_volume(Volume(some_voxels(grid), grid), tmp_path / "ct.nhdr", overwrite=True)
    assert apart(ras_affine(read_volume(tmp_path / "ct.nhdr").grid), ras_affine(grid), grid.size) < 1e-9


@pytest.mark.parametrize(
    "space, to_lps",
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_a_header_in_another_patient_space_is_turned_into_lps_and_kept_on_writing(
    tmp_path: Path, space: str, to_lps: tuple[int, int, int]
) -> None:
    mr = read_volume(put(tmp_path / "mr.nrrd", some_voxels(TILTED), TILTED, space=space))
    expected = np.diag([*to_lps, 1.0]) @ ras_affine(TILTED)
    assert apart(ras_affine(mr.grid), expected, TILTED.size) < 1e-9
    write_volume(mr, tmp_path / "ct.nrrd")
    assert f"space: {space}".encode() in geometry_lines(tmp_path / "ct.nrrd")
    assert read_volume(tmp_path / "ct.nrrd").grid == mr.grid


@pytest.mark.parametrize("suffix", NRRD)
def test_a_header_with_windows_line_ends_is_read_and_carried_over(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED)
    header, blank, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes((header + blank).replace(b"\n", b"\r\n") + voxels)
    mr = read_volume(path)
    assert np.array_equal(mr.voxels, some_voxels(TILTED))
    write_volume(mr, tmp_path / f"ct{suffix}")
    assert read_volume(tmp_path / f"ct{suffix}").grid == mr.grid
    assert geometry_lines(tmp_path / f"ct{suffix}") == geometry_lines(path)
    assert b"\r" not in (tmp_path / f"ct{suffix}").read_bytes().split(b"\n\n")[0]


def test_damage_behind_a_header_with_windows_line_ends_is_found(tmp_path: Path) -> None:
    path = put(tmp_path / "mr.nrrd", some_voxels(TILTED), TILTED, packed=True)
    header, blank, voxels = path.read_bytes().partition(b"\n\n")
    for at in range(10, len(voxels)):  # behind gzip's own header
        broken = voxels[:at] + bytes([voxels[at] ^ 1]) + voxels[at + 1 :]
        path.write_bytes((header + blank).replace(b"\n", b"\r\n") + broken)
        assert "damaged" in refusal(path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_with_comments_and_key_value_pairs_is_read(tmp_path: Path, packed: bool) -> None:
    path = put(tmp_path / "mr.nrrd", some_voxels(TILTED), TILTED, packed=packed)
    content = path.read_bytes().replace(b"endian:", b"# " + b"x" * 2000 + b"\nnote:=" + b"y" * 2000 + b"\nendian:")
    path.write_bytes(content.replace(b"endian:", b"content: " + b"resample(mr)" * 200 + b"\nendian:"))
    assert np.array_equal(read_volume(path).voxels, some_voxels(TILTED))


def test_voxels_behind_lines_to_be_skipped_are_found(tmp_path: Path) -> None:
    path = put(tmp_path / "mr.nhdr", some_voxels(TILTED), TILTED, packed=True, line_skip="1")
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"a line\n" + raw.read_bytes())
    assert np.array_equal(read_volume(path).voxels, some_voxels(TILTED))


def test_voxels_in_several_files_are_put_together(tmp_path: Path) -> None:
    path = put(tmp_path / "mr.nhdr", some_voxels(TILTED), TILTED, data_file="slice%d.raw 0 2 1 2")
    for k, voxels in enumerate(some_voxels(TILTED)):
        (tmp_path / f"slice{k}.raw").write_bytes(voxels.tobytes())
    assert np.array_equal(read_volume(path).voxels, some_voxels(TILTED))


BAD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no space": ({"space": "", "space_directions": "", "space_origin": "", "spacings": "1 1 1"}, "no orientation"),
    "a space of three numbers": ({"space": "", "space_dimension": "3"}, "no orientation"),
    "the scanner's space": ({"space": "scanner-xyz"}, "no orientation"),
    "no directions": ({"space_directions": "", "spacings": "1 1 1"}, ""),
    "directions of nothing": ({"space_directions": "none none none"}, "space directions"),
    "a direction of nothing": ({"space_directions": "(1,0,0) none (0,0,1)"}, "space directions"),
    "directions of NaN": ({"space_directions": "(nan,nan,nan) (0,1,0) (0,0,1)"}, "space directions"),
    "a garbled direction": ({"space_directions": "(1x,0,0) (0,1,0) (0,0,1)"}, "space directions"),
    "no origin": ({"space_origin": ""}, "space origin"),
    "an origin of nothing": ({"space_origin": "none"}, "space origin"),
    "an origin of NaN": ({"space_origin": "(nan,nan,nan)"}, "space origin"),
    "a garbled origin": ({"space_origin": "(1x,0,0)"}, "space origin"),
    "half an origin": ({"space_origin": "(nan,1,2)"}, ""),
    "directions of zero": ({"space_directions": "(0,0,0) (0,1,0) (0,0,1)"}, "0 mm"),
    "sheared directions": ({"space_directions": "(1,0.1,0) (0,1,0) (0,0,1)"}, "right angles"),
    "a negative size": ({"sizes": "-5 4 3"}, ""),
    "one slice": ({"sizes": "5 12 1"}, "3D"),
    "two sizes": ({"sizes": "5 12"}, ""),
    "blocks": ({"type": "block"}, ""),
    "an unknown type": ({"type": "colour"}, ""),
    "an unknown encoding": ({"encoding": "zip"}, ""),
    "a data file that is not there": ({"data_file": "nothing.raw"}, ""),
    "a data file of no name": ({"data_file": "slice%s.raw 0 2 1 2"}, ""),
    "a line of a thousand letters": ({"x" * 1000: "y"}, "no field"),
    "a value of three thousand letters": ({"kinds": "x" * 3000}, "no field"),
}


@pytest.mark.parametrize("suffix", NRRD)
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_header_that_does_not_place_a_3d_volume_is_told_in_one_line(tmp_path: Path, name: str, suffix: str) -> None:
    fields, words = BAD_FIELDS[name]
    assert words in refusal(put(tmp_path / f"mr{suffix}", some_voxels(TILTED), TILTED, **fields))


def test_a_header_without_all_of_the_place_is_not_carried_over() -> None:
    written = b"NRRD0004\nspace: left-posterior-superior\nspace directions: (1,0,0)\nspace origin: (0,0,0)\n\nvoxels"
    assert with_geometry_of(b"NRRD0004\nspace: RAS\nspace origin: (1,2,3)", written) == written


def test_a_nrrd_file_of_other_bytes_is_called_no_nrrd_file(tmp_path: Path) -> None:
    (tmp_path / "mr.nrrd").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    assert "not a NRRD file" in refusal(tmp_path / "mr.nrrd")
