"""What comes back of an MR."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct.cycle_error import mr_range, relative_error
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.evaluation.conventions import PAPER
from mr2ct_training.evaluation.cycle import CYCLE
from mr2ct_training.evaluation.pairs import EvaluationError, Pair
from mr2ct_training.evaluation.scoring import metrics_of, score


def pair(drawn: Path, cycled: Path | None) -> Pair:
    near, ct, mask, mr = (drawn / name / "anna.nii.gz" for name in ("near", "ct", "mask", "mr"))
    return Pair("pairs.csv, line 2 (patient anna, method near)", "anna", "near", near, ct, mask, mr, cycled)


def test_the_error_is_in_percent_of_the_range_in_the_mask() -> None:
    mr = np.concatenate([np.linspace(100, 1100, 201), [9000.0]])
    low, high = mr_range(mr, np.ones(202, bool))  # 99.5 percent leave the last one out
    assert low == 100 and 1090 < high < 1200
    assert relative_error(np.array([50, 150], np.int16), np.array([100, 100], np.uint16), (0, 1000)).tolist() == [5, 5]


def test_a_row_with_a_cycled_mr_has_its_mean_error_and_its_planes(drawn: Path, tmp_path: Path) -> None:
    mr = read_volume(drawn / "mr" / "anna.nii.gz")
    mask = read_volume(drawn / "mask" / "anna.nii.gz").voxels > 0
    low, high = mr_range(mr.voxels, mask)
    off = np.where(mask, round((high - low) / 20), 5000)  # what is outside the mask does not count
    write_volume(Volume((mr.voxels + off).astype(np.int16), mr.grid), tmp_path / "cycled.nii.gz")
    row = score(pair(drawn, tmp_path / "cycled.nii.gz"), PAPER, resample=False)
    assert row.values[CYCLE.key] == pytest.approx(5, abs=0.05)
    assert row.planes is not None and row.planes.mr is not None and row.planes.cycled is not None
    assert row.planes.cycled["sagittal"].shape == row.planes.mr["sagittal"].shape
    assert row.cycled_mr == str(tmp_path / "cycled.nii.gz")
    without = score(pair(drawn, None), PAPER, resample=False)
    assert CYCLE.key not in without.values and without.planes is not None and without.planes.cycled is None
    assert CYCLE in metrics_of(PAPER, cycle=True) and CYCLE not in metrics_of(PAPER)


def test_a_cycled_mr_on_another_grid_is_refused_or_laid_there(drawn: Path, tmp_path: Path) -> None:
    mr = read_volume(drawn / "mr" / "anna.nii.gz")
    x, y, z = mr.grid.origin
    write_volume(Volume(mr.voxels, replace(mr.grid, origin=(x + 1, y, z))), tmp_path / "moved.nii.gz")
    moved = pair(drawn, tmp_path / "moved.nii.gz")
    with pytest.raises(EvaluationError, match=r"cycled_mr .*not on the MR's grid \(voxels up to 1.00 mm away\)"):
        score(moved, PAPER, resample=False)
    row = score(moved, PAPER, resample=True)
    assert row.values[CYCLE.key] is not None and "cycled MR RESAMPLED onto the MR's grid" in row.notes[0]


def test_an_mr_of_no_contrast_is_not_drawn_and_it_is_said(drawn: Path, tmp_path: Path) -> None:
    mr = read_volume(drawn / "mr" / "anna.nii.gz")
    write_volume(Volume(np.full_like(mr.voxels, 7), mr.grid), tmp_path / "flat.nii.gz")
    row = score(replace(pair(drawn, None), mr=tmp_path / "flat.nii.gz"), PAPER, resample=False)
    assert row.planes is not None and row.planes.mr is None
    assert row.notes[0].startswith("the MR is not drawn: the MR has no contrast")
