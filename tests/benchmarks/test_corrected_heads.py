"""What anatomy rules out is corrected in a synthetic CT, and what it does not is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import corrected_heads
import mr2ct
from corrected_anatomy import CLEAR_HU, corrected
from mr2ct.grid import Grid
from mr2ct.volume import Volume

SIZE, MM = 84, 2.1
SCALP, SKULL, BRAIN, WATER = 84, 76, 68, 12  # radii, mm; water: of a ventricle
SPACING = (MM, MM, MM)
Array = NDArray[np.float32]


def radius() -> Array:
    z, y, x = (MM * (axis - (SIZE - 1) / 2) for axis in np.ogrid[:SIZE, :SIZE, :SIZE])
    r: Array = np.sqrt(z**2 + y**2 + x**2).astype(np.float32)
    return r


def head() -> tuple[Array, Array]:
    """MR and CT of a ball of brain with a ventricle, in bone, in a scalp; k, j, i to the left, inferior, posterior."""
    r = radius()
    mr = np.select([r < WATER, r < BRAIN, r < SKULL, r < SCALP], [150.0, 600.0, 20.0, 800.0], 0.0)
    ct = np.select([r < BRAIN, r < SKULL, r < SCALP], [35.0, 1100.0, 40.0], -1000.0)
    return mr.astype(np.float32), ct.astype(np.float32)


def places() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    k, j, i = np.indices((SIZE, SIZE, SIZE))
    return k, j, i


def test_a_ct_without_a_fault_stays_as_it_is() -> None:
    mr, ct = head()
    found, changed = corrected(mr, ct > -500, ct, ct, SPACING)
    assert (np.abs(found - ct) > 50).mean() < 1e-3
    assert changed["gaps_of_vault"] == changed["sinuses"] == 0


def test_bone_and_air_in_the_brain_become_water_or_tissue() -> None:
    mr, ct = head()
    r, (_, j, i) = radius(), places()
    wrong = np.where(r < WATER - 4, np.float32(700), ct)
    bubble = (r > 25) & (r < 40) & (j < SIZE // 2 - 10) & (abs(i - SIZE // 2) < 3)
    wrong[bubble] = -500
    found, changed = corrected(mr, ct > -500, wrong, wrong, SPACING)
    assert np.abs(found[r < BRAIN - 5] - 32).max() <= 20
    assert changed["in_brain"] > 5
    assert np.array_equal(found[r >= BRAIN], ct[r >= BRAIN])


def test_a_hole_in_the_vault_is_closed_where_the_mr_is_dark() -> None:
    mr, ct = head()
    r, (k, j, i) = radius(), places()
    hole = (np.hypot(k - SIZE // 2, i - SIZE // 2) * MM < 13) & (j < SIZE // 2) & (r > BRAIN) & (r < SKULL)
    wrong = np.where(hole, np.float32(40), ct)
    found, changed = corrected(mr, ct > -500, wrong, wrong, SPACING)
    assert changed["gaps_of_vault"] > 0
    middle = found[SIZE // 2, : SIZE // 2, SIZE // 2]
    bone = np.flatnonzero(middle > 250)
    assert len(bone) >= 2
    assert ((r[SIZE // 2, bone, SIZE // 2] > BRAIN - MM) & (r[SIZE // 2, bone, SIZE // 2] < SKULL + MM)).all()


def test_air_in_scalp_and_bone_is_none_and_spots_of_the_vault_are_bone() -> None:
    mr, ct = head()
    r, (k, j, i) = radius(), places()
    at_top = (j < 30) & (abs(i - SIZE // 2) < 2)
    wrong = np.where(at_top & (r > SKULL + 1) & (r < SCALP - 4) & (abs(k - SIZE // 2) < 2), np.float32(-700), ct)
    spot = at_top & (r > BRAIN + 3) & (r < SKULL - 3) & (abs(k - SIZE // 2) < 2)
    wrong[spot] = 30
    found, changed = corrected(mr, ct > -500, wrong, wrong, SPACING)
    assert changed["air_in_vault"] > 0 and changed["spots_of_vault"] > 0
    assert found[(r > SKULL + 1) & (r < SCALP - 4) & at_top].min() > -100
    assert found[spot].min() > 800


def test_what_an_earlier_model_had_for_air_and_is_black_is_a_sinus() -> None:
    mr, ct = head()
    _, (k, j, i) = radius(), places()
    sinus = np.sqrt((k - SIZE // 2) ** 2 + (j - 57) ** 2 + (i - 12) ** 2) * MM < 8
    mr[sinus] = 10
    now, earlier = np.where(sinus, np.float32(600), ct), np.where(sinus, np.float32(-600), ct)
    found, _ = corrected(mr, ct > -500, now, earlier, SPACING)
    assert (found[sinus] == CLEAR_HU).mean() > 0.9
    bright = np.where(sinus, np.float32(500), mr)  # marrow or fat is no air, whatever an earlier model held
    found, _ = corrected(bright, ct > -500, now, earlier, SPACING)
    assert not (found[sinus] == CLEAR_HU).any()


@pytest.mark.parametrize("turned", [False, True])
def test_the_ct_lies_on_the_mrs_own_voxels_whatever_their_order(turned: bool, tmp_path: Path) -> None:
    mr, ct = head()
    ct[:15][(ct[:15] > 0) & (ct[:15] < 100)] = 90  # one side is another
    axes = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    if turned:  # i to the right, j to posterior, k to superior
        axes = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        mr, ct = (np.ascontiguousarray(a.transpose(1, 2, 0)[::-1, :, ::-1]) for a in (mr, ct))
    volume = Volume(mr, Grid((SIZE, SIZE, SIZE), SPACING, (-90.0, -80.0, 70.0), axes))
    found, _ = corrected_heads._corrected(volume, [ct, ct])
    assert found.grid == volume.grid
    assert (np.abs(found.voxels - ct) > 40).mean() < 1e-3 < (np.abs(ct - 90) < 1).mean()
    mr2ct.write_volume(found, tmp_path / "ct.nii.gz")  # int16, as it is kept
