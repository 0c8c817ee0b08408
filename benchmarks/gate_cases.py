"""Volumes a gate should let through and volumes it should refuse, each made of a head that it lets through.

Everything happens to arrays in canonical order, (k, j, i) to Superior, Posterior and Left as nearly as the volume's
axes allow, so that "the upper part" is one for every scanner. Headers stay as they are unless it is they that are
wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import phantom
from anatomy import TISSUES
from mr2ct.gate.coarse import nearest_axes
from mr2ct.grid import Grid
from mr2ct.head import Mask
from mr2ct.volume import Volume

Array = NDArray[np.float32]
Case = tuple[str, Volume]  # what was done, and what came of it

TURN_DEGREES = 10.0
BALLS = (("mouth", 15.0, 0.68, 0.2), ("mouth", 25.0, 0.68, 0.2), ("brain", 15.0, 0.3, 0.5))  # radius mm, and where
SNR = 3.0
# Signal of tissues in other sequences, in the units of tests/anatomy.py; chosen by their order, not measured.
T2 = {
    "skin": 700, "fat": 1300, "muscle": 500, "gland": 900, "mucosa": 1500, "cartilage": 700, "vessel": 300,
    "diploe": 900, "marrow": 900, "spongy": 800, "csf": 3000, "dura": 400, "white": 900, "grey": 1400, "nuclei": 1100,
    "stem": 950, "eye": 3000, "capsule": 2500,
}  # fmt: skip
PROTON_DENSITY = {
    "skin": 1400, "fat": 2200, "muscle": 1200, "csf": 2300, "white": 1900, "grey": 2200, "nuclei": 2100, "stem": 1900,
    "eye": 2300, "vessel": 500,
}  # fmt: skip
FLAIR = {**T2, "csf": 250, "eye": 300, "grey": 1700, "white": 1250, "nuclei": 1450, "stem": 1250, "fat": 2200}
BRAIN = ("white", "grey", "nuclei", "stem", "csf", "dura", "vessel")
CT_WINDOWS_HU = {"-600 to 1400 HU": (-600, 1400), "-160 to 240 HU": (-160, 240), "0 to 80 HU": (0, 80)}


def canonical(volume: Volume) -> Volume:
    """The same volume with its axes in the order of the patient's, each the same way."""
    axes = nearest_axes(volume.grid)
    order = [2 - axes[d][0] for d in (2, 1, 0)]
    voxels = np.transpose(volume.voxels, order)[tuple(slice(None, None, -1 if axes[d][1] else 1) for d in (2, 1, 0))]
    first = np.zeros(3)
    for axis, reversed_ in axes:
        first[axis] = volume.grid.size[axis] - 1 if reversed_ else 0
    signs = [-1 if reversed_ else 1 for _, reversed_ in axes]
    columns = np.stack([volume.grid.axes[:, axes[d][0]] * signs[d] for d in range(3)], axis=1)
    size, spacing = ([values[axes[d][0]] for d in range(3)] for values in (volume.grid.size, volume.grid.spacing))
    origin = volume.grid.points(first)
    grid = Grid(tuple(size), tuple(spacing), tuple(origin.tolist()), tuple(columns.ravel().tolist()))  # type: ignore[arg-type]
    return Volume(np.ascontiguousarray(voxels), grid)


def orders(volume: Volume) -> Iterator[Case]:
    """The same head, its voxels in the 48 orders they can have in a file."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield f"{order} {signs}", reordered(volume, order, signs)


def reordered(volume: Volume, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The voxels in another order, which the header tells of. order: the old array axis of each new one."""
    voxels = np.transpose(volume.voxels, order)[tuple(slice(None, None, sign) for sign in signs)]
    index = [2 - axis for axis in order][::-1]  # old index axis of i, j, k
    ways = signs[::-1]
    first, columns = np.zeros(3), []
    for axis, way in zip(index, ways, strict=True):
        first[axis] = volume.grid.size[axis] - 1 if way < 0 else 0
        columns.append(volume.grid.axes[:, axis] * way)
    size, spacing = ([values[axis] for axis in index] for values in (volume.grid.size, volume.grid.spacing))
    origin, axes = volume.grid.points(first), np.stack(columns, axis=1)
    grid = Grid(tuple(size), tuple(spacing), tuple(origin.tolist()), tuple(axes.ravel().tolist()))  # type: ignore[arg-type]
    return Volume(np.ascontiguousarray(voxels), grid)


def mild(volume: Volume, head: Mask) -> Iterator[Case]:
    """What scanners and people do: the model should see such heads. volume: canonical."""
    voxels, bright = volume.voxels.astype(np.float32), float(np.percentile(volume.voxels[head], 99.5))
    random = np.random.default_rng(0)
    yield "brighter by 7", _with(volume, voxels * 7)
    yield "noise of 2 %", _with(volume, _noisy(voxels, 0.02 * bright, random))
    k, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in voxels.shape)
    bias = 1 + 0.2 * (k[:, None, None] * 0.7 + j[None, :, None] * 0.5 + i[None, None, :] * 0.5)
    yield "coil bias of 20 %", _with(volume, voxels * bias)
    yield "right and left exchanged", _with(volume, voxels[:, :, ::-1])
    for name, turn in (("nodding", (1, 0, 0)), ("tilted", (0, 1, 0)), ("turned", (0, 0, 1))):
        yield f"{name} by {TURN_DEGREES:g} degrees", _turned(volume, tuple(TURN_DEGREES * t for t in turn))


