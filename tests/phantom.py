"""Draws the head: an analytic head as a T1-like MR and as a CT, on any grid.

    python tests/phantom.py OUT.nii.gz [--ct CT.nii.gz] [--seed N]

The anatomy is a function of LPS millimetres (x to the patient's Left, y Posterior, z Superior; the origin lies in the
middle of the head), so the same head can be drawn in any orientation, oblique too. It is painted in order: a later part
covers an earlier one, with an edge about two voxels soft. Arrays are (k, j, i), as in every volume.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from anatomy import (
    BONE,
    BRAIN,
    CAVITY,
    FOSSAE,
    HOLLOW,
    LABELS,
    ORBIT,
    ROOFS,
    SKIN,
    SOFT,
    TEETH,
    TISSUES,
    Part,
    Point,
    Tissue,
)
from mr2ct.grid import Grid
from mr2ct.volume import Volume

Array = NDArray[np.float32]
Window = tuple[slice, slice, slice]  # k, j, i

LEFT_MARKER: Point = (38.0, 34.0, 50.0)  # LPS mm: a capsule in the left half of the head; the right half has none
EDGE_MM = 1.6  # a border goes from outside to inside over this
SLAB_VOXELS = 1_000_000  # drawn at a time, in whole slices: small enough for the cache, large enough for Python
ALL: Window = (slice(None), slice(None), slice(None))
AXIAL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # columns are the LPS directions of i, j, k: left, posterior, superior
SAGITTAL = ((0, 0, -1), (1, 0, 0), (0, -1, 0))  # posterior, inferior, right


@dataclass(frozen=True)
class Head:
    """One person in one scan; the defaults are an average adult on the paper's scanner."""

    size: Point = (1.0, 1.0, 1.0)  # of everything, along x, y, z, relative to the average adult
    skull_mm: float = 7.0  # thickness of the skull's roof; its base is half as thick
    scalp_mm: float = 6.0  # skin and fat over the skull
    fat_mm: float = 5.0  # fat under the skin of face and neck
    ventricles: float = 1.0  # width of the ventricles, relative to the average adult
    sulcus_mm: float = 1.2  # width of the furrows of the brain
    sinuses: float = 1.0  # width of the air cells in the skull, relative to the average adult
    jaw_mm: float = 0.0  # how far the chin is dropped
    teeth: int = len(TEETH)  # on each side of each jaw, counted from the middle; those behind them are lost
    asymmetry_mm: float = 1.2  # strength of a smooth random bending of everything, standard deviation
    person: int = 0  # whose bending, and whose folds of the brain
    marker_mm: float = 9.0  # radius of the capsule at LEFT_MARKER; 0 leaves it out
    mr_noise: float = 35.0  # Rician sigma, scanner units; this and the next two only act with a seed
    ct_noise: float = 8.0  # Gaussian sigma, HU
    bias: float = 0.08  # sensitivity of the MR coils, relative standard deviation over the head


def _fuse(a: Array, b: Array, k: float) -> Array:
    """Distance (mm) to the union of a and b, their seam filled over about k mm."""
    h: Array = np.maximum(np.float32(k) - np.abs(a - b), 0)
    fused: Array = np.minimum(a, b) - h * h * np.float32(0.25 / k)
    return fused


def _distance(xyz: Sequence[Array], points: ArrayLike, radii: ArrayLike, taper: float = 1) -> Array:
    """Distance (mm, to first order, negative inside) of xyz to a brush swept along points, shrinking to taper."""
    path, brush = np.array(points, np.float32).reshape(-1, 3), np.array(radii, np.float32)
    size = np.linspace(1, taper, len(path), dtype=np.float32)
    nearest: Array = np.full(xyz[0].shape, np.inf, np.float32)
    for n in range(max(1, len(path) - 1)):
        q = [(c - o) / r for c, o, r in zip(xyz, path[n], brush, strict=True)]  # from the nearest point, in brushes
        reach = size[n]
        if len(path) > 1:
            step = (path[n + 1] - path[n]) / brush
            u = step / (step @ step)
            t = np.clip(q[0] * u[0] + q[1] * u[1] + q[2] * u[2], 0, 1)
            q = [v - t * s if s else v for v, s in zip(q, step, strict=True)]
            reach = reach + t * (size[n + 1] - size[n]) if taper != 1 else reach
        q = [v * v for v in q]
        away = np.sqrt(q[0] + q[1] + q[2] + np.float32(1e-8))
        slope = np.sqrt(sum(v / (r * r) for v, r in zip(q, brush, strict=True)) + np.float32(1e-8) / brush.min() ** 2)
        np.minimum(nearest, away * (away - reach) / slope, out=nearest)
    np.maximum(nearest, -brush.min(), out=nearest)
    return nearest


