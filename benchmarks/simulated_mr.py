"""Simulate T1-weighted MRs of the people in head CTs, of every contrast a scanner may have, each with its CT.

    python benchmarks/simulated_mr.py OUT CT [CT ...] [--each 4] [--seed 0] [--jobs 1]

Training on synthetic contrast makes a network that reads shapes and the order of grey values instead of the values of
one scanner (Billot et al., 2023, doi 10.1016/j.media.2023.102789; Iglesias et al., 2021, doi
10.1016/j.neuroimage.2021.118206). Here it gives an unpaired training pairs to hold on to (mr2ct-train --anchor-weight):
real skulls, dark in the MR and bright in the CT. Writes

    OUT/mr/NAME-01.nii.gz   simulated MR, sagittal 1 mm voxels, scanner units
    OUT/ct/NAME-01.nii.gz   the same person's CT, HU, -1000 outside the head, on the same grid

Each of a CT's people is another one: mirrored or not, turned, scaled and smoothly deformed; some are children, with
thin skulls (simulated_skulls.py). The brain is drawn at random, of the young and of the old (simulated_tissues.py,
simulated_brain.py). The same options give the same volumes; run again, it makes only what is missing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.model_grid import to_model_grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.ct_head import ct_head_mask, refuse_no_ct, without_surroundings
from simulated_brain import Array, field
from simulated_skulls import childs_skull, thinner_bones
from simulated_tissues import tissues

MARGIN_MM = 12
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # i to posterior, j to inferior, k to the left
CHILD_SHARE, CHILD_SIZE = 0.3, 0.94  # of people, with thin skulls; of an adult's size
THIN_SHARE, THINNER_MM = 0.6, (0.5, 2.0)  # of the others, on each side
UNITS = 1000  # scanner units of the brightest tissue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the simulated people, new or to be completed")
    parser.add_argument("ct", type=Path, nargs="+", help="head CTs in HU")
    parser.add_argument("--each", type=int, default=4, help="people of each CT")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people")
    parser.add_argument("--jobs", type=int, default=1, help="processes; a gigabyte each")
    options = parser.parse_args()
    start = time.perf_counter()
    try:
        made = simulate(options.out, options.ct, options.each, options.seed, options.jobs)
    except VolumeError as error:
        sys.exit(f"simulated_mr: {error}")
    print(json.dumps({"out": str(options.out), "made": made, "seconds": round(time.perf_counter() - start, 1)}))


def simulate(out: Path, cts: list[Path], each: int, seed: int, jobs: int) -> int:
    """Write what is missing; how many people that were. Raises VolumeError, which names the file."""
    for kind in ("mr", "ct"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    people = [
        (path, f"{path.name.split('.')[0]}-{one + 1:02}.nii.gz", [seed, number, one])
        for number, path in enumerate(cts)
        for one in range(each)
    ]
    missing = [person for person in people if not all((out / kind / person[1]).exists() for kind in ("mr", "ct"))]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = [pool.submit(_write_person, out, *person) for person in missing]
        for one in tqdm(as_completed(made), total=len(made), unit="head", disable=None):
            one.result()
    return len(missing)


def _write_person(out: Path, path: Path, name: str, seed: list[int]) -> None:
    random = np.random.default_rng(seed)
    ct = another_person(_head(path), random)
    mr = simulated_mr(ct.voxels.astype(np.float32), random)
    write_volume(ct, out / "ct" / name, overwrite=True)
    write_volume(Volume(mr, ct.grid), out / "mr" / name, overwrite=True)


def _head(path: Path) -> Volume:
    """The head of a CT on voxels of 1 mm, sagittal, HU, -1000 around it."""
    ct = read_volume(path)
    try:
        refuse_no_ct(ct)
        head = ct_head_mask(ct)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    alone = without_surroundings(ct, head)
    points = ct.grid.points(np.argwhere(head)[:, ::-1].astype(np.float64))
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    x, y, z = (int(n) for n in np.ceil(high - low))
    grid = Grid((y, z, x), (1.0, 1.0, 1.0), (float(low[0]), float(low[1]), float(high[2])), SAGITTAL)
    return Volume(to_model_grid(alone, grid, -1000), grid)


def another_person(ct: Volume, random: np.random.Generator) -> Volume:
    """The CT turned, scaled, deformed by some mm, perhaps mirrored, perhaps a child's; its grid; (k, j, i) int16 HU."""
    shape = ct.voxels.shape
    child = bool(random.random() < CHILD_SHARE)
    angles = np.deg2rad(random.normal(0, (3, 3, 7)))  # about i, j and k; heads nod most, which is about k
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*(float(a) for a in angles))
    matrix = np.array(turn.GetMatrix()).reshape(3, 3)[::-1, ::-1] @ np.diag(
        random.uniform(0.93, 1.07, 3) / (CHILD_SIZE if child else 1)
    )
    if random.random() < 0.5:
        matrix[:, 0] *= -1  # k, left and right
    middle = (np.array(shape) - 1) / 2
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    source = np.tensordot(matrix.astype(np.float32), index - middle[:, None, None, None].astype(np.float32), axes=1)
    for axis in range(3):
        source[axis] += np.float32(middle[axis]) + np.float32(random.uniform(1, 3)) * field(random, shape, 28, 8)
    hu = ndimage.map_coordinates(ct.voxels, source, order=1, cval=-1000)
    if child:
        hu = childs_skull(hu, random)
    elif random.random() < THIN_SHARE:
        hu = thinner_bones(hu, float(random.uniform(*THINNER_MM)), random)
    return Volume(np.rint(hu).astype(np.int16), ct.grid)


def simulated_mr(hu: Array, random: np.random.Generator) -> NDArray[np.int16]:
    """(k, j, i) int16 scanner units: what a T1-weighted scan of that CT's head could look like."""
    shares, value = tissues(hu, random), contrast(random)
    mr = np.zeros(hu.shape, np.float32)
    for name, units in value.items():
        signal = np.float32(units) * getattr(shares, name)
        if name in LIVELY:
            signal *= 1 + np.float32(random.uniform(0.02, 0.12)) * field(random, hu.shape, float(random.uniform(1, 4)))
        mr += signal
    mr = ndimage.gaussian_filter(mr, random.uniform(0.35, 0.75))
    mr *= np.exp(np.float32(random.uniform(0.05, 0.3)) * field(random, hu.shape, 45, 8))
    noise = float(random.uniform(0.005, 0.035))
    real = mr + noise * random.standard_normal(mr.shape, dtype=np.float32)
    magnitude = np.hypot(real, noise * random.standard_normal(mr.shape, dtype=np.float32))  # Rician, as MRs are
    units: NDArray[np.int16] = np.clip(np.rint(magnitude * UNITS), 0, 32767).astype(np.int16)
    return units


LIVELY = ("fat", "muscle", "grey", "white", "marrow")


def contrast(random: np.random.Generator) -> dict[str, float]:
    """Signal of each tissue: T1's order within what scanners do; compact bone and air give next to none."""
    white = float(random.uniform(0.4, 0.9))
    fat = float(random.uniform(0.35, 1.4))
    return {
        "air": 0.0,
        "bone": float(random.uniform(0.0, 0.1)),
        "marrow": fat * float(random.uniform(0.25, 0.85)),
        "fat": fat,
        "muscle": float(random.uniform(0.25, 0.65)),
        "dura": white * float(random.uniform(0.3, 0.9)),
        "csf": white * float(random.uniform(0.05, 0.4)),
        "grey": white * float(random.uniform(0.55, 0.85)),
        "white": white,
    }


if __name__ == "__main__":
    main()