def foreign_contrast(volume: Volume, head: Mask) -> Iterator[Case]:
    """T2-like: inside the head bright is dark. volume: any."""
    bright = float(np.percentile(volume.voxels[head], 99.5))
    inverted = np.where(head, np.clip(bright - volume.voxels.astype(np.float32), 0, None), volume.voxels)
    yield "inverted inside the head", _with(volume, inverted.astype(np.float32))


def wrong_header(volume: Volume) -> Iterator[Case]:
    """The 23 quarter turns by which a header can be wrong, and mirrored ones. volume: canonical."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(turn) > 0 and (order, signs) != ((0, 1, 2), (1, 1, 1)):
                name = {((0, 1, 2), (1, -1, -1)): "upside down", ((0, 1, 2), (-1, -1, 1)): "face to the back"}
                told = name.get((order, signs), f"turned, x y z are {_letters(order, signs)}")
                yield told, Volume(volume.voxels, _about_centre(volume.grid, turn))
    for axis, told in ((2, "top and bottom exchanged"), (1, "front and back exchanged")):
        mirror = np.eye(3)
        mirror[axis, axis] = -1
        yield told, Volume(volume.voxels, _about_centre(volume.grid, mirror))


def _letters(order: tuple[int, ...], signs: tuple[int, ...]) -> str:
    return " ".join(f"{'-' if s < 0 else ''}{'xyz'[a]}" for a, s in zip(order, signs, strict=True))


def cropped(volume: Volume, head: Mask) -> Iterator[Case]:
    """Part of the head is not there. volume: canonical; head: its mask."""
    ends = [
        (int(w.min()), int(w.max()) + 1) for w in (np.flatnonzero(head.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1)))
    ]
    (_, top), (front, back), (right, left) = ends
    mm = volume.grid.spacing[2]
    everything = slice(None)
    yield "upper 100 mm alone", _cut(volume, (slice(max(0, top - round(100 / mm)), None), everything, everything))
    yield "upper 60 mm missing", _cut(volume, (slice(None, top - round(60 / mm)), everything, everything))
    yield "left half missing", _cut(volume, (everything, everything, slice(None, (right + left) // 2)))
    yield "right half missing", _cut(volume, (everything, everything, slice((right + left) // 2, None)))
    third = (back - front) // 3
    yield "front third missing", _cut(volume, (everything, slice(front + third, None), everything))
    yield "back third missing", _cut(volume, (everything, slice(None, back - third), everything))
    filled = volume.voxels.copy()
    filled[:, :, (right + left) // 2 :] = 0
    yield "left half filled with zeros", _with(volume, filled)
    middle = tuple(slice((a + b) // 2 - round(40 / s), (a + b) // 2 + round(40 / s)) for (a, b), s in
                   zip(ends, volume.grid.spacing[::-1], strict=True))  # fmt: skip
    yield "a field of 80 mm", _cut(volume, middle)


def spoilt(volume: Volume, head: Mask) -> Iterator[Case]:
    """Blur, noise, metal, coarse voxels. volume: canonical; head: its mask."""
    voxels = volume.voxels.astype(np.float32)
    bright, middle = (float(np.percentile(volume.voxels[head], p)) for p in (99.5, 50))
    random = np.random.default_rng(1)
    mm = volume.grid.spacing[::-1]
    for sigma in (2, 3, 4):
        yield f"blurred, sigma {sigma} mm", _with(volume, ndimage.gaussian_filter(voxels, [sigma / m for m in mm]))
    yield f"SNR {SNR:g}", _with(volume, _noisy(voxels, middle / SNR, random))
    yield "nothing but noise", _with(volume, _noisy(np.zeros_like(voxels), bright / 10, random))
    yield "slices of 5 mm", _thick(volume, 5.0)
    for place, radius, down, forward in BALLS:
        ball = _with_ball(volume, voxels, head, radius, (down, forward))
        yield f"{2 * radius:g} mm without signal, {place}", _with(volume, ball)


def strangers() -> Iterator[Case]:
    """What is no head at all."""
    grid = phantom.grid_around((0, 0, 0), (128, 128, 128), (2.0, 2.0, 2.0))
    x, y, z = phantom.positions(grid)
    random = np.random.default_rng(2)
    ball = np.where(x * x + y * y + z * z < 90**2, np.float32(900), np.float32(0))
    yield "a ball of water", Volume(_noisy(ball, 12, random), grid)
    box = np.where((np.abs(x) < 70) & (np.abs(y) < 85) & (np.abs(z) < 90), np.float32(900), np.float32(0))
    yield "a box of water", Volume(_noisy(box, 12, random), grid)
    body = np.where((x / 75) ** 2 + (y / 60) ** 2 < 1, np.float32(700), np.float32(0))
    yield "a leg", Volume(_noisy(np.where((x / 15) ** 2 + (y / 15) ** 2 < 1, np.float32(300), body), 12, random), grid)


def drawn_sequences() -> Iterator[Case]:
    """The drawn head as other sequences have it, and without its skull."""
    for name, signal in (("T2", T2), ("proton density", PROTON_DENSITY), ("FLAIR", FLAIR)):
        yield f"drawn, {name}", drawn(signal)
    yield "drawn, brain alone", drawn({tissue: 0 for tissue in TISSUES if tissue not in BRAIN})


def drawn(signal: dict[str, int]) -> Volume:
    """The average adult with another signal of some tissues, noise and bias."""
    tissues = {
        name: t._replace(mr=signal.get(name, t.mr), grain=t.grain if signal.get(name, 1) else (0, 0))
        for name, t in TISSUES.items()
    }
    mr, _ = phantom.draw(phantom.paper_grid(), seed=0, tissues=tissues)
    return Volume(np.rint(mr.voxels).astype(np.int16), mr.grid)


def not_hu(ct: Volume) -> Iterator[Case]:
    """A CT whose values are not HU any more."""
    yield "HU + 1024", _with(ct, np.clip(ct.voxels.astype(np.int32) + 1024, 0, None).astype(np.int16))
    for name, (low, high) in CT_WINDOWS_HU.items():
        grey = np.clip((ct.voxels.astype(np.float32) - low) / (high - low), 0, 1) * 255
        yield f"8 bits of {name}", _with(ct, grey.astype(np.uint8))


def _with(volume: Volume, voxels: NDArray[Any]) -> Volume:
    return Volume(np.ascontiguousarray(voxels), volume.grid)


def _noisy(voxels: Array, sigma: float, random: np.random.Generator) -> Array:
    """Rician, as magnitudes are."""
    real = voxels + np.float32(sigma) * random.standard_normal(voxels.shape, np.float32)
    return np.hypot(real, np.float32(sigma) * random.standard_normal(voxels.shape, np.float32))


def _turned(volume: Volume, degrees: tuple[float, ...]) -> Volume:
    """The head turned about the volume's middle, and sampled anew on its grid."""
    mm = np.array(volume.grid.spacing[::-1])
    turn = phantom.oblique(*degrees)[::-1, ::-1]  # of z, y, x
    matrix = (turn * mm) / mm[:, None]
    middle = (np.array(volume.voxels.shape) - 1) / 2
    turned = ndimage.affine_transform(volume.voxels.astype(np.float32), matrix, middle - matrix @ middle, order=1)
    return _with(volume, turned)