def positions(grid: Grid, ks: slice = ALL[0]) -> list[Array]:
    """x, y, z (LPS mm) of the voxels of some slices, each (k, j, i)."""
    k, j, i = np.ogrid[: grid.size[2], : grid.size[1], : grid.size[0]]
    i, j, k = i.astype(np.float32), j.astype(np.float32), k[ks].astype(np.float32)
    step = (grid.axes * grid.spacing).astype(np.float32)
    return [(np.float32(o) + k * s[2]) + j * s[1] + i * s[0] for o, s in zip(grid.origin, step, strict=True)]


class Waves:
    """A smooth random field of mean 0 and variance 1: plane waves low..high mm long, times stretch along x, y, z."""

    def __init__(self, rng: np.random.Generator, count: int, low: float, high: float, stretch: Point = (1, 1, 1)):
        k = rng.normal(size=(count, 3))
        k *= 2 * np.pi / rng.uniform(low, high, (count, 1)) / np.linalg.norm(k, axis=1, keepdims=True)
        self.k, self.phase = k / stretch, rng.uniform(0, 2 * np.pi, count)

    def on(self, grid: Grid) -> Callable[[slice], Array]:
        """The field (k, j, i) on some slices. A wave is a product over the index axes: a slab is one matrix product."""
        steps = self.k @ (grid.axes * grid.spacing)
        turns = [np.outer(np.arange(n), step) for n, step in zip(grid.size, steps.T, strict=True)]
        across = turns[2] + self.k @ np.array(grid.origin) + self.phase
        inplane = (turns[1][:, None] + turns[0]).reshape(-1, len(self.k)).T.astype(np.float32)
        left = (np.hstack([np.cos(across), -np.sin(across)]) * np.sqrt(2 / len(self.k))).astype(np.float32)
        right = np.vstack([np.cos(inplane), np.sin(inplane)])
        return lambda ks: (left[ks] @ right).reshape(-1, *grid.shape[1:])

    def at(self, points: Array) -> Array:
        """(n,) the field at any points (n, 3), LPS mm; some ten times slower a point than on a grid."""
        k, phase = self.k.T.astype(np.float32), self.phase.astype(np.float32)
        height = np.full(len(phase), np.sqrt(2 / len(phase)), np.float32)
        chunks = np.array_split(points, len(points) // 4096 + 1)  # so many stay in the cache
        return np.concatenate([np.cos(chunk @ k + phase) @ height for chunk in chunks])


class Warp(Protocol):
    """Moves the anatomy: a point shows what the unmoved head has at that point plus the shift."""

    def on(self, grid: Grid) -> Callable[[slice], list[Array]]:
        """The shift along x, y, z (mm, LPS) on some slices of a grid, each (k, j, i); exactly 0 where nothing moves."""


@dataclass(frozen=True)
class Place:
    """Where in the drawn head the voxels of some slices of a grid lie."""

    grid: Grid
    ks: slice
    lps: list[Array]  # x, y, z (mm), each (k, j, i); moved by a warp
    fields: dict[str, Array]  # the random fields there, each (k, j, i)
    reach: float = 0.0  # mm, the farthest that a warp has moved one of them


class Slab:
    """Some slices of a grid while they are painted, in one channel per row of values (channels, tissues)."""

    def __init__(self, place: Place, head: Head, values: Array, grain: Array):
        self.grid, self.ks, self.lps, self.fields = place.grid, place.ks, place.lps, place.fields
        self.reach, self.head, self.values, self.grain = place.reach, head, values, grain
        fields = self.fields
        bends = [np.float32(head.asymmetry_mm) * (fields[n] + np.float32(0.35) * fields["fine"]) for n in "xyz"]
        self.xyz = [(c + b) / np.float32(s) for c, b, s in zip(self.lps, bends, head.size, strict=True)]
        self.out = np.zeros((len(values), *self.xyz[0].shape), np.float32) + values[:, :1, None, None]  # air

    def window(self, low: ArrayLike, high: ArrayLike, margin: float) -> Window:
        """The indices that hold the box from low to high, in mm of the average head, with a margin in mm."""
        low, high = np.array(low) * self.head.size, np.array(high) * self.head.size
        middle = ((low + high) / 2 - self.grid.origin) @ self.grid.axes / self.grid.spacing - (0, 0, self.ks.start)
        reach = (
            ((high - low) / 2 + margin + self.reach + 4 * self.head.asymmetry_mm)
            @ np.abs(self.grid.axes)
            / self.grid.spacing
        )
        ends = zip(middle - reach, middle + reach + 1, self.xyz[0].shape[::-1], strict=True)
        i, j, k = (slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n))) for a, b, n in ends)
        return k, j, i

    def shapes(self, parts: Sequence[Part], margin: float = 2) -> Iterator[tuple[str, Array, Window]]:
        """(tissue, distance in mm, where) of every part and of its mirror image, as this head has them."""
        wider = {"sinus": self.head.sinuses, "ventricle": self.head.ventricles}
        for part in parts:
            path, brush = np.array(part.path), np.array(part.brush) * wider.get(part.group, 1)
            if part.group == "jaw":  # it turns about its joint at y = 5; the chin is 80 mm before that
                path[:, 2] -= self.head.jaw_mm * (5 - path[:, 1]) / 80
            for side in (1, -1) if path[:, 0].any() else (1,):
                path = path * (side, 1, 1)
                where = self.window(path.min(0) - brush, path.max(0) + brush, margin)
                if all(s.stop > s.start for s in where):
                    yield part.tissue, _distance([c[where] for c in self.xyz], path, brush, part.taper), where

    def union(self, parts: Sequence[Part], k: float) -> Array:
        """Distance to the parts fused over k mm; far outside just something large."""
        nearest = np.full(self.xyz[0].shape, 99, np.float32)
        for _, distance, where in self.shapes(parts, margin=k + 6):
            nearest[where] = _fuse(nearest[where], distance, k)
        return nearest

    def paint(self, tissue: str, distance: Array, where: Window = ALL) -> None:
        """Cover what lies inside (distance below 0 mm) with a tissue; without grain the edges are sharp: labels."""
        inside = (distance < 0).astype(np.float32)
        if self.grain.any():
            inside = np.clip(np.float32(0.5) - distance * np.float32(1 / EDGE_MM), 0, 1)
            inside *= inside * (3 - 2 * inside)
        number, texture = LABELS.index(tissue), self.fields["grain"][where]
        for out, value, grain in zip(self.out, self.values[:, number], self.grain[:, number], strict=True):
            out[where] += inside * ((value + grain * texture if grain else value) - out[where])

    def draw(self, parts: Sequence[Part], within: Array | None = None) -> None:
        """Paint parts in order with their rinds, inside of a surface (distance, mm) if one is given."""
        for tissue, distance, where in self.shapes(parts):
            distance = distance if within is None else np.maximum(distance, within[where])
            rind, depth = TISSUES[tissue].rind
            if rind:
                self.paint(rind, distance, where)
            self.paint(tissue, distance + np.float32(depth), where)

    def draw_head(self) -> None:
        """Paint from the outside in: skin, fat, muscle, bone, brain; then what is hollow."""
        head, fine, (_, y, z) = self.head, self.fields["fine"], self.xyz
        cavity = -_fuse(-self.union(CAVITY, 24), self.union(ROOFS, 8), 10)
        cavity = _fuse(cavity, self.union(FOSSAE, 8), 10)
        roof = np.clip((z - 2 + np.maximum(y - 20, 0) / 2) / 26, 0, 1)  # 0 at the base of the skull, 1 at its roof
        bone = cavity - head.skull_mm * (1 + 0.12 * self.fields["y"]) * (0.5 + 0.5 * roof)
        skin = _fuse(bone - head.scalp_mm * (1 + 0.1 * self.fields["z"]), self.union(SKIN, 14), 12)
        flesh = np.maximum(skin + head.fat_mm * (1.2 + 0.35 * fine), 2 - bone)
        self.paint("skin", skin)
        self.paint("fat", skin + np.float32(1.6))
        self.paint("muscle", flesh)
        self.paint("fat", np.maximum(flesh, 5 * np.abs(self.fields["strand"]) - 1))  # sheets between the muscles
        self.draw(SOFT, within=skin + 3)
        self.paint("bone", np.maximum(bone, -cavity))
        self.paint("diploe", np.maximum(bone + np.float32(1.9), np.float32(1.5) - cavity))
        self.draw(BONE + ORBIT, within=skin + 2)
        self.paint("csf", cavity)
        self.draw_brain(cavity)
        self.draw(BRAIN)
        self.draw(HOLLOW)
        self.draw([part for tooth in TEETH[: head.teeth] for part in tooth])
        if head.marker_mm:  # never bent, so that it is where it says
            self.paint("capsule", _distance(self.lps, LEFT_MARKER, [head.marker_mm] * 3))

    def draw_brain(self, cavity: Array) -> None:
        """Paint the hemispheres and the cerebellum into the skull's cavity (distance, mm)."""
        where = self.window((-75, -85, -45), (75, 100, 104), 2)
        cavity, x, y, z = (a[where] for a in (cavity, *self.xyz))
        gyri, folia, fine, strand = (self.fields[n][where] for n in ("gyri", "folia", "fine", "strand"))
        side = np.abs(x)
        tent = np.maximum(36 - 0.38 * (np.maximum(y - 32, 0) + side), 8)  # z of the tentorium
        below = np.maximum(z - tent, 4 + 0.45 * side + np.maximum(z - 5, 0) - y)  # the room of the cerebellum
        core = _distance((x, y, z), [(0, -14, 26), (0, 16, 26)], (30, 28, 23))  # where the hemispheres join
        split = np.maximum(side, -core) + np.float32(0.6)
        depth = _fuse(-np.maximum(cavity + 2, 1 - below), split, 3)  # mm below the surface of the brain
        furrow = 3.2 * np.abs(gyri) + np.maximum(depth - 15 - 5 * fine, 0) + 2 * np.maximum(strand - np.float32(0.5), 0)
        sylvian = np.maximum(np.abs(z - 17 - 0.28 * y + 3 * fine), np.maximum(35 - side, np.abs(y + 4) - 34))
        cortex = _fuse(depth, np.minimum(furrow, sylvian), 4) - np.float32(self.head.sulcus_mm / 2)  # mm from any CSF
        self.paint("grey", -cortex, where)
        self.paint("white", 2.8 + 0.4 * fine - cortex, where)
        falx = np.maximum(np.maximum(side - np.float32(0.6), 2 - core), np.maximum(cavity, -below))
        self.paint("dura", falx, where)
        lobes = _distance((x, y, z), [(-24, 52, 0), (24, 52, 0)], (28, 34, 36))
        lobes = np.maximum(np.maximum(lobes, cavity + 3), below + np.float32(1.2))
        y, z = y - 34 - side / 4, z + 2  # the leaves of the cerebellum fan out from here
        r, leaf = np.hypot(y, z) / 9, np.cos(9 * np.arctan2(z, y) + fine)
        clefts = np.maximum(r * np.sqrt(2 + 2 * leaf) - np.float32(0.4), 12 - 9 * r)
        self.paint("grey", lobes, where)
        self.paint("csf", np.maximum(lobes - 1, np.minimum(clefts, 1.3 * np.abs(folia) + np.float32(0.2))), where)
        stalks = np.maximum(r * np.sqrt(2 - 2 * leaf) - np.float32(1.2), 2 - y)
        self.paint("white", np.maximum(lobes + 5, stalks), where)
        self.paint("white", _distance((x, y, z), [(-22, 8, 0), (22, 8, 0)], (16, 9, 8)) + 2 * fine, where)


