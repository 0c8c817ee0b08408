"""Draws the head: an analytic head as a T1-like MR and as a CT, on any grid.

    python tests/phantom.py OUT.nii.gz [--ct CT.nii.gz] [--seed N]

The anatomy is a function of LPS millimetres (x to the patient's Left, y Posterior, z Superior; the origin lies in the
middle of the head), so the same head can be drawn in any orientation, oblique too. It is painted in order: a later part
covers an earlier one, with an edge about two voxels soft. Arrays are (k, j, i), as in every volume.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from mr2ct.grid import Grid
from mr2ct.volume import Volume

Array = NDArray[np.float32]
Point = tuple[float, float, float]
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
    asymmetry_mm: float = 1.2  # strength of a smooth random bending of everything, standard deviation
    person: int = 0  # whose bending, and whose folds of the brain
    marker_mm: float = 9.0  # radius of the capsule at LEFT_MARKER; 0 leaves it out
    mr_noise: float = 35.0  # Rician sigma, scanner units; this and the next two only act with a seed
    ct_noise: float = 8.0  # Gaussian sigma, HU
    bias: float = 0.08  # sensitivity of the MR coils, relative standard deviation over the head


class Tissue(NamedTuple):
    """A material. grain: standard deviation of its texture in the MR and in the CT. rind: a material around it, mm."""

    mr: float  # scanner units
    hu: float
    grain: tuple[float, float] = (50, 3)
    rind: tuple[str, float] = ("", 0)


TISSUES = {
    "air": Tissue(0, -1000, (0, 0)),
    "skin": Tissue(1250, 50),
    "fat": Tissue(2600, -90, (190, 10)),
    "muscle": Tissue(1050, 55, (90, 6)),
    "gland": Tissue(1600, 25, (150, 12)),
    "mucosa": Tissue(1350, 40, (120, 5)),
    "cartilage": Tissue(850, 100),
    "vessel": Tissue(420, 45),
    "bone": Tissue(120, 1250, (20, 70)),
    "diploe": Tissue(1500, 500, (250, 110)),
    "marrow": Tissue(1650, 330, (220, 70), ("bone", 1.9)),
    "spongy": Tissue(1300, 280, (150, 50), ("bone", 1.2)),
    "tooth": Tissue(110, 1900, (0, 60)),
    "csf": Tissue(480, 8, (20, 1)),
    "dura": Tissue(750, 60),
    "white": Tissue(1950, 30, (45, 2)),
    "grey": Tissue(1400, 40, (40, 2)),
    "nuclei": Tissue(1580, 38, (30, 2)),
    "stem": Tissue(1800, 32, (50, 2)),
    "eye": Tissue(500, 10, (0, 1), ("cartilage", 1.2)),
    "capsule": Tissue(3200, 120, (0, 0)),
}
LABELS = tuple(TISSUES)  # draw_labels' numbers are places in here


class Part(NamedTuple):
    """What a brush leaves along a path (LPS mm); a path off the midline is drawn on both sides of the head."""

    tissue: str
    group: str  # what in Head changes it: ventricle, sinus, jaw or nothing
    brush: Point  # semi-axes, mm
    taper: float  # size of the brush at the end of the path
    path: tuple[Point, ...]


def _parts(table: str) -> list[Part]:
    """Rows of `tissue/group brush @ point, point ...; brush @ point ...`: x y z in mm, a brush's taper behind them."""
    parts = []
    for row in table.strip().splitlines():
        kind, strokes = row.split("#")[0].split(maxsplit=1)
        tissue, _, group = kind.partition("/")
        for brush, path in (stroke.split("@") for stroke in strokes.split(";")):
            x, y, z, taper = map(float, [*brush.split(), "1"][:4])
            points = [tuple(map(float, point.split())) for point in path.split(",")]
            parts.append(Part(tissue, group, (x, y, z), taper, tuple((x, y, z) for x, y, z in points)))
    return parts


