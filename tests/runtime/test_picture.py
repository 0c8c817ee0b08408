"""A picture never swaps the patient's sides, and shows shapes as they are."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct import picture
from mr2ct.errors import OutputError, VolumeError
from mr2ct.grid import Grid
from mr2ct.picture import GAP, PIXEL_MM, check_picture_place, draw_planes, plane_grids, write_picture
from mr2ct.volume import Volume

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]

EDGES = {"SAGITTAL": "APSI", "CORONAL": "RLSI", "AXIAL": "RLAP"}  # what is at the left, right, top, bottom edge
LPS = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "I": (0, 0, -1), "S": (0, 0, 1)}

CENTRE = np.array([12.0, -30.0, 41.0])  # LPS mm, of the head; nowhere near the origin
HEAD_RADII = np.array([62.0, 84.0, 98.0])  # mm along x, y, z
BONE_HU, TISSUE_HU = 1000, 40


def _orientations() -> list[Array]:
    """The 48 ways of laying index axes along patient axes, column a the direction of index axis a."""
    return [
        np.eye(3)[:, list(order)] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]


def _turned(degrees: float) -> Array:
    """A rotation about an axis that is none of the patient's."""
    axis = np.array([0.5, -0.3, 0.8]) / np.linalg.norm([0.5, -0.3, 0.8])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.radians(degrees)
    turned: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turned


AXES = {
    **{f"axes {n}": axes for n, axes in enumerate(_orientations()) if n % 5 == 0},
    "oblique": _turned(23),
    "oblique, mirrored": _turned(-31) @ np.diag([1.0, 1.0, -1.0]),
}


def _grid(axes: Array, spacing: tuple[float, float, float] = (3.0, 2.5, 4.0)) -> Grid:
    """A grid of these axes that holds the head and 15 mm around it."""
    size = np.ceil(2 * (np.abs(axes.T) @ (HEAD_RADII + 15)) / spacing).astype(int)
    origin = CENTRE - axes @ ((size - 1) / 2 * spacing)
    numbers: list[Any] = [size.tolist(), origin.tolist(), axes.ravel().tolist()]
    return Grid(tuple(numbers[0]), spacing, tuple(numbers[1]), tuple(numbers[2]))


def _drawn(grid: Grid, inside: Callable[[Array], Mask]) -> Mask:
    """(k, j, i) bool: where `inside` holds, given mm from CENTRE, (..., 3) LPS."""
    k, j, i = np.indices(grid.shape)
    return inside(grid.points(np.stack([i, j, k], axis=-1)) - CENTRE)


def _head(mm: Array) -> Mask:
    return _ball(mm / HEAD_RADII, (0, 0, 0), 1)


def _ball(mm: Array, centre: tuple[float, float, float], radius: float) -> Mask:
    ball: Mask = np.linalg.norm(mm - centre, axis=-1) < radius
    return ball


def _volumes(grid: Grid, marked: Callable[[Array], Mask]) -> tuple[Volume, Volume, Mask]:
    """An MR and a CT of a head of soft tissue in which `marked` is bright and bone; its mask."""
    head, mark = _drawn(grid, _head), _drawn(grid, marked)
    mr = np.where(mark, 900, np.where(head, 400, 0)).astype(np.int16)
    ct = np.where(mark, BONE_HU, np.where(head, TISSUE_HU, -1000)).astype(np.int16)
    return Volume(mr, grid), Volume(ct, grid), head


def _panels(drawn: Picture, planes: dict[str, Grid]) -> dict[str, list[Picture]]:
    """By plane, the panels (MR, CT) cut from a picture."""
    height = next(iter(planes.values())).size[1]
    row_height = (drawn.shape[0] - 3 * GAP) // 2
    title = 7 * picture.TITLE_SCALE + 2 * picture.BORDER
    panels, left = {}, GAP
    for plane, grid in planes.items():
        tops = [GAP + title, 2 * GAP + row_height + title]
        panels[plane] = [drawn[top : top + height, left : left + grid.size[0]] for top in tops]
        left += grid.size[0] + GAP
    return panels


def _middle_of(mark: Mask) -> tuple[float, float]:
    """How far down and across a panel the marked pixels lie, from -1 to 1."""
    assert mark.any()
    down, across = (2 * at.mean() / (size - 1) - 1 for at, size in zip(np.nonzero(mark), mark.shape, strict=True))
    return float(down), float(across)


