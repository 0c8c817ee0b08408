"""One picture to judge a synthetic CT by: three planes of the MR over the same three of the CT, as viewers show them.

Radiological convention: coronal and axial are seen from the front and from the feet, the patient's Right on the left of
the picture; sagittal is seen from the patient's Left, Anterior on the left of the picture. Superior is up. The planes
lie along the patient's axes, not the voxels', and a millimetre is as long across as down whatever the voxels are.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import OutputError, VolumeError
from mr2ct.grid import Grid
from mr2ct.model_grid import head_box
from mr2ct.volume import Volume
from mr2ct.writing import refuse_existing, whole_or_not_at_all

HU_WINDOW = (-600.0, 1400.0)  # level 400, width 2000: fat and brain differ still, the two tables of the skull already
MR_PERCENTILES = (1.0, 99.5)  # of the head's voxels; a few bright vessels do not darken the rest
EVERY = 8  # voxels; the percentiles move by half a grey on four real heads and take 12 ms instead of 60

PIXEL_MM = 0.5  # half a usual voxel, so that interpolation shows no steps
MARGIN_MM = 12.0  # around the head: room for the letters
LEAST_PANEL_MM = 140.0  # a small head gets a wider margin: room for the words below
AXIAL_BELOW_VERTEX_MM = 75.0  # ventricles and the widest skull; half-way down a head that is shorter than twice this

PLANES = {"SAGITTAL": "PI", "CORONAL": "LI", "AXIAL": "LP"}  # the sides that a plane's columns and rows go to
TOWARDS = {"L": (1.0, 0.0, 0.0), "P": (0.0, 1.0, 0.0), "I": (0.0, 0.0, -1.0)}  # LPS
OPPOSITE = {"L": "R", "P": "A", "I": "S"}

GAP = 20  # pixels between panels
BAR, BAR_NUMBERS = 14, 118  # pixels: width of a bar of greys, and of the numbers beside it: "-1.23E+06"
WHITE, DIM = 255, 170  # sides and titles; the words below
TITLE_SCALE, SCALE, BORDER = 3, 2, 5  # pixels to a dot of FONT, and of black around a text

GLYPHS = ("ACDEGHILMNOPRSTUVW", "XY0123456789-+. ")
FONT = (  # the two rows of GLYPHS drawn, 5 x 7 dots a glyph
    ".###. .###. ####. ##### .###. #...# .###. #.... #...# #...# .###. ####. ####. .#### ##### #...# #...# #...#",
    "#...# #...# #...# #.... #...# #...# ..#.. #.... ##.## #...# #...# #...# #...# #.... ..#.. #...# #...# #...#",
    "#...# #.... #...# #.... #.... #...# ..#.. #.... #.#.# ##..# #...# #...# #...# #.... ..#.. #...# #...# #...#",
    "#...# #.... #...# ####. #.### ##### ..#.. #.... #.#.# #.#.# #...# ####. ####. .###. ..#.. #...# #...# #.#.#",
    "##### #.... #...# #.... #...# #...# ..#.. #.... #...# #..## #...# #.... #.#.. ....# ..#.. #...# #...# #.#.#",
    "#...# #...# #...# #.... #...# #...# ..#.. #.... #...# #...# #...# #.... #..#. ....# ..#.. #...# .#.#. #.#.#",
    "#...# .###. ####. ##### .#### #...# .###. ##### #...# #...# .###. #.... #...# ####. ..#.. .###. ..#.. .#.#.",
    "#...# #...# .###. ..#.. .###. ##### ...#. ##### ..##. ##### .###. .###. ..... ..... ..... .....",
    "#...# #...# #...# .##.. #...# ...#. ..##. #.... .#... ....# #...# #...# ..... ..#.. ..... .....",
    ".#.#. #...# #..## ..#.. ....# ..#.. .#.#. ####. #.... ...#. #...# #...# ..... ..#.. ..... .....",
    "..#.. .#.#. #.#.# ..#.. ...#. ...#. #..#. ....# ####. ..#.. .###. .#### ##### ##### ..... .....",
    ".#.#. ..#.. ##..# ..#.. ..#.. ....# ##### ....# #...# .#... #...# ....# ..... ..#.. ..... .....",
    "#...# ..#.. #...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ...#. ..... ..#.. .##.. .....",
    "#...# ..#.. .###. .###. ##### .###. ...#. .###. .###. .#... .###. .##.. ..... ..... .##.. .....",
)

Picture = NDArray[np.uint8]
Point = NDArray[np.float64]


def draw_planes(mr: Volume, ct: Volume, head: NDArray[np.bool_]) -> Picture:
    """Three planes of the MR over the same three of the CT: (rows, columns) uint8, white on black.

    mr: scanner units, windowed by MR_PERCENTILES.  ct: HU, windowed by HU_WINDOW; may lie on another grid.
    head: (k, j, i), where the head is in the MR. Raises VolumeError when that is nowhere.
    """
    if not head.any():
        raise VolumeError("the head mask is empty; there is nothing to draw")
    planes = plane_grids(mr.grid, head)
    low, high = np.percentile(mr.voxels[head][::EVERY], MR_PERCENTILES).tolist()
    mr_row = _row("MR", "SIGNAL", mr.image(), planes, (low, high))
    ct_row = _row("SYNTHETIC CT", "HU", ct.image(), planes, HU_WINDOW)
    return np.pad(np.vstack([mr_row, np.zeros((GAP, mr_row.shape[1]), np.uint8), ct_row]), GAP)


def plane_grids(grid: Grid, head: NDArray[np.bool_]) -> dict[str, Grid]:
    """The lattice of each plane's pixels, LPS mm, one slice each: index i runs right, j down. All are equally high.

    They cross in the middle of the head as the axial plane shows it; nose and ears are not in that, so the sagittal
    plane is the mid-sagittal one. head: (k, j, i) on the grid, not empty.
    """
    low, high = head_box(grid, head)
    middle = (low + high) / 2
    half = np.maximum((high - low) / 2 + MARGIN_MM, LEAST_PANEL_MM / 2)
    half[1:] = half[1:].max()
    crossing = np.array([middle[0], middle[1], max(middle[2], high[2] - AXIAL_BELOW_VERTEX_MM)])
    axial = _plane_grid(PLANES["AXIAL"], middle, half, crossing)
    rows, columns = np.nonzero(_on_plane(grid.image(head.view(np.uint8)), axial, 0) > 0.5)
    if rows.size:
        crossing = axial.points(np.array([columns.min() + columns.max(), rows.min() + rows.max(), 0]) / 2)
    return {plane: _plane_grid(sides, middle, half, crossing) for plane, sides in PLANES.items()}


def check_picture_place(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when write_picture could not write path."""
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: no writer for this kind of picture; known: .png")
    refuse_existing(path, overwrite=overwrite)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot write there: Permission denied")


