"""The head of a CT, and nothing of what holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

import phantom
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_training.ct_head import ct_head_mask, refuse_no_ct, without_surroundings

GRID = phantom.grid_around((0, 15, -10), (104, 140, 80), (2.0, 2.0, 2.9))
FAR_MM = 2.5  # outside the skin: more than the mask's own millimetre and half a voxel
FOLDS = 0.015  # of the mask: behind ears and under the nose it spans air farther out than that
ADDED = 0.002  # of the head: what is left of a cup that touches it, where it does
MIDDLE = (0.0, 0.0, 30.0)  # LPS mm, in the brain
CAVITIES = {"maxillary sinus": (30.0, -54.0, -20.0), "throat": (0.0, 0.0, -60.0), "windpipe": (0.0, -4.0, -118.0)}
LOST = 5e-4  # of the tissue, 2 ml: half an ear

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """A phantom's CT, (k, j, i) HU; its tissue; mm from it, 0 inside; and LPS mm of every voxel."""

    hu: NDArray[np.int16]
    tissue: Mask
    away: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    tissue = phantom.draw_labels(GRID) > 0
    away = sitk.SignedMaurerDistanceMap(GRID.image(tissue.astype(np.uint8)), False, False, True)
    k, j, i = np.indices(GRID.shape)
    x, y, z = np.moveaxis(GRID.points(np.stack([i, j, k], axis=-1).astype(float)), -1, 0)
    hu = phantom.draw(GRID, seed=3)[1].voxels
    return Drawn(hu, tissue, np.maximum(sitk.GetArrayFromImage(away), 0), x, y, z)


@pytest.fixture(scope="module")
def bare(drawn: Drawn) -> Mask:
    """What is found of the head when nothing holds it."""
    return ct_head_mask(Volume(drawn.hu, GRID))


def couch(drawn: Drawn, hu: NDArray[np.int16]) -> Mask:
    """A shell of carbon fibre around foam, from side to side, behind the head."""
    back = drawn.y.max()
    hu[drawn.y > back - 20] = -900
    shell: Mask = (drawn.y > back - 4) | ((drawn.y > back - 20) & (drawn.y < back - 16))
    hu[shell] = 0
    return shell


def head_rest(drawn: Drawn, hu: NDArray[np.int16]) -> Mask:
    """A solid cup that follows the head at 8 mm and touches it at the back."""
    cup: Mask = (drawn.away > 8) & (drawn.away < 12) & (drawn.y > 40)
    touching = (abs(drawn.x) < 4) & (abs(drawn.z - 10) < 4) & (drawn.away > 0) & (drawn.away < 10) & (drawn.y > 60)
    hu[cup | touching] = 60
    return cup


def thermoplastic_mask(drawn: Drawn, hu: NDArray[np.int16]) -> Mask:
    """A perforated sheet over the face, 4 mm in front of it."""
    sheet: Mask = (drawn.away > 4) & (drawn.away < 7) & (drawn.y < 30)
    holes = np.indices(hu.shape).sum(axis=0) % 2 == 0
    hu[sheet & ~holes] = 100
    return sheet


def index_of(grid: Grid, point: tuple[float, float, float]) -> tuple[int, int, int]:
    """(k, j, i) of the voxel at an LPS point."""
    i, j, k = np.rint((np.array(point) - grid.origin) @ grid.axes / grid.spacing).astype(int).tolist()
    return k, j, i


def assert_is_the_head(mask: Mask, drawn: Drawn) -> None:
    assert mask[drawn.tissue].mean() > 1 - LOST
    assert (mask & (drawn.away > FAR_MM)).sum() < FOLDS * mask.sum()
    for place in [*CAVITIES.values(), MIDDLE]:
        assert mask[index_of(GRID, place)], place


def test_the_phantom_has_air_where_the_cavities_are_said_to_be(drawn: Drawn) -> None:
    assert all(not drawn.tissue[index_of(GRID, place)] for place in CAVITIES.values())
    assert drawn.tissue[index_of(GRID, MIDDLE)]


def test_a_head_in_air_is_found_whole_with_its_cavities(drawn: Drawn, bare: Mask) -> None:
    assert bare[drawn.tissue].mean() > 1 - LOST
    assert (bare & (drawn.away > FAR_MM)).sum() < FOLDS * bare.sum()
    assert all(bare[index_of(GRID, place)] for place in CAVITIES.values())