def _white(panel: Picture) -> Mask:
    """The marked pixels: brighter than tissue, and not the letters at the edges."""
    inner = panel.copy()
    edge = round(picture.MARGIN_MM / PIXEL_MM)
    for side in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:]):
        inner[side] = 0
    return inner > 150


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_sides_are_the_patients(axes: Array) -> None:
    """A thing to the patient's Left, back and top is seen on the right, the right or the bottom, and the top."""

    def marked(mm: Array) -> Mask:  # three rods, each along a patient axis and seen in the plane that it crosses
        x, y, z = np.moveaxis(np.abs(mm - (30, 40, 50)) < 8, -1, 0)
        rods: Mask = _head(mm) & ((y & z) | (x & z) | (x & y))
        return rods

    mr, ct, head = _volumes(_grid(axes), marked)
    panels = _panels(draw_planes(mr, ct, head), plane_grids(mr.grid, head))
    for modality in (0, 1):
        down, across = _middle_of(_white(panels["SAGITTAL"][modality]))
        assert across > 0.1 and down < -0.1, "Posterior is right, Superior is up"
        down, across = _middle_of(_white(panels["CORONAL"][modality]))
        assert across > 0.1 and down < -0.1, "the patient's Left is right, Superior is up"
        down, across = _middle_of(_white(panels["AXIAL"][modality]))
        assert across > 0.1 and down > 0.1, "the patient's Left is right, Posterior is down"


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_letters_name_the_sides(axes: Array) -> None:
    mr, ct, head = _volumes(_grid(axes), lambda mm: _ball(mm, (0, 0, 0), 5))
    planes = plane_grids(mr.grid, head)
    for plane, panels in _panels(draw_planes(mr, ct, head), planes).items():
        right, bottom = EDGES[plane][1], EDGES[plane][3]
        np.testing.assert_array_equal(planes[plane].axes[:, :2].T, [LPS[right], LPS[bottom]])
        for panel in panels:
            rows, columns = picture._text("L", picture.WHITE).shape
            down, across = round((panel.shape[0] - rows) / 2), round((panel.shape[1] - columns) / 2)
            found = [
                panel[down : down + rows, :columns],
                panel[down : down + rows, -columns:],
                panel[:rows, across : across + columns],
                panel[-rows:, across : across + columns],
            ]
            np.testing.assert_array_equal(found, [picture._text(letter, picture.WHITE) for letter in EDGES[plane]])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 6.0), (5.0, 1.5, 1.0), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("axes", [np.eye(3), _turned(23)], ids=["straight", "oblique"])
def test_a_sphere_is_round(axes: Array, spacing: tuple[float, float, float]) -> None:
    grid = _grid(axes, spacing)
    k, j, i = np.indices(grid.shape)
    radius = np.linalg.norm(grid.points(np.stack([i, j, k], axis=-1)) - CENTRE, axis=-1)
    ramp = Volume((2000 - 40 * radius).astype(np.float32), grid)  # linear: its level set is a sphere at any spacing
    planes = plane_grids(grid, radius < 60)
    for plane in planes.values():
        shown = picture._on_plane(ramp.image(), plane, outside=0) > 400  # radius 40 mm
        height, width = (np.ptp(at) + 1 for at in np.nonzero(shown))
        assert abs(height - width) <= 2, "a millimetre: two pixels"
        assert abs(width * PIXEL_MM - 80) <= 2
        assert _middle_of(shown) == pytest.approx((0, 0), abs=2 / min(shown.shape)), "a pixel"


def test_planes_cross_in_the_middle_of_the_head() -> None:
    """An ear on one side and a nose move the head's box, not the planes."""
    grid = _grid(np.eye(3), (2.0, 2.0, 2.0))
    head = _drawn(grid, _head) | _drawn(grid, lambda mm: _ball(mm, (62, 0, -30), 14))
    planes = plane_grids(grid, head)
    assert planes["SAGITTAL"].origin[0] == pytest.approx(CENTRE[0], abs=1)
    assert planes["CORONAL"].origin[1] == pytest.approx(CENTRE[1], abs=1)
    assert planes["AXIAL"].origin[2] == pytest.approx(CENTRE[2] + 98 - picture.AXIAL_BELOW_VERTEX_MM, abs=2)


def test_the_ct_shows_its_window() -> None:
    mr, ct, head = _volumes(_grid(np.eye(3)), lambda mm: _ball(mm, (0, 0, 20), 30))
    panel = _panels(draw_planes(mr, ct, head), plane_grids(mr.grid, head))["CORONAL"][1]
    low, high = picture.HU_WINDOW
    for hu in (BONE_HU, TISSUE_HU):
        assert round((hu - low) / (high - low) * 255) in panel
    assert panel[30, 30] == 0, "air"


def test_words_and_bar_are_there() -> None:
    mr, ct, head = _volumes(_grid(np.eye(3)), lambda mm: _ball(mm, (0, 0, 20), 30))
    drawn = draw_planes(mr, ct, head)
    height_mm = plane_grids(mr.grid, head)["AXIAL"].origin[2]
    assert drawn.dtype == np.uint8 and drawn.ndim == 2
    for text, grey, scale in (
        ("MR", picture.WHITE, picture.TITLE_SCALE),
        ("SYNTHETIC CT", picture.WHITE, picture.TITLE_SCALE),
        ("HU -600 .. 1400  LEVEL 400  WIDTH 2000", picture.DIM, picture.SCALE),
        (f"AXIAL S {height_mm:.0f} MM", picture.DIM, picture.SCALE),
        ("1400", picture.DIM, picture.SCALE),
    ):
        assert _holds(drawn, picture._text(text, grey, scale)), text
    assert not _holds(drawn, picture._text("SYNTHETIC MR", picture.WHITE, picture.TITLE_SCALE))