def write_picture(picture: Picture, path: Path, *, overwrite: bool) -> None:
    """Write a picture, (rows, columns) uint8, as PNG. Raises OutputError; the place is then as it was before."""
    check_picture_place(path, overwrite=overwrite)
    with whole_or_not_at_all(path, overwrite=overwrite) as partial:
        try:
            sitk.WriteImage(sitk.GetImageFromArray(picture), str(partial), imageIO="PNGImageIO")
            written = sitk.GetArrayFromImage(sitk.ReadImage(str(partial), imageIO="PNGImageIO"))
            whole = np.array_equal(written, picture)  # ITK's writers do not report every failed write
        except RuntimeError:
            whole = False
        if not whole:
            raise OutputError(f"{path}: not written: the disk is full or the place is gone")


def _plane_grid(sides: str, middle: Point, half: Point, crossing: Point) -> Grid:
    """A plane through crossing, columns and rows towards the sides, reaching half to each side of middle; LPS mm."""
    across, down = np.array(TOWARDS[sides[0]]), np.array(TOWARDS[sides[1]])
    normal = np.cross(across, down)
    columns, rows = (int(np.ceil(2 * half @ np.abs(axis) / PIXEL_MM)) for axis in (across, down))
    first = np.where(normal == 0, middle, crossing) - PIXEL_MM * ((columns - 1) / 2 * across + (rows - 1) / 2 * down)
    direction = np.column_stack([across, down, normal]).ravel()
    return Grid((columns, rows, 1), (PIXEL_MM,) * 3, tuple(first.tolist()), tuple(direction.tolist()))