def _about_centre(grid: Grid, turn: NDArray[np.float64]) -> Grid:
    axes = turn @ grid.axes
    origin = grid.centre - axes @ ((np.array(grid.size) - 1) / 2 * grid.spacing)
    return replace(grid, origin=tuple(origin.tolist()), direction=tuple(axes.ravel().tolist()))


def _cut(volume: Volume, part: tuple[slice, ...]) -> Volume:
    starts = [(s.start or 0) for s in part][::-1]
    voxels = volume.voxels[part]
    origin = volume.grid.points(np.array(starts, dtype=np.float64))
    k, j, i = voxels.shape
    return Volume(np.ascontiguousarray(voxels), replace(volume.grid, size=(i, j, k), origin=tuple(origin.tolist())))


def _thick(volume: Volume, mm: float) -> Volume:
    """Slices of so many mm, each the mean of thin ones."""
    count = max(1, round(mm / volume.grid.spacing[2]))
    slices = volume.voxels.shape[0] // count
    voxels = volume.voxels[: slices * count].astype(np.float32)
    means = voxels.reshape(slices, count, *volume.voxels.shape[1:]).mean(axis=1)
    x, y, z = volume.grid.spacing
    origin = volume.grid.points(np.array([0, 0, (count - 1) / 2]))
    grid = replace(
        volume.grid, size=(*volume.grid.size[:2], slices), spacing=(x, y, z * count), origin=tuple(origin.tolist())
    )
    return Volume(means, grid)


def _with_ball(volume: Volume, voxels: Array, head: Mask, radius: float, place: tuple[float, float]) -> Array:
    """No signal within a radius, mm. place: a part of 190 mm down from the vertex, and of the head's length."""
    down, forward = place
    levels, rows = np.flatnonzero(head.any(axis=(1, 2))), np.flatnonzero(head[head.shape[0] // 2 :].any(axis=(0, 2)))
    columns = np.flatnonzero(head.any(axis=(0, 1)))
    x, y, z = volume.grid.spacing
    centre = (
        max(levels[-1] - down * 190 / z, levels[0] + radius / z), rows[0] + forward * len(rows), columns.mean()
    )  # fmt: skip
    k, j, i = (np.arange(n, dtype=np.float32) - c for n, c in zip(voxels.shape, centre, strict=True))
    away = (k * z)[:, None, None] ** 2 + (j * y)[None, :, None] ** 2 + (i * x)[None, None, :] ** 2
    return np.where(away < radius**2, np.float32(0), voxels)