def _render(grid: Grid, head: Head, values: Array, grain: Array, warp: Warp | None = None) -> Array:
    """(channels, k, j, i) float32: the head in channels where tissues have values and grain, (channels, tissues)."""
    rng = np.random.default_rng(head.person)
    waves = {
        "x": Waves(rng, 8, 110, 220),
        "y": Waves(rng, 8, 110, 220),
        "z": Waves(rng, 8, 110, 220),
        "fine": Waves(rng, 20, 22, 45),
        "gyri": Waves(rng, 32, 18, 25),
        "folia": Waves(rng, 16, 5, 7, (3, 1, 1)),
        "strand": Waves(rng, 16, 26, 40, (1, 1, 3)),
        "grain": Waves(rng, 40, 4, 16),
    }
    fields = {name: wave.on(grid) for name, wave in waves.items()}
    shift_on = warp.on(grid) if warp else None
    out = np.empty((len(values), *grid.shape), np.float32)
    slices = max(1, SLAB_VOXELS // (grid.size[0] * grid.size[1]))

    def paint(start: int) -> None:
        ks = slice(start, start + slices)
        place = Place(grid, ks, positions(grid, ks), {name: field(ks) for name, field in fields.items()})
        if shift_on:
            place = _moved(place, shift_on(ks), waves)
        slab = Slab(place, head, values, grain)
        slab.draw_head()
        out[:, ks] = slab.out

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(paint, range(0, grid.size[2], slices)))
    return out