CAVITY = _parts("csf 57 62 56 @ 0 -12 40; 68 66 56 @ 0 26 40")  # the inside of the skull is this,
ROOFS = _parts("bone 48 30 40 @ 0 -85 -20, 0 -24 -32")  # less what orbits and nose push up into it,
FOSSAE = _parts("csf 21 19 20 @ 41 -18 3, 47 20 4; 54 39 29 @ 0 48 -1")  # and this
SKIN = _parts("""
skin          67 66 44 @ 0 -22 -10; 57 57 40 @ 0 -32 -48                     # face
skin/jaw      30 27 19 @ 0 -62 -88; 21 44 22 @ 34 -26 -74                    # chin
skin          59 55 40 @ 0 32 -50, 0 36 -170                                 # neck
skin          18 15 12 @ 0 -76 26, 26 -70 24                                 # brow
skin          15 19 19 @ 30 -67 1, 44 -56 -4                                 # lids and cheeks
skin          12 26 26 @ 54 -28 14; 12 26 26 @ 56 12 -36                     # temple, below the ear
skin          8 8 7 @ 0 -86 6, 0 -100 -27; 8 9 6 @ 9 -92 -32                 # nose
skin          23 8 5 @ 0 -84 -49                                             # lips
skin/jaw      21 8 5 @ 0 -83 -62
skin          3.5 5 24 @ 70 14 -8, 76 26 -6                                  # ear
""")
SOFT = _parts("""
muscle        8 22 24 @ 60 -26 8, 56 -20 -20; 7 14 8 @ 57 -28 -18, 50 -8 -68 # temporalis, masseter
muscle        6 11 8 @ 36 -10 -22, 41 -4 -58                                 # pterygoids
fat           9 13 16 @ 44 -42 -34                                           # cheek
gland         7 11 9 @ 56 6 -30, 52 8 -56; 9 14 9 @ 27 -22 -88               # salivary glands
muscle        7 12 8 @ 55 32 -28, 34 2 -140                                  # sternocleidomastoid
muscle        13 7 9 @ 16 82 -20, 30 76 -80, 48 66 -140                      # trapezius
muscle        10 9 9 @ 13 62 -36, 14 60 -140; 9 10 8 @ 38 40 -40, 38 42 -140 # semispinalis, scalenes
muscle/jaw    22 26 17 @ 0 -34 -60, 0 -46 -72; 14 9 8 @ 0 -68 -84, 0 -28 -90 # tongue
fat/jaw       9 5 2 @ 0 -64 -79, 0 -42 -83
mucosa        13 3.5 3.5 @ 0 -7 -56, 0 -10 -46, 0 -30 -42                    # soft palate
mucosa        17 9 9 @ 0 4 -38, 0 6 -140                                     # wall of the throat
cartilage     10 7 6 @ 0 20 -60, 0 32 -136                                   # discs
vessel        3.5 3.5 5 @ 27 12 -30, 28 14 -140; 5 4 5 @ 34 18 -30, 36 14 -140
""")
BONE = _parts("""
bone          9 13 9 @ 54 35 -14, 54 31 -30                                  # mastoid
marrow        15 7 6 @ 0 -18 4, 0 10 -20                                     # clivus
bone          16 3 12 @ 34 -30 2, 20 -26 8; 3 10 8 @ 15 -14 -24, 15 -14 -40  # sphenoid
bone          4 6 6 @ 0 -84 14, 30 -82 18, 48 -66 16                         # brow
bone          12 6.5 12 @ 0 -79 24, 14 -77 32                                # around the frontal sinuses
marrow        5 6 6 @ 49 -62 10, 50 -58 -12                                  # rim of the orbit
bone          3 3 13 @ 47 -62 4, 32 -32 4                                    # its outer wall
marrow        4 5 5 @ 46 -62 -12, 60 -36 -13, 64 -4 -12                      # cheekbone
bone          4 4 4 @ 0 -82 10, 5 -87 -8; 15 11 15 @ 0 -66 -2, 0 -24 -2      # nasal bone, walls of the nose
bone          16 18 17 @ 28 -58 -18, 33 -48 -24; 24 10 2 @ 0 -68 -40, 0 -34 -39  # upper jaw, palate
marrow        6 6 7 @ 0 -78 -44, 11 -75 -44, 19 -67 -44, 27 -52 -44, 29 -34 -42
marrow/jaw    6 6 11 @ 0 -77 -88, 11 -74 -87, 22 -64 -85, 33 -44 -79, 45 -8 -68  # lower jaw
marrow/jaw    5 5 6 @ 0 -76 -74, 11 -73 -74, 20 -65 -73, 28 -50 -70, 33 -34 -68
marrow/jaw    4 11 6 @ 46 -6 -66, 49 -4 -40, 50 2 -20                        # up to its joint
bone/jaw      2.5 5 6 @ 47 -18 -50, 49 -24 -26
bone          4 4 3 @ 0 -28 -102, 22 -10 -98                                 # hyoid
spongy        4 4 5 @ 0 8 -36, 16 14 -37; 10 10 8 @ 18 22 -38                # C1
bone          4 4 4 @ 24 28 -38, 14 44 -40, 0 50 -40
spongy        9 7 9 @ 0 18 -36, 0 20 -56; 9 8 8 @ 18 26 -54; 5 5 7 @ 14 36 -56, 0 54 -60, 0 66 -66  # C2
""")
for y, z in ((23, -73), (25, -91), (28, -109), (31, -127)):  # C3 to C6
    BONE += _parts(f"""
spongy        12 8 6.5 @ 0 {y - 3} {z}, 0 {y + 2} {z}; 7 8 7 @ 18 {y + 7} {z}
bone          3 3 6 @ 17 {y + 12} {z}, 0 {y + 27} {z - 5}
spongy        3.5 4 4.5 @ 0 {y + 26} {z - 5}, 0 {y + 42} {z - 11}
""")
ORBIT = _parts("""
fat           17 12 16 0.3 @ 31 -71 3, 13 -26 8
muscle        1.8 4 4 @ 40 -66 3, 16 -32 8; 1.8 4 4 @ 21 -66 3, 12 -32 8
muscle        4 4 1.6 @ 31 -66 15, 16 -32 12; 4 4 1.6 @ 31 -66 -9, 16 -32 2
stem          2.4 2.4 2.4 @ 31 -60 3, 12 -26 9                               # optic nerve
eye           12.3 12.3 12.3 @ 31 -71 3
cartilage     4.5 2 4.5 @ 31 -80 3                                           # lens
""")
BRAIN = _parts("""
csf           11 8 8 @ 0 42 -22, 0 35 -44, 0 40 -80, 0 47 -140               # canal of the spine
csf           11 6 7 @ 0 -9 12, 0 4 2, 0 24 -24                              # cisterns
stem          14 9 9 @ 0 13 19, 0 15 4; 15 11 7 @ 0 14 8, 0 16 -4            # midbrain, pons
stem          6.5 5 6 @ 0 22 -12, 0 33 -34, 0 40 -80, 0 47 -140              # medulla, cord
white         14 4 4 @ 0 -30 30, 0 -24 41, 0 -2 48, 0 20 45, 0 33 34         # corpus callosum
nuclei        6 12 12 @ 24 -12 24, 25 8 26; 5 7 6 @ 13 -26 32, 17 4 42       # putamen, caudate
nuclei        9 9 9 @ 11 2 26, 12 14 26                                      # thalamus
csf/ventricle 3.5 6 5 @ 6 -28 34, 8 -6 42, 12 22 40, 22 38 30                # lateral
csf/ventricle 4 6 5 @ 24 38 28, 28 62 24; 3 4 3 @ 25 34 26, 34 8 4
csf/ventricle 1.8 5 5 @ 0 -7 19, 0 9 26; 7 4 6 @ 0 30 2, 0 32 -8             # third, fourth
""")
HOLLOW = _parts("""
bone          10 10 10 0.5 @ 56 24 -8, 13 0 -3                               # around the ear
air           3 3 3 @ 82 22 -8, 52 16 -8; 3 4 4 @ 50 14 -6                   # its canal
air/sinus     9 3.4 8 @ 9 -79 23, 13 -78 34                                  # frontal
air/sinus     7 10 8.5 @ 7.6 -23 -2                                          # sphenoid
air/sinus     14 16 15 @ 28 -58 -17, 33 -48 -23                              # maxillary
mucosa        8 7 16 @ 8 -82 -22, 8 -20 -20                                  # nose, its passages, its septum
air           3.5 5 5 @ 6 -93 -33, 5 -78 -26; 1.8 7 15 @ 3.4 -76 -20, 3.4 -16 -22
air           3.5 4 2.6 @ 11 -70 -34, 10 -18 -33; 3.2 4 1.8 @ 10.5 -66 -21, 10 -18 -23
cartilage     1.4 6 18 @ 0 -92 -26, 0 -22 -16
air           9 6 8 @ 0 -8 -30, 0 1 -46, 0 1 -66, 0 -6 -92                   # throat
air           8 8 8 @ 0 -8 -96, 0 -2 -150                                    # windpipe
cartilage     10 1.6 5 @ 0 -14 -80, 0 -4 -98                                 # epiglottis
air           18 8 1.2 @ 0 -50 -54, 0 -72 -60                                # mouth
""")
ETHMOID_CELLS = [f"air/sinus 5.2 4.6 8.5 @ 6.2 {y} 5" for y in (-68, -58, -48, -38)]
MASTOID_CELLS = [
    f"air/sinus 2.9 2.9 2.8 @ {x - z / 30} {y + z / 5} {z}"
    for x, y, z in itertools.product((50.5, 56), (32, 38.5, 45), (-10, -17, -24))
]
TEETH = [
    f"tooth {3 + x / 40} 3.6 4 @ {x} {y} -45, {x + 0.4} {y - 0.6} -55\n"
    f"tooth/jaw {2.8 + x / 40} 3.4 3.6 @ {x - 0.3} {y + 1.5} -73, {x} {y + 1} -63"
    for x, y in ((4, -79), (10.5, -76.5), (16.5, -71.5), (21, -65), (24.5, -57.5), (27.5, -48.5), (29.5, -38.5))
]
HOLLOW += _parts("\n".join(ETHMOID_CELLS + MASTOID_CELLS + TEETH))


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


