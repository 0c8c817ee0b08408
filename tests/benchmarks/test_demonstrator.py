"""The baselines that the demonstrator is measured beside say what they are told, and nothing outside the head."""

from __future__ import annotations

import numpy as np

import phantom
from demonstrator import BONE_HU, FAT_HU, SOFT_HU, by_classes
from mr2ct.head import head_mask
from mr2ct.volume import Volume


def testby_classes_go_by_grey_values_inside_the_head_alone() -> None:
    grid = phantom.grid_around((0, 0, 0), (64, 64, 48), (4.0, 4.0, 4.0), phantom.SAGITTAL)
    mr, _ = phantom.draw(grid, phantom.Head(), seed=0)
    mr = Volume(mr.voxels.astype(np.int16), mr.grid)
    head = head_mask(mr)
    even, three = by_classes(mr, []), by_classes(mr, [BONE_HU, SOFT_HU, FAT_HU])
    assert even.grid == three.grid == mr.grid
    assert set(np.unique(even.voxels[head])) == {SOFT_HU}
    assert set(np.unique(three.voxels[head])) == {BONE_HU, SOFT_HU, FAT_HU}
    assert (even.voxels[~head] == -1000).all()
    means = [mr.voxels[head & (three.voxels == hu)].mean() for hu in (BONE_HU, SOFT_HU, FAT_HU)]
    assert means == sorted(means)
