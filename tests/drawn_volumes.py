"""Files of drawn heads as they come from scanners, coarse enough to be read in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import phantom
from mr2ct.card import SliceGrid
from mr2ct.grid import Grid
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.prepare_volume import Settings

MR_GRID = phantom.grid_around((0, 0, 0), (63, 63, 47), (4.0, 4.0, 4.0), phantom.SAGITTAL)
CT_GRID = phantom.grid_around((0, 14, -4), (56, 69, 61), (4.0, 4.0, 4.0))
TURN, SHIFT = phantom.oblique(4, -3, 6), np.array([12.0, -8.0, 25.0])  # of the CT that lies elsewhere
COARSE = Settings(slices=SliceGrid("sagittal", rows=64, columns=64, pixel_mm=3.915, spacing_mm=4.0))


def draw_volumes(folder: Path) -> Path:
    """mr/anna, mr/bob, mr/carl; ct/anna, on a couch and in place, ct/dora; moved/anna, the same CT elsewhere."""
    for kind in ("mr", "ct", "moved"):
        (folder / kind).mkdir()
    for person, name in enumerate(["anna", "bob", "carl"]):
        mr = phantom.draw(MR_GRID, phantom.Head(person=person), seed=person)[0]
        write_volume(Volume(np.rint(mr.voxels).astype(np.int16), MR_GRID), folder / "mr" / f"{name}.nii.gz")
    for person, name in ((3, "dora"), (0, "anna")):
        ct = phantom.draw(CT_GRID, phantom.Head(person=person), seed=person + 10)[1]
        ct.voxels[:, -3:, :] = 300  # the couch
        write_volume(ct, folder / "ct" / f"{name}.nii.gz")
    axes, origin = (TURN @ CT_GRID.axes).ravel().tolist(), (TURN @ CT_GRID.origin + SHIFT).tolist()
    elsewhere = Grid(CT_GRID.size, CT_GRID.spacing, tuple(origin), tuple(axes))
    write_volume(Volume(ct.voxels, elsewhere), folder / "moved" / "anna.mha")
    return folder