def _moved(place: Place, shift: list[Array], waves: dict[str, Waves]) -> Place:
    """The place shifted (mm, along x, y, z); the fields are taken anew where anything moves."""
    moving = (shift[0] != 0) | (shift[1] != 0) | (shift[2] != 0)
    if not moving.any():
        return place
    lps = [c + s for c, s in zip(place.lps, shift, strict=True)]
    points = np.stack([c[moving] for c in lps], axis=-1)
    fields = {name: field.copy() for name, field in place.fields.items()}
    for name, wave in waves.items():
        fields[name][moving] = wave.at(points)
    return Place(place.grid, place.ks, lps, fields, reach=float(np.abs(shift).max()))


def add_noise(grid: Grid, mr: Array, ct: Array, head: Head, seed: int) -> None:
    """Coil bias and Rician noise for an MR, Gaussian noise for a CT (k, j, i) float32, in place."""
    rng = np.random.default_rng(seed)
    mr *= 1 + np.float32(head.bias) * Waves(rng, 6, 250, 400).on(grid)(ALL[0])
    mr += rng.standard_normal(grid.shape, np.float32) * np.float32(head.mr_noise)
    np.hypot(mr, rng.standard_normal(grid.shape, np.float32) * np.float32(head.mr_noise), out=mr)
    ct += rng.standard_normal(grid.shape, np.float32) * np.float32(head.ct_noise)