def _positions(grid: Grid, ks: slice = ALL[0]) -> list[Array]:
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


class Slab:
    """Some slices of a grid while they are painted, in one channel per row of values (channels, tissues)."""

    def __init__(self, grid: Grid, ks: slice, head: Head, fields: dict[str, Array], values: Array, grain: Array):
        self.grid, self.ks, self.head, self.fields, self.values, self.grain = grid, ks, head, fields, values, grain
        self.lps = _positions(grid, ks)
        bends = [np.float32(head.asymmetry_mm) * (fields[n] + np.float32(0.35) * fields["fine"]) for n in "xyz"]
        self.xyz = [(c + b) / np.float32(s) for c, b, s in zip(self.lps, bends, head.size, strict=True)]
        self.out = np.zeros((len(values), *self.xyz[0].shape), np.float32) + values[:, :1, None, None]  # air

    def window(self, low: ArrayLike, high: ArrayLike, margin: float) -> Window:
        """The indices that hold the box from low to high, in mm of the average head, with a margin in mm."""
        low, high = np.array(low) * self.head.size, np.array(high) * self.head.size
        middle = ((low + high) / 2 - self.grid.origin) @ self.grid.axes / self.grid.spacing - (0, 0, self.ks.start)
        reach = ((high - low) / 2 + margin + 4 * self.head.asymmetry_mm) @ np.abs(self.grid.axes) / self.grid.spacing
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


