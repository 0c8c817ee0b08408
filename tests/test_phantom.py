"""The drawn head is where it says it is and made of what it says, however the grid lies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import phantom
from anatomy import LABELS, TISSUES, Point, Tissue
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from phantom import LEFT_MARKER, SAGITTAL, Head, draw, draw_labels, grid_around, oblique, smooth

STRAIGHT = Head(asymmetry_mm=0)  # everything exactly where the tables put it
COARSE = grid_around((0, 0, 0), (73, 100, 100), (2.5, 2.5, 2.5))
ORIENTATIONS = phantom.orientations()


def resample(volume: Volume, onto: Grid, outside: float) -> np.ndarray:
    """float32 (k, j, i): a volume linearly interpolated onto another grid."""
    like = onto.image(np.zeros(onto.shape, np.uint8))
    image = sitk.Resample(volume.image(), like, sitk.Transform(), sitk.sitkLinear, outside, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(image)


def at(volume: Volume, point: Point) -> float:
    """The voxel nearest to an LPS point (mm)."""
    grid = volume.grid
    i, j, k = np.rint((np.array(point) - grid.origin) @ grid.axes / grid.spacing).astype(int)
    return float(volume.voxels[k, j, i])


@pytest.mark.parametrize(
    ("tissue", "point"),
    [
        ("air", (0, -120, 60)),
        ("air", (30, -53, -20)),  # maxillary sinus
        ("air", (-30, -53, -20)),
        ("air", (0, -4, -125)),  # windpipe
        ("air", (65, 19, -8)),  # ear canal
        ("csf", (8, -6, 42)),  # lateral ventricle
        ("nuclei", (-12, 12, 26)),  # thalamus
        ("white", (0, 5, 48)),  # corpus callosum
        ("stem", (0, 15, 0)),  # pons
        ("bone", (35, 12, -5)),  # petrous bone
        ("bone", (-35, 12, -5)),
        ("spongy", (0, 25, -91)),  # C4
        ("marrow", (22, -64, -87)),  # lower jaw
        ("tooth", (21, -65, -50)),
        ("eye", (31, -71, 3)),
        ("capsule", LEFT_MARKER),
    ],
)
def test_known_points_have_the_tissue_of_the_table(tissue: str, point: Point) -> None:
    grid = grid_around(point, (3, 3, 3), (1, 1, 1))
    mr, ct = draw(grid, STRAIGHT)
    mr_grain, ct_grain = TISSUES[tissue].grain
    assert at(mr, point) == pytest.approx(TISSUES[tissue].mr, abs=3.5 * mr_grain + 1)
    assert at(ct, point) == pytest.approx(TISSUES[tissue].hu, abs=3.5 * ct_grain + 1)
    assert LABELS[draw_labels(grid, STRAIGHT)[1, 1, 1]] == tissue


def test_bone_is_as_dark_as_air_in_the_mr_and_bright_in_the_ct() -> None:
    mr, ct = draw(COARSE)
    labels = draw_labels(COARSE)
    bone, air, white = (labels == LABELS.index(name) for name in ("bone", "air", "white"))
    assert mr.voxels.dtype == np.float32
    assert ct.voxels.dtype == np.int16
    assert np.median(mr.voxels[air]) == 0
    assert np.median(ct.voxels[air]) == -1000
    assert np.median(mr.voxels[bone]) < 0.25 * np.median(mr.voxels[white])
    assert np.median(ct.voxels[bone]) > 900
    assert mr.voxels.min() >= 0
    assert 2500 < mr.voxels.max() < 3500
    assert ct.voxels.min() >= -1024
    assert 1500 < ct.voxels.max() <= 3071


def test_head_has_the_size_of_a_head_and_its_neck_leaves_the_volume_below() -> None:
    ct = draw(COARSE)[1].voxels
    k, j, i = np.nonzero(ct > -500)
    low, high = COARSE.points(np.array([[f(n) for n in (i, j, k)] for f in (np.min, np.max)]))
    width, length, _ = high - low
    assert 150 < width < 168
    assert 200 < length < 218
    assert 108 < high[2] < 118
    assert low[2] == COARSE.points(np.zeros(3))[2]
    assert np.abs((low + high)[:2] / 2).max() < 5
    assert (ct[[0, -1]] > -500).any(axis=(1, 2)).tolist() == [True, False]


def test_paper_grid_is_sagittal_and_holds_the_head() -> None:
    grid = phantom.paper_grid()
    assert grid.size == (288, 288, 183)
    assert grid.spacing == (0.87, 0.87, 1.0)
    assert np.linalg.det(grid.axes) == pytest.approx(1)
    assert grid.axes.T.tolist() == [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]
    assert grid.centre == pytest.approx(0, abs=1e-9)


def test_orientations_and_obliques_are_directions() -> None:
    assert len({tuple(axes.ravel()) for axes in ORIENTATIONS}) == 48
    for axes in [*ORIENTATIONS, oblique(12, -8, 17)]:
        assert axes @ axes.T == pytest.approx(np.eye(3))
    assert sum(np.linalg.det(axes) > 0 for axes in ORIENTATIONS) == 24
    assert oblique(0, 0, 90) @ [1, 0, 0] == pytest.approx(np.array([0, 1, 0]))


@pytest.mark.parametrize("axes", [*ORIENTATIONS[::5], oblique(12, -8, 17), oblique(25, z=-20) @ np.array(SAGITTAL)])
def test_marker_is_on_the_left_only(axes: np.ndarray) -> None:
    x, y, z = LEFT_MARKER
    for side in (1, -1):
        grid = grid_around((side * x, y, z), (15, 23, 19), (1.5, 1.0, 1.2), axes)
        mr, ct = draw(grid)
        assert (at(ct, (side * x, y, z)) == 120) == (at(mr, (side * x, y, z)) == 3200) == (side > 0)
        sphere = (draw_labels(grid) == LABELS.index("capsule")).sum() * 1.5 * 1.0 * 1.2  # mm3
        assert sphere == (pytest.approx(4 / 3 * np.pi * 9**3, rel=0.05) if side > 0 else 0)


def test_two_grids_show_the_same_head() -> None:
    onto = grid_around((20, -20, 0), (40, 70, 60), (1.0, 1.0, 1.0), SAGITTAL)
    across = grid_around((20, -20, 0), (110, 120, 90), (0.9, 1.0, 1.1), oblique(20, 10, -30) @ ORIENTATIONS[11])
    for drawn, again, scale, outside in zip(draw(onto), draw(across), (2600, 2250), (0, -1000), strict=True):
        error = np.abs(resample(again, onto, outside) - drawn.voxels) / scale
        assert error.mean() < 0.02
        assert np.percentile(error, 95) < 0.12


@pytest.mark.parametrize("axes", [ORIENTATIONS[5], oblique(20, 10, -30)])
def test_smooth_head_hardly_changes_under_interpolation(axes: np.ndarray) -> None:
    drawn = smooth(grid_around((0, 0, 0), (70, 90, 90), (2.0, 2.0, 2.0), SAGITTAL))
    again = smooth(grid_around((5, 0, 0), (130, 130, 130), (2.4, 2.1, 2.6), axes))
    assert drawn.voxels.dtype == np.float32
    assert 900 < drawn.voxels.max() < 1000
    assert np.abs(resample(again, drawn.grid, 0) - drawn.voxels).max() < 0.005 * 1000


def test_smooth_head_is_a_lopsided_head() -> None:
    voxels = smooth(COARSE).voxels
    assert voxels.min() >= 0
    assert max(np.abs(np.take(voxels, (0, -1), axis)).max() for axis in range(3)) < 5
    inside = draw(COARSE)[1].voxels[36:76] > -500  # above the neck
    assert np.median(voxels[36:76][inside]) > 200
    for axis in range(3):
        assert np.abs(voxels - np.flip(voxels, axis)).max() > 200


def test_a_seed_repeats_and_another_differs() -> None:
    grid = grid_around((0, 0, 65), (40, 40, 30), (4.0, 4.0, 4.0))
    plain, again, one, one_again, two = (draw(grid, seed=seed) for seed in (None, None, 1, 1, 2))
    for a, b, c, d, e in zip(plain, again, one, one_again, two, strict=True):
        assert np.array_equal(a.voxels, b.voxels)
        assert np.array_equal(c.voxels, d.voxels)
        assert not np.array_equal(a.voxels, c.voxels)
        assert not np.array_equal(c.voxels, e.voxels)
    noise = plain[0].voxels[-1], one[0].voxels[-1]  # the last slice is air
    assert noise[0].max() == 0
    assert noise[1].std() == pytest.approx(35 * np.sqrt(2 - np.pi / 2), rel=0.1)


@pytest.mark.parametrize(
    ("tissues", "less", "more"),
    [
        (["bone", "diploe"], Head(skull_mm=5), Head(skull_mm=9)),
        (["fat"], Head(scalp_mm=4), Head(scalp_mm=8)),
        (["fat"], Head(fat_mm=3), Head(fat_mm=8)),
        (["csf"], Head(ventricles=0.8), Head(ventricles=1.8)),
        (["csf"], Head(sulcus_mm=0.6), Head(sulcus_mm=2.5)),
        (["air"], Head(sinuses=0.5), Head(sinuses=1.1)),
        (["white"], Head(size=(0.9, 0.9, 0.9)), Head()),
        (["tooth"], Head(teeth=3), Head()),
        (["capsule"], Head(marker_mm=0), Head(marker_mm=4)),
    ],
)
def test_more_of_a_parameter_is_more_of_its_tissue(tissues: list[str], less: Head, more: Head) -> None:
    grid = grid_around((0, 0, 10), (36, 45, 44), (5.0, 5.0, 5.0))
    numbers = [LABELS.index(tissue) for tissue in tissues]
    few, many = (np.isin(draw_labels(grid, head), numbers).sum() for head in (less, more))
    assert many > 1.01 * few


def test_people_differ_and_jaws_open() -> None:
    grid = grid_around((0, -60, -80), (30, 30, 45), (2.0, 2.0, 2.0))
    someone, other, open_mouthed = (draw_labels(grid, head) for head in (Head(), Head(person=1), Head(jaw_mm=10)))
    assert 0.02 < (someone != other).mean() < 0.4
    teeth = [np.nonzero(labels == LABELS.index("tooth"))[0].min() * 2.0 for labels in (someone, open_mouthed)]
    assert 5 < teeth[0] - teeth[1] < 15


def test_a_warp_shows_the_head_that_is_elsewhere() -> None:
    shift = (4.0, -3.0, 7.0)
    here, there = (grid_around((x, -50 + y, -30 + z), (40, 30, 30), (2.0, 2.0, 2.0)) for x, y, z in ((0, 0, 0), shift))

    class Moved:
        def on(self, grid: Grid) -> Callable[[slice], list[phantom.Array]]:
            return lambda ks: [np.full_like(c, s) for c, s in zip(phantom.positions(grid, ks), shift, strict=True)]

    for warped, moved in zip(draw(here, warp=Moved()), draw(there), strict=True):
        assert np.abs(warped.voxels - moved.voxels.astype(np.float32)).max() < 2  # rounding of the fields, at an edge
    assert not np.array_equal(draw(here)[1].voxels, draw(there)[1].voxels)


def test_tissues_can_be_another_persons() -> None:
    grid = grid_around((35, 12, -5), (3, 3, 3), (1, 1, 1))
    dense = {**TISSUES, "bone": Tissue(40, 1400)}
    mr, ct = draw(grid, STRAIGHT, tissues=dense)
    assert at(mr, (35, 12, -5)) == pytest.approx(40, abs=180)
    assert at(ct, (35, 12, -5)) == pytest.approx(1400, abs=12)


def test_a_grid_beside_the_head_is_air() -> None:
    mr, ct = draw(grid_around((0, 300, 0), (5, 1, 3), (1, 1, 1)))
    assert mr.voxels.max() == 0
    assert (ct.voxels == -1000).all()


def test_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    grid = grid_around((0, 0, 0), (30, 40, 20), (6.0, 6.0, 8.0), SAGITTAL)
    monkeypatch.setattr(phantom, "paper_grid", lambda: grid)
    mr, ct = tmp_path / "mr.nii.gz", tmp_path / "ct.nii.gz"
    monkeypatch.setattr(sys, "argv", ["phantom.py", str(mr), "--ct", str(ct), "--seed", "1"])
    phantom.main()
    assert capsys.readouterr().out.split() == [str(mr), str(ct)]
    for path, drawn in zip((mr, ct), draw(grid, seed=1), strict=True):
        image = sitk.ReadImage(str(path))
        assert image.GetPixelID() == sitk.sitkInt16
        assert image.GetSize() == grid.size
        assert np.abs(sitk.GetArrayFromImage(image) - drawn.voxels).max() <= 0.5