def draw(
    grid: Grid,
    head: Head = Head(),
    seed: int | None = None,
    tissues: Mapping[str, Tissue] = TISSUES,
    warp: Warp | None = None,
) -> tuple[Volume, Volume]:
    """The head on a grid: (MR float32 in scanner units, about 0..3500; CT int16 in HU). A seed adds noise and bias."""
    made_of = [tissues[name] for name in LABELS]
    values = np.array([[t.mr for t in made_of], [t.hu for t in made_of]], np.float32)
    mr, ct = _render(grid, head, values, np.array([t.grain for t in made_of], np.float32).T, warp)
    if seed is not None:
        add_noise(grid, mr, ct, head, seed)
    return Volume(np.maximum(mr, 0), grid), Volume(np.clip(np.rint(ct), -1024, 3071).astype(np.int16), grid)


def draw_labels(grid: Grid, head: Head = Head()) -> NDArray[np.int16]:
    """(k, j, i): which tissue of LABELS every voxel centre lies in."""
    numbers = np.arange(len(LABELS), dtype=np.float32)[None]
    labels: NDArray[np.int16] = _render(grid, head, numbers, np.zeros_like(numbers))[0].astype(np.int16)
    return labels


def smooth(grid: Grid) -> Volume:
    """A band-limited, lopsided head (float32, 0..1000, 0 outside) that linear interpolation hardly changes."""
    x, y, z = positions(grid)
    voxels = np.full(grid.shape, 370, np.float32)
    blobs = (30, -20, 30, 32, 590), (-35, 25, 10, 26, 320), (20, 45, -20, 22, 370), (-10, -40, -35, 40, 220)
    for a, b, c, sigma, height in blobs:  # centre (LPS mm), sigma (mm)
        r2 = (x - np.float32(a)) ** 2 + (y - np.float32(b)) ** 2 + (z - np.float32(c)) ** 2
        voxels += np.float32(height) * np.exp(r2 * np.float32(-0.5 / sigma**2))
    head = (x / 68) ** 2 + (y / 92) ** 2 + (z / 95) ** 2
    return Volume(voxels * np.exp(-(np.minimum(head, 3) ** 4)), grid)


