"""Simulated MRs: bone is dark where the CT is bright, the brain is inside the skull, and nothing moves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mr2ct.grid import Grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from simulated_brain import drawn_brain
from simulated_mr import SAGITTAL, another_person, contrast, simulated_mr
from simulated_skulls import childs_skull, thinner_bones
from simulated_tissues import inside_skull, tissues

SIZE = 104
SCALP, SKULL, BRAIN = 48, 42, 35  # radii, mm
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "simulated_mr.py"


def away() -> NDArray[np.float32]:
    """(k, j, i) mm from the middle."""
    z, y, x = (axis - (SIZE - 1) / 2 for axis in np.ogrid[:SIZE, :SIZE, :SIZE])
    distance: NDArray[np.float32] = np.sqrt(z**2 + y**2 + x**2).astype(np.float32)
    return distance


def ball() -> NDArray[np.float32]:
    """HU of a head that is a ball: scalp, a shell of compact bone, brain."""
    r = away()
    shells: NDArray[np.float32] = np.select([r < BRAIN, r < SKULL, r < SCALP], [35.0, 1100.0, 40.0], -1000.0)
    return shells.astype(np.float32)


def test_the_brain_is_what_the_skull_surrounds() -> None:
    found, true = inside_skull(ball()), away() < BRAIN
    assert (found & true).sum() / true.sum() > 0.95
    assert (found & (away() > SKULL)).sum() == 0
    assert not inside_skull(np.full((20, 20, 20), -1000, np.float32)).any()  # no skull, no brain


def test_shares_add_up_to_one() -> None:
    shares = tissues(ball(), np.random.default_rng(1))
    everything = sum(vars(shares).values())
    np.testing.assert_allclose(everything, 1, atol=1e-5)
    assert min(float(share.min()) for share in vars(shares).values()) >= 0


@pytest.mark.parametrize("seed", range(3))
def test_bone_and_air_are_dark_and_soft_tissue_is_not(seed: int) -> None:
    mr, r = simulated_mr(ball(), np.random.default_rng(seed)), away()
    assert mr.dtype == np.int16
    tables = min(np.median(mr[(r > a) & (r < a + 1)]) for a in range(BRAIN, SKULL))  # between them may be marrow
    scalp, brain = np.percentile(mr[(r > 43) & (r < 47)], 75), np.percentile(mr[r < 25], 90)  # furrows are dark, too
    assert max(tables, np.median(mr[r > 51])) < 0.5 * min(scalp, brain)


def test_thinner_bones_stay_bones_and_lose_what_they_were_told() -> None:
    thinner = thinner_bones(ball(), 1.5, np.random.default_rng(0))
    before, after = (ball() > 300).sum(), (thinner > 300).sum()
    assert 0.4 < after / before < 0.75  # of 7 mm, about 1.5 on each side
    changed = np.abs(thinner - ball()) > 1
    assert (away()[changed] > BRAIN - 3).all()
    assert (away()[changed] < SKULL + 3).all()


def test_a_childs_skull_is_thin_dense_and_closed() -> None:
    child = childs_skull(ball(), np.random.default_rng(0))
    bone = child > 300
    assert 0.2 < bone.sum() / (ball() > 300).sum() < 0.6  # of 7 mm, 2 to 3
    pieces, _ = ndimage.label(~bone)
    middle, outside = pieces[SIZE // 2, SIZE // 2, SIZE // 2], pieces[0, 0, 0]
    assert middle != outside
    assert np.array_equal(child < -200, ball() < -200)


def test_a_brain_has_water_around_it_and_in_it_some_have_much() -> None:
    water = []
    for seed in range(4):
        inside = away() < BRAIN
        brain = drawn_brain(inside, np.random.default_rng(seed))
        assert (brain.csf + brain.dura).max() <= 1 + 1e-6
        assert np.median(brain.csf[away() < BRAIN / 2]) < 0.5  # a brain all the same
        water.append(float(brain.csf[inside].mean()))
    assert max(water) > 1.3 * min(water) > 0


def test_water_is_darker_than_the_brain_and_in_some_as_dark_as_bone() -> None:
    drawn = [contrast(np.random.default_rng(seed)) for seed in range(60)]
    assert all(one["csf"] < one["grey"] < one["white"] for one in drawn)
    assert any(one["csf"] < one["bone"] for one in drawn)


def test_a_person_is_drawn_from_the_seed_and_written_on_one_grid(tmp_path: Path) -> None:
    grid = Grid((SIZE,) * 3, (1.0, 1.0, 1.0), (3.0, -20.0, 70.0), SAGITTAL)
    ct = Volume(ball().astype(np.int16), grid)
    one, same, other = (another_person(ct, np.random.default_rng(seed)).voxels for seed in (4, 4, 5))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    write_volume(ct, tmp_path / "ball.nii.gz")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), str(tmp_path / "ball.nii.gz"), "--each", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["made"] == 1
    mr, beside = (read_volume(tmp_path / "out" / kind / "ball-01.nii.gz") for kind in ("mr", "ct"))
    assert mr.grid == beside.grid
    assert np.median(mr.voxels[beside.voxels > 900]) < np.median(mr.voxels[np.abs(beside.voxels - 38) < 10])
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout.splitlines()[-1])["made"] == 0


def test_what_is_no_ct_is_told_in_a_line(tmp_path: Path) -> None:
    flat = Volume(np.full((9, 9, 9), 7, np.int16), Grid((9,) * 3, (1.0,) * 3, (0.0,) * 3, SAGITTAL))
    write_volume(flat, tmp_path / "mr.nii.gz")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), str(tmp_path / "mr.nii.gz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "this is no CT in HU" in done.stderr
    assert "Traceback" not in done.stderr