def _on_plane(image: sitk.Image, plane: Grid, outside: float) -> NDArray[np.float32]:
    """An image's values, linearly interpolated, on a plane: (rows, columns) float32. Beyond the image: outside."""
    reference = plane.image(np.zeros(plane.shape, np.uint8))
    resampled = sitk.Resample(image, reference, defaultPixelValue=outside, outputPixelType=sitk.sitkFloat32)
    values: NDArray[np.float32] = sitk.GetArrayFromImage(resampled)[0]
    return values


def _row(title: str, unit: str, image: sitk.Image, planes: dict[str, Grid], window: tuple[float, float]) -> Picture:
    """The planes of one image and the bar of its greys, under a title and over the numbers of the window."""
    low, high = window
    tiles = []
    for plane, grid in planes.items():
        panel = _grey(_on_plane(image, grid, outside=low), window)
        _letter(panel, *PLANES[plane])
        tiles.append(np.vstack([panel, _line(_text(f"{plane} {_position(grid)}"), panel.shape[1])]))
    tiles.append(_bar(len(tiles[0]), grid.size[1], window))
    body = np.hstack([np.pad(tile, ((0, 0), (0, GAP))) for tile in tiles])
    words = f"{unit} {_number(low)} .. {_number(high)}  LEVEL {_number((low + high) / 2)}  WIDTH {_number(high - low)}"
    return np.vstack([_line(_text(title, WHITE, TITLE_SCALE), body.shape[1]), body, _line(_text(words), body.shape[1])])


def _grey(values: NDArray[np.float32], window: tuple[float, float]) -> Picture:
    """Values as greys: black up to the window's low, white from its high."""
    low, high = window
    share = (values - low) / (high - low) if high > low else values > low
    greys: Picture = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return greys


def _letter(panel: Picture, right: str, bottom: str) -> None:
    """Write at each edge of a panel which side of the patient it shows."""
    _put(_text(right, WHITE), panel, 0.5, 1.0)
    _put(_text(OPPOSITE[right], WHITE), panel, 0.5, 0.0)
    _put(_text(bottom, WHITE), panel, 1.0, 0.5)
    _put(_text(OPPOSITE[bottom], WHITE), panel, 0.0, 0.5)


def _bar(height: int, rows: int, window: tuple[float, float]) -> Picture:
    """The greys of a window in this many rows, its high at the top, and the number at either end."""
    bar = np.zeros((height, BAR + BAR_NUMBERS), np.uint8)
    bar[:rows, :BAR] = np.linspace(255, 0, rows)[:, np.newaxis]
    for value, down in zip(window, (1.0, 0.0), strict=True):
        _put(_text(_number(value)), bar[:rows, BAR:], down, 0.0)
    return bar


def _number(value: float) -> str:
    """At most nine characters; whole from a hundred up, as HU and most MR are."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _position(plane: Grid) -> str:
    """Where a plane lies along its normal: "L 3 MM" is 3 mm to the Left of the LPS origin."""
    axis = int(np.argmax(np.abs(plane.axes[:, 2])))
    mm = plane.origin[axis]
    return f"{('RL', 'AP', 'IS')[axis][mm > 0]} {abs(mm):.0f} MM"


def _line(words: Picture, width: int) -> Picture:
    """Words at the left of a black strip of this width."""
    return np.pad(words, ((0, 0), (0, width - words.shape[1])))


def _put(patch: Picture, onto: Picture, down: float, across: float) -> None:
    """Lay a patch onto a picture; of the room it leaves, these shares (0 to 1) lie above and to the left of it."""
    row, column = (round(share * (n - m)) for share, n, m in zip((down, across), onto.shape, patch.shape, strict=True))
    onto[row : row + patch.shape[0], column : column + patch.shape[1]] = patch


def _text(text: str, grey: int = DIM, scale: int = SCALE) -> Picture:
    """Text as pixels: (7 scale + 2 BORDER, 6 scale a character + 2 BORDER) uint8, grey on black."""
    dots = np.hstack([_glyph(character) for character in text.upper()]) * np.uint8(grey)
    return np.pad(dots.repeat(scale, axis=0).repeat(scale, axis=1), BORDER)


def _glyph(character: str) -> NDArray[np.bool_]:
    """(7, 6) bool: the dots of a character, and an empty column."""
    block = next(n for n, glyphs in enumerate(GLYPHS) if character in glyphs)
    start = 6 * GLYPHS[block].index(character)
    rows = FONT[7 * block : 7 * block + 7]
    return np.array([[dot == "#" for dot in row[start : start + 5] + "."] for row in rows])