def grid_around(centre: Point, size: tuple[int, int, int], spacing: Point, axes: ArrayLike = AXIAL) -> Grid:
    """A grid of size (i, j, k) around an LPS centre (mm); the columns of axes are the directions of i, j, k."""
    columns = np.array(axes, dtype=np.float64)
    x, y, z = np.array(centre) - columns @ ((np.array(size) - 1) / 2 * spacing)
    a, b, c, d, e, f, g, h, i = columns.ravel().tolist()
    return Grid(size, spacing, (float(x), float(y), float(z)), (a, b, c, d, e, f, g, h, i))


def paper_grid() -> Grid:
    """The paper's grid, section 2: 183 sagittal slices, 1.00 mm apart, of 288 x 288 pixels of 0.87 mm."""
    return grid_around((0, 0, 0), (288, 288, 183), (0.87, 0.87, 1.0), SAGITTAL)


def orientations() -> list[NDArray[np.float64]]:
    """The 48 ways to lay index axes along the patient's, (3, 3) each, the mirrored ones too."""
    orders, signs = itertools.permutations(range(3)), list(itertools.product((1.0, -1.0), repeat=3))
    return [np.eye(3)[:, order] * sign for order, sign in itertools.product(orders, signs)]


def oblique(x: float, y: float = 0, z: float = 0) -> NDArray[np.float64]:
    """(3, 3) rotation by degrees about the patient's x, then y, then z axis: `oblique(12, z=-17) @ axes`."""
    turn = np.eye(3)
    for a, angle in enumerate(np.radians([x, y, z])):
        step = np.eye(3)
        b, c = (a + 1) % 3, (a + 2) % 3
        step[[b, c], [b, c]], step[b, c], step[c, b] = np.cos(angle), -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn


def main() -> None:
    """Write the MR of the average adult on the paper's grid, and the CT if asked for."""
    parser = argparse.ArgumentParser(description="Draw a head: a T1-like MR and, if asked for, its CT.")
    parser.add_argument("out", help="the MR, int16: .nii.gz or anything SimpleITK writes")
    parser.add_argument("--ct", help="the CT in HU, int16")
    parser.add_argument("--seed", type=int, help="adds this noise and coil bias")
    arguments = parser.parse_args()
    mr, ct = draw(paper_grid(), seed=arguments.seed)
    sitk.WriteImage(mr.grid.image(np.rint(mr.voxels).astype(np.int16)), arguments.out)
    print(arguments.out)
    if arguments.ct:
        sitk.WriteImage(ct.image(), arguments.ct)
        print(arguments.ct)


if __name__ == "__main__":
    main()