@pytest.mark.parametrize("fixings", [(head_rest,), (thermoplastic_mask,), (couch, head_rest)])
def test_what_holds_the_head_is_not_of_it(drawn: Drawn, bare: Mask, fixings: Any) -> None:
    hu = drawn.hu.copy()
    painted = [fixing(drawn, hu) for fixing in fixings]
    mask = ct_head_mask(Volume(hu, GRID))
    assert mask[drawn.tissue].mean() > 1 - LOST
    assert (mask & ~bare).sum() < ADDED * bare.sum()
    for fixing in painted:
        assert fixing[~bare].sum() > 20 * (mask & ~bare & fixing).sum()


def test_the_head_is_found_in_a_tilted_volume() -> None:
    axes = phantom.oblique(12, -8, 15) @ phantom.SAGITTAL
    grid = phantom.grid_around((0, 10, 0), (96, 96, 76), (2.8, 2.8, 3.2), axes)
    ct = phantom.draw(grid, seed=1)[1]
    tissue, mask = ct.voxels > -500, ct_head_mask(ct)
    assert mask[tissue].mean() > 0.98  # a voxel of 3 mm at the skin is as much air as tissue
    assert tissue.sum() < mask.sum() < 1.2 * tissue.sum()


def test_outside_the_head_is_air_and_inside_all_as_it_was(drawn: Drawn) -> None:
    ct, head = Volume(drawn.hu, GRID), drawn.tissue
    alone = without_surroundings(ct, head)
    assert alone.voxels.dtype == ct.voxels.dtype and alone.grid == ct.grid
    assert (alone.voxels[~head] == -1000).all()
    assert np.array_equal(alone.voxels[head], ct.voxels[head])


def test_a_ct_of_nothing_but_a_couch_is_refused(drawn: Drawn) -> None:
    hu = np.full_like(drawn.hu, -1000)
    couch(drawn, hu)
    with pytest.raises(VolumeError, match="no head in this CT"):
        ct_head_mask(Volume(hu, GRID))


def test_a_ct_is_taken_for_one_and_nothing_else_is(drawn: Drawn) -> None:
    refuse_no_ct(Volume(drawn.hu, GRID))
    refuse_no_ct(Volume(np.where(drawn.hu < -900, -3024, drawn.hu), GRID))
    mr = phantom.draw(phantom.grid_around((0, 0, 0), (60, 60, 60), (4, 4, 4)), seed=1)[0]
    no_ct = {"an MR": mr.voxels, "no rescale intercept": drawn.hu + 1024, "all air": np.full_like(drawn.hu, -1000)}
    for what, voxels in no_ct.items():
        grid = mr.grid if what == "an MR" else GRID
        with pytest.raises(VolumeError, match="no CT in HU"):
            refuse_no_ct(Volume(voxels, grid))


# What is where in the real CTs, (k, j, i), read off pictures of them.
HEAD = {
    "headneck_planning": {
        "nose": (39, 20, 131),
        "chin": (10, 24, 127),
        "ear": (22, 134, 214),
        "maxillary sinus": (30, 82, 148),
        "nape": (20, 240, 140),
    },
    "medimodel_skull": {
        "nose": (9, 16, 119),
        "left ear": (17, 151, 217),
        "right ear": (12, 146, 28),
        "its thinnest part": (17, 143, 28),
        "nasal passage": (8, 48, 118),
        "occiput": (20, 232, 124),
    },
    "visible_human_male": {"nose": (110, 13, 64), "frontal sinus": (180, 55, 46), "ear canal": (126, 137, 29)},
}
HOLDS = {
    "headneck_planning": {"couch": (20, 272, 140), "thermoplastic mask": (28, 22, 131), "frame": (44, 259, 193)},
    "medimodel_skull": {"cushion": (20, 246, 124), "head rest": (57, 246, 112), "its wing": (23, 180, 29)},
    "visible_human_male": {"bag at the nose": (106, 14, 57), "bag at the chin": (60, 22, 75)},
}


@pytest.mark.heads
@pytest.mark.parametrize("name", HEAD)
def test_real_heads_lose_what_holds_them_and_keep_nose_and_ears(heads: Path, name: str) -> None:
    ct = read_volume(heads / "ct" / f"{name}.nii.gz")
    refuse_no_ct(ct)
    mask = ct_head_mask(ct)
    assert {part: bool(mask[place]) for part, place in HEAD[name].items()} == dict.fromkeys(HEAD[name], True)
    assert {part: bool(mask[place]) for part, place in HOLDS[name].items()} == dict.fromkeys(HOLDS[name], False)
    litres = mask.sum() * np.prod(ct.grid.spacing) / 1e6
    assert 3 < litres < 7  # a head without and one with its neck and some shoulder
