"""Files of drawn heads with synthetic CTs of known faults, coarse enough to be scored in no time."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

import phantom
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.evaluation import planes
from mr2ct_training.evaluation.conventions import PAPER
from mr2ct_training.evaluation.evaluate import evaluate
from mr2ct_training.evaluation.pairs import Pair
from mr2ct_training.evaluation.results import Evaluation

GRID = phantom.grid_around((0, 4, 0), (52, 63, 60), (4.0, 4.0, 4.0))
Pixels = Callable[[bytes], NDArray[np.uint8]]
PATIENTS = ("anna", "bob", "carl")
BIAS_HU = {"near": 20, "far": 90}  # by which a method is wrong everywhere, and 5 HU more for each patient


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ct/, mr/, mask/ and, by method, near/ and far/ with a .nii.gz for each patient; and broken/."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("ct", "mr", "mask", "broken", *BIAS_HU):
        (folder / name).mkdir()
    for number, patient in enumerate(PATIENTS):
        head = phantom.Head(person=number)
        mr, ct = phantom.draw(GRID, head, seed=number)
        mr = Volume(np.rint(mr.voxels).astype(np.int16), GRID)
        inside = phantom.draw_labels(GRID, head) > 0
        volumes = {"ct": ct, "mr": mr, "mask": Volume(inside.astype(np.uint8), GRID)}
        for method, bias in BIAS_HU.items():
            volumes[method] = Volume(np.where(inside, ct.voxels + bias + 5 * number, -1000).astype(np.int16), GRID)
        for name, volume in volumes.items():
            write_volume(volume, folder / name / f"{patient}.nii.gz")
    _break(folder / "broken", volumes["near"])
    return folder


@pytest.fixture(scope="session")
def evaluation(drawn: Path) -> Evaluation:
    """Both methods of all patients, with MRs; near has a cycled MR, which is the MR; pixels of 3 mm."""

    def file(kind: str, patient: str) -> Path:
        return drawn / kind / f"{patient}.nii.gz"

    pairs = [
        Pair("", p, method, file(method, p), file("ct", p), file("mask", p), file("mr", p),
             file("mr", p) if method == "near" else None)
        for p in PATIENTS
        for method in BIAS_HU
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planes, "PIXEL_MM", 3.0)
        return evaluate(drawn / "pairs.csv", pairs, PAPER, resample=False, show=lambda *_: None)


@pytest.fixture(autouse=True)
def coarse_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 3 mm a pixel take a tenth of the time."""
    monkeypatch.setattr(planes, "PIXEL_MM", 3.0)


@pytest.fixture
def pixels() -> Pixels:
    """The pixels, (rows, columns, 3) uint8, of the bytes of a PNG."""

    def read(png: bytes) -> NDArray[np.uint8]:
        found: NDArray[np.float32] = matplotlib.image.imread(io.BytesIO(png))
        return np.rint(found[..., :3] * 255).astype(np.uint8)

    return read


def _break(folder: Path, good: Volume) -> None:
    """What cannot be measured."""
    x, y, z = GRID.origin
    moved = Grid(GRID.size, GRID.spacing, (x + 4.0, y, z), GRID.direction)
    small = Grid((51, 63, 60), GRID.spacing, GRID.origin, GRID.direction)
    nan = good.voxels.astype(np.float32)
    nan[0, 0, :7] = np.nan
    broken = {
        "moved": Volume(good.voxels, moved),
        "small": Volume(good.voxels[:, :, :51], small),
        "constant": Volume(np.full_like(good.voxels, 40), GRID),
        "nan": Volume(nan, GRID),
        "empty": Volume(np.zeros_like(good.voxels), GRID),
    }
    for name, volume in broken.items():
        write_volume(volume, folder / f"{name}.nii.gz")
    whole = (folder / "moved.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