def _holds(drawn: Picture, patch: Picture) -> bool:
    """Whether a picture holds a patch, dot for dot."""
    middle = patch[patch.shape[0] // 2]
    windows = np.lib.stride_tricks.sliding_window_view(drawn, patch.shape)
    rows, columns = np.nonzero((windows[:, :, patch.shape[0] // 2, ::3] == middle[::3]).all(axis=-1))
    return any(np.array_equal(windows[row, column], patch) for row, column in zip(rows, columns, strict=True))


def test_every_character_has_its_own_glyph() -> None:
    characters = "".join(picture.GLYPHS)
    assert len(characters) == len(set(characters)) == len({picture._glyph(c).tobytes() for c in characters})
    for row, glyphs in enumerate(picture.GLYPHS):
        assert {len(line) for line in picture.FONT[7 * row : 7 * row + 7]} == {6 * len(glyphs) - 1}


@pytest.mark.parametrize("value", [0.0, -1e-5, 0.123456, 99.96, 512.4, -1024.0, 65535.0, 999999.9, -1.234e12])
def test_numbers_fit_beside_the_bar(value: float) -> None:
    assert picture._text(picture._number(value)).shape[1] <= picture.BAR_NUMBERS


def test_an_mr_without_contrast_and_a_tiny_head_are_drawn() -> None:
    grid = _grid(np.eye(3))
    head = _drawn(grid, lambda mm: _ball(mm, (0, 0, 0), 4))
    mr = Volume(head.astype(np.float64) * 7, grid)
    assert draw_planes(mr, Volume(np.full(grid.shape, -1000, np.int16), grid), head).any()


def test_a_ct_on_another_grid_is_drawn_in_its_place() -> None:
    def marked(mm: Array) -> Mask:
        return _ball(mm, (20, 10, 25), 30)

    mr, ct, head = _volumes(_grid(np.eye(3), (2.0, 2.0, 2.0)), marked)
    _, other, _ = _volumes(_grid(_turned(23), (2.0, 2.0, 2.0)), marked)
    planes = plane_grids(mr.grid, head)
    for plane in planes:
        there, here = (_middle_of(_white(_panels(draw_planes(mr, c, head), planes)[plane][1])) for c in (ct, other))
        assert there == pytest.approx(here, abs=0.01)


def test_an_empty_mask_is_told() -> None:
    mr, ct, head = _volumes(_grid(np.eye(3)), _head)
    with pytest.raises(VolumeError, match="empty"):
        draw_planes(mr, ct, np.zeros_like(head))


def test_drawing_is_quick() -> None:
    """The paper's matrix in under 0.3 s; three times that here, for a busy machine."""
    grid = Grid((288, 288, 183), (0.87, 0.87, 1.0), (90.0, -125.0, 125.0), (0, 0, -1, 1, 0, 0, 0, -1, 0))
    head = np.zeros(grid.shape, np.bool_)
    head[20:160, 30:260, 30:260] = True
    mr, ct = Volume(head.astype(np.float32), grid), Volume(head.astype(np.int16), grid)
    start = time.perf_counter()
    draw_planes(mr, ct, head)
    assert time.perf_counter() - start < 0.9


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.Png", "with space and \u00e9.png"])
def test_a_png_comes_back(tmp_path: Path, name: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (40, 70), dtype=np.uint8)
    write_picture(drawn, tmp_path / name, overwrite=False)
    back = sitk.ReadImage(str(tmp_path / name), imageIO="PNGImageIO")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), drawn)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt", ".png", "a.nii.gz"])
def test_another_suffix_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.png"):
        check_picture_place(tmp_path / name, overwrite=True)
    with pytest.raises(OutputError, match=r"\.png") as told:
        write_picture(np.zeros((4, 4), np.uint8), tmp_path / name, overwrite=True)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays_unless_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_picture(np.zeros((4, 4), np.uint8), path, overwrite=False)
    assert path.read_bytes() == b"mine"
    write_picture(np.zeros((4, 4), np.uint8), path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "no" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(OutputError):
            check_picture_place(path, overwrite=True)


@pytest.mark.parametrize("kept", [0, 100, None], ids=["nothing", "a part", "another picture"])
def test_a_write_that_failed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int | None) -> None:
    write = sitk.WriteImage

    def fail(image: sitk.Image, name: str, **how: Any) -> None:
        write(image if kept is not None else image + 1, name, **how)
        Path(name).write_bytes(Path(name).read_bytes()[:kept])

    monkeypatch.setattr(sitk, "WriteImage", fail)
    drawn = np.random.default_rng(0).integers(0, 256, (40, 70), dtype=np.uint8)
    with pytest.raises(OutputError, match="not written"):
        write_picture(drawn, tmp_path / "a.png", overwrite=False)
    assert not list(tmp_path.iterdir())
