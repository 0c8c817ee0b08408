"""A brain inside a skull, drawn at random: folds, ventricles and water around it, of the young and of the old.

Not anatomy, but what an MR needs so that a network cannot take water for bone: a CT shows both apart, in a T1-weighted
MR both are dark. Between them lies the dura, a thin grey line, and the ventricles are where no bone ever is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SHRUNKEN_SHARE = 0.45  # of people; with more water around the brain and in its furrows, and larger ventricles
WIDEST_RIM_MM = 12
LENGTH_MM, HEIGHT_MM, WIDTH_MM = 175, 140, 140  # of the skull's inside that the numbers below belong to

# The middle line of the left lateral ventricle and its half width, mm from the middle of the skull's inside:
# to the left, to inferior, to posterior, half width. From the frontal horn over body, atrium and temporal horn.
BODY = ((10, 4, -48, 2.5), (11, -2, -38, 5), (11, -12, -18, 5), (14, -14, 2, 5), (24, -7, 24, 6.5), (26, 0, 46, 2.5))
TEMPORAL = ((24, -7, 24, 6), (33, 8, 19, 3.5), (36, 26, -4, 2.0))

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Brain:
    """Shares of what is inside the skull, (k, j, i) float32 in [0, 1]; dura, CSF, white and, the rest, grey matter."""

    dura: Array
    csf: Array
    white: Array


def ramp(values: Array, low: float, high: float) -> Array:
    """0 at low, 1 at high, linear between; low may be the greater."""
    share: Array = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return share


def field(random: np.random.Generator, shape: tuple[int, ...], mm: float, cell: int = 1) -> Array:
    """Gaussian noise of standard deviation 1, smooth over mm (sigma), on voxels of 1 mm; made on cells where coarse."""
    small = tuple(-(-size // cell) + 1 for size in shape)
    noise = ndimage.gaussian_filter(random.standard_normal(small, dtype=np.float32), mm / cell, mode="wrap")
    noise /= noise.std()
    if cell == 1:
        return noise[tuple(slice(size) for size in shape)]
    grown = ndimage.zoom(noise, cell, order=1, grid_mode=True, mode="nearest")
    return grown[tuple(slice(size) for size in shape)]


def drawn_brain(inside: Mask, random: np.random.Generator) -> Brain:
    """inside: (k, j, i) bool, sagittal voxels of 1 mm: what the skull surrounds. Dura is also all that lies outside."""
    shape = inside.shape
    if not inside.any():
        return Brain(*(np.zeros(shape, np.float32) for _ in range(3)))
    shrunken = float(random.uniform(0.3, 1)) if random.random() < SHRUNKEN_SHARE else float(random.uniform(0, 0.12))
    depth = ndimage.distance_transform_edt(inside).astype(np.float32)
    folds, fine = field(random, shape, float(random.uniform(2.8, 4))), field(random, shape, 2)
    across, down, back = _places(inside)

    # the dura and the falx
    dura = ramp(depth, float(random.uniform(0.8, 2.4)), float(random.uniform(0.2, 0.7)))
    cleft = ramp(depth, float(random.uniform(30, 50)), 25) * ramp(down, 10, -5)  # between the hemispheres, from above
    half = float(random.uniform(0.2, 1)) + shrunken * float(random.uniform(0.5, 3))
    fissure = ramp(np.abs(across + np.float32(0.8) * folds), half + 0.6, half - 0.6) * cleft
    falx = ramp(np.abs(across), 1.2, 0.5) * cleft * np.float32(random.uniform(0.3, 1))
    dura = np.maximum(dura, falx)

    # water between skull and brain, most where an old brain shrinks most: in front and above
    side = np.clip(np.maximum(-back / (LENGTH_MM / 2), -down / (HEIGHT_MM / 2)), 0, 1)
    rim_mm = np.float32(random.uniform(0.8, 3)) + np.float32(shrunken * random.uniform(4, 9)) * (0.25 + 0.75 * side)
    rim_mm = np.minimum(rim_mm * np.exp(np.float32(0.35) * field(random, shape, 18, 4)), WIDEST_RIM_MM)
    rim = ramp(rim_mm - depth - np.float32(1.2 + 1.5 * shrunken) * folds, -0.7, 0.7)
    if shrunken < 0.2:
        rim *= ramp(field(random, shape, 6, 2), -1.2, 0.2)  # in places a young brain touches the bone
    wide = float(random.uniform(0.05, 0.15)) + shrunken * float(random.uniform(0.05, 0.3))
    furrows = ramp(np.abs(folds), wide + 0.16, wide) * ramp(depth - rim_mm, float(random.uniform(14, 30)), 6)
    outer = np.maximum(np.maximum(rim, furrows), fissure)
    outer *= 1 - np.float32(random.uniform(0, 0.35)) * ramp(fine, 0.5, 2)  # vessels and threads in it

    inner = _ventricles(shape, (across, down, back), shrunken, random, folds) * np.float32(random.uniform(0.8, 1))
    csf = np.clip(np.maximum(outer, inner), 0, 1).astype(np.float32)
    white = _white(np.maximum(outer, dura), depth, fine, random)
    deep = ramp(field(random, shape, 7, 2), 1.3, 1.6)  # grey islands, as the nuclei are
    return Brain(dura, csf * (1 - dura), white * (1 - deep))


def _places(inside: Mask) -> tuple[Array, Array, Array]:
    """mm to the left of the plane between the hemispheres, to inferior and to posterior of the middle, scaled to a
    head of LENGTH_MM; each broadcasts to (k, j, i)."""
    columns = inside.sum(axis=0, dtype=np.float32)
    k = np.arange(inside.shape[0], dtype=np.float32)
    j, i = np.nonzero(columns > 0.6 * columns.max())
    middle = np.tensordot(k, inside[:, j, i], axes=1) / columns[j, i]
    plane, *_ = np.linalg.lstsq(np.stack([np.ones(len(j)), j, i], axis=1), middle, rcond=None)
    rows, places = np.nonzero(inside.any(axis=0))
    long = np.ptp(places) + 1
    down, back = np.ogrid[: inside.shape[1], : inside.shape[2]]
    across = k[:, None, None] - (plane[0] + plane[1] * down + plane[2] * back)[None].astype(np.float32)
    scale = np.float32(LENGTH_MM / long)
    top = np.float32(rows.min() + HEIGHT_MM / 2 / scale)  # from above: a volume may end within the skull
    centre = np.float32(places.min() + long / 2)
    return (
        across.astype(np.float32) * np.float32(WIDTH_MM / max(1, np.ptp(np.nonzero(inside.any(axis=(1, 2)))[0]))),
        ((down - top) * scale)[None].astype(np.float32),
        ((back - centre) * scale)[None].astype(np.float32),
    )


def _ventricles(
    shape: tuple[int, ...],
    places: tuple[Array, Array, Array],
    shrunken: float,
    random: np.random.Generator,
    folds: Array,
) -> Array:
    """Share of each voxel (k, j, i) that is a ventricle or a cistern."""
    size = float(np.exp(random.normal(0, 0.25))) * (1 + shrunken * float(random.uniform(0.2, 1)))
    across, down, back = places
    level = np.full(shape, -9, np.float32)  # mm within the wall
    lines = [BODY, TEMPORAL] if random.random() < 0.7 else [BODY]
    shift = random.normal(0, (2, 4, 4))
    for left in (-1, 1):
        own = size * float(np.exp(random.normal(0, 0.12)))
        for line in lines:
            points = np.array(line) + np.append(random.normal(0, 1.2, 3) + shift, 0)
            steps = np.linspace(0, len(points) - 1, 12 * len(points))
            for out, low, behind, half in np.stack(
                [np.interp(steps, range(len(points)), column) for column in points.T], axis=1
            ):
                wide = max(1.0, half * own)
                more = 0.3 * (wide - half)  # a larger one grows outwards and upwards, and not through the other
                _ball(level, places, (left * (max(out, wide + 1) + more), low - more, behind), wide)
    high, long = random.uniform(9, 14), random.uniform(10, 16)
    slit = float(random.uniform(0.6, 1.6)) * size
    third = (across / slit) ** 2 + ((down - 8) / high) ** 2 + ((back + 6) / long) ** 2
    level = np.maximum(level, np.float32(slit) * (1 - third))
    _ball(level, places, (0, 41 + shift[1], 30 + shift[2]), float(random.uniform(3, 6)) * min(size, 1.6))
    _ball(level, places, (0, 31 + shift[1], -14 + shift[2]), float(random.uniform(3, 10)))  # above the sella
    share: Array = ramp(level + np.float32(0.5) * folds, -0.6, 0.6)
    return share


def _ball(level: Array, places: tuple[Array, Array, Array], middle: tuple[float, float, float], radius: float) -> None:
    """Raise level, in place, to radius - distance near a point."""
    across, down, back = places
    reach = radius + 3
    rows = np.flatnonzero(np.abs(down[0, :, 0] - middle[1]) < reach)
    columns = np.flatnonzero(np.abs(back[0, 0] - middle[2]) < reach)
    if not (len(rows) and len(columns)):
        return
    r, c = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    sheets = np.flatnonzero((np.abs(across[:, r, c] - middle[0]) < reach).any(axis=(1, 2)))
    if not len(sheets):
        return
    s = slice(sheets[0], sheets[-1] + 1)
    squared = (across[s, r, c] - middle[0]) ** 2 + (down[:, r] - middle[1]) ** 2 + (back[:, :, c] - middle[2]) ** 2
    np.maximum(level[s, r, c], np.float32(radius) - np.sqrt(squared), out=level[s, r, c])


def _white(outside: Array, depth: Array, fine: Array, random: np.random.Generator) -> Array:
    """Below the cortex, which follows the water outside and in the furrows but not the ventricles."""
    thick = float(random.uniform(2, 4))
    from_outside = ndimage.distance_transform_edt(outside < 0.5).astype(np.float32)
    return ramp(np.minimum(from_outside, depth) + np.float32(0.7) * fine, thick - 0.6, thick + 0.6)
