"""The anatomy that phantom.py paints: tissues, and the brush strokes each part of a head is made of."""

from __future__ import annotations

import itertools
from typing import NamedTuple

Point = tuple[float, float, float]


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


def parts(table: str) -> list[Part]:
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


CAVITY = parts("csf 57 62 56 @ 0 -12 40; 68 66 56 @ 0 26 40")  # the inside of the skull is this,
ROOFS = parts("bone 48 30 40 @ 0 -85 -20, 0 -24 -32")  # less what orbits and nose push up into it,
FOSSAE = parts("csf 21 19 20 @ 41 -18 3, 47 20 4; 54 39 29 @ 0 48 -1")  # and this
SKIN = parts("""
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
SOFT = parts("""
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
BONE = parts("""
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
    BONE += parts(f"""
spongy        12 8 6.5 @ 0 {y - 3} {z}, 0 {y + 2} {z}; 7 8 7 @ 18 {y + 7} {z}
bone          3 3 6 @ 17 {y + 12} {z}, 0 {y + 27} {z - 5}
spongy        3.5 4 4.5 @ 0 {y + 26} {z - 5}, 0 {y + 42} {z - 11}
""")
ORBIT = parts("""
fat           17 12 16 0.3 @ 31 -71 3, 13 -26 8
muscle        1.8 4 4 @ 40 -66 3, 16 -32 8; 1.8 4 4 @ 21 -66 3, 12 -32 8
muscle        4 4 1.6 @ 31 -66 15, 16 -32 12; 4 4 1.6 @ 31 -66 -9, 16 -32 2
stem          2.4 2.4 2.4 @ 31 -60 3, 12 -26 9                               # optic nerve
eye           12.3 12.3 12.3 @ 31 -71 3
cartilage     4.5 2 4.5 @ 31 -80 3                                           # lens
""")
BRAIN = parts("""
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
HOLLOW = parts("""
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
TEETH = [  # from the middle to the back, the upper and the lower one
    parts(
        f"tooth {3 + x / 40} 3.6 4 @ {x} {y} -45, {x + 0.4} {y - 0.6} -55\n"
        f"tooth/jaw {2.8 + x / 40} 3.4 3.6 @ {x - 0.3} {y + 1.5} -73, {x} {y + 1} -63"
    )
    for x, y in ((4, -79), (10.5, -76.5), (16.5, -71.5), (21, -65), (24.5, -57.5), (27.5, -48.5), (29.5, -38.5))
]
HOLLOW += parts("\n".join(ETHMOID_CELLS + MASTOID_CELLS))