def _render(grid: Grid, head: Head, values: Array, grain: Array) -> Array:
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
    out = np.empty((len(values), *grid.shape), np.float32)
    slices = max(1, SLAB_VOXELS // (grid.size[0] * grid.size[1]))

    def paint(start: int) -> None:
        ks = slice(start, start + slices)
        slab = Slab(grid, ks, head, {name: field(ks) for name, field in fields.items()}, values, grain)
        slab.draw_head()
        out[:, ks] = slab.out

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(paint, range(0, grid.size[2], slices)))
    return out


def draw(grid: Grid, head: Head = Head(), seed: int | None = None) -> tuple[Volume, Volume]:
    """The head on a grid: (MR float32 in scanner units, about 0..3500; CT int16 in HU). A seed adds noise and bias."""
    tissues = TISSUES.values()
    values = np.array([[t.mr for t in tissues], [t.hu for t in tissues]], np.float32)
    mr, ct = _render(grid, head, values, np.array([t.grain for t in tissues], np.float32).T)
    if seed is not None:
        rng = np.random.default_rng(seed)
        mr *= 1 + np.float32(head.bias) * Waves(rng, 6, 250, 400).on(grid)(ALL[0])
        mr += rng.standard_normal(grid.shape, np.float32) * np.float32(head.mr_noise)
        np.hypot(mr, rng.standard_normal(grid.shape, np.float32) * np.float32(head.mr_noise), out=mr)
        ct += rng.standard_normal(grid.shape, np.float32) * np.float32(head.ct_noise)
    return Volume(np.maximum(mr, 0), grid), Volume(np.clip(np.rint(ct), -1024, 3071).astype(np.int16), grid)


def draw_labels(grid: Grid, head: Head = Head()) -> NDArray[np.int16]:
    """(k, j, i): which tissue of LABELS every voxel centre lies in."""
    numbers = np.arange(len(LABELS), dtype=np.float32)[None]
    labels: NDArray[np.int16] = _render(grid, head, numbers, np.zeros_like(numbers))[0].astype(np.int16)
    return labels


def smooth(grid: Grid) -> Volume:
    """A band-limited, lopsided head (float32, 0..1000, 0 outside) that linear interpolation hardly changes."""
    x, y, z = _positions(grid)
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
