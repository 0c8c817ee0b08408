"""One synthetic CT from its files, with each kind of mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct.head import head_mask
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.ct_head import ct_head_mask
from mr2ct_training.evaluation.conventions import CONVENTIONS, PAPER, SYNTHRAD2023, SYNTHRAD2025, Convention
from mr2ct_training.evaluation.pairs import EvaluationError, Pair
from mr2ct_training.evaluation.scoring import metrics_of, read_reference, score


def pair(folder: Path, **files: Path | None) -> Pair:
    plain = Pair(
        "pairs.csv, line 2 (patient anna, method near)", "anna", "near", folder / "near" / "anna.nii.gz",
        folder / "ct" / "anna.nii.gz", folder / "mask" / "anna.nii.gz", None,
    )  # fmt: skip
    return replace(plain, **files)  # type: ignore[arg-type]


def refusal(wrong: Pair, *, resample: bool = False) -> str:
    with pytest.raises(EvaluationError) as caught:
        score(wrong, PAPER, resample=resample)
    assert str(caught.value).startswith("pairs.csv, line 2 (patient anna, method near): ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_known_fault_is_measured_inside_the_mask_given(drawn: Path) -> None:
    row = score(pair(drawn), PAPER, resample=False)
    mask = read_volume(drawn / "mask" / "anna.nii.gz").voxels > 0
    assert (row.patient, row.method, row.mask_source) == ("anna", "near", "the mask given")
    assert row.mask_voxels == mask.sum() and row.mask_litres == pytest.approx(mask.sum() * 64 / 1e6)
    assert row.values["mae_hu_in_mask"] == row.values["me_hu_in_mask"] == row.values["rmse_hu_in_mask"] == 20
    assert row.values["psnr_db_in_mask_range_4095"] == pytest.approx(20 * np.log10(4095 / 20))
    assert row.values["jump_ratio_in_mask"] == pytest.approx(1)
    assert row.values["step_hu_in_mask"] == pytest.approx(0, abs=1e-9)
    assert not row.resampled


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=lambda convention: convention.name)
def test_every_metric_of_a_convention_has_its_value(drawn: Path, convention: Convention) -> None:
    row = score(pair(drawn), convention, resample=False)
    assert list(row.values) == [metric.key for metric in metrics_of(convention)]
    assert all(value is not None for value in row.values.values())
    structural = row.values[metrics_of(convention)[-4].key]
    assert structural is not None and 0.9 < structural < 1


def test_without_a_mask_it_is_the_head_seen_in_both(drawn: Path) -> None:
    known = read_reference(pair(drawn))
    synthetic, mr = read_volume(drawn / "near" / "anna.nii.gz"), drawn / "mr" / "anna.nii.gz"
    with_mr = score(pair(drawn, mask=None, mr=mr), PAPER, known, resample=False)
    assert with_mr.mask_source == "head in both reference CT and MR"
    assert with_mr.mask_voxels == (known.head & head_mask(read_volume(mr))).sum()
    without = score(pair(drawn, mask=None), PAPER, known, resample=False)
    assert without.mask_source == "head in both reference CT and synthetic CT"
    assert without.mask_voxels == (known.head & ct_head_mask(synthetic)).sum()
    assert with_mr.mask_sha256 != without.mask_sha256


def test_another_grid_is_refused_unless_it_may_be_resampled_and_then_it_is_said(drawn: Path) -> None:
    moved = pair(drawn, synthetic=drawn / "broken" / "moved.nii.gz")
    assert "not on the reference's grid (voxels up to 4.00 mm away); --resample" in refusal(moved)
    row = score(moved, PAPER, resample=True)
    assert row.resampled and any("RESAMPLED" in note for note in row.notes)
    small = pair(drawn, synthetic=drawn / "broken" / "small.nii.gz")
    assert "51 x 63 x 60 voxels, not 52 x 63 x 60" in refusal(small)


def test_resampling_onto_the_very_place_brings_the_values_back(drawn: Path, tmp_path: Path) -> None:
    """The synthetic CT on a larger grid: what lies on the reference's voxels is what it was."""
    near = read_volume(drawn / "near" / "anna.nii.gz")
    x, y, z = near.grid.origin
    i, j, k = near.grid.size
    larger = replace(near.grid, origin=(x - 4, y - 4, z - 4), size=(i + 2, j + 2, k + 2))
    write_volume(Volume(np.pad(near.voxels, 1, constant_values=-1000), larger), tmp_path / "larger.nii.gz")
    row = score(pair(drawn, synthetic=tmp_path / "larger.nii.gz"), PAPER, resample=True)
    assert row.values["mae_hu_in_mask"] == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("role", ["mask", "mr"])
def test_a_mask_or_mr_on_another_grid_is_refused_or_laid_there(drawn: Path, tmp_path: Path, role: str) -> None:
    kept = read_volume(drawn / role / "anna.nii.gz")
    x, y, z = kept.grid.origin
    write_volume(Volume(kept.voxels, replace(kept.grid, origin=(x + 2, y, z))), tmp_path / "moved.nii.gz")
    moved = replace(pair(drawn, mask=None), **{role: tmp_path / "moved.nii.gz"})  # type: ignore[arg-type]
    assert f"{role} {tmp_path / 'moved.nii.gz'}: not on the reference's grid" in refusal(moved)
    row = score(moved, PAPER, resample=True)
    assert not row.resampled and any(note.startswith(f"{role} RESAMPLED") for note in row.notes)


@pytest.mark.parametrize(
    ("role", "file", "message"),
    [
        ("synthetic", "constant", "constant.nii.gz: constant volume, 40 everywhere"),
        ("reference", "constant", "constant.nii.gz: constant volume, 40 everywhere"),
        ("synthetic", "nan", "nan.nii.gz: 7 voxels are NaN or infinite"),
        ("reference", "nan", "nan.nii.gz: 7 voxels are NaN or infinite"),
        ("synthetic", "cut", "cut.nii.gz: "),
        ("mask", "cut", "cut.nii.gz: "),
        ("mask", "empty", "empty mask"),
        ("mask", "small", "not on the reference's grid"),
    ],
)
def test_what_cannot_be_measured_is_told_with_its_row(drawn: Path, role: str, file: str, message: str) -> None:
    wrong = replace(pair(drawn), **{role: drawn / "broken" / f"{file}.nii.gz"})  # type: ignore[arg-type]
    assert message in refusal(wrong)


def test_volumes_of_the_wrong_kind_are_told(drawn: Path) -> None:
    ct, mr = drawn / "ct" / "anna.nii.gz", drawn / "mr" / "anna.nii.gz"
    assert "reference: this is no CT in HU" in refusal(pair(drawn, reference=mr, mask=None))
    assert "synthetic: this is no CT in HU" in refusal(pair(drawn, synthetic=mr, mask=None))
    assert "mr: this is a CT" in refusal(pair(drawn, mask=None, mr=ct))
    row = score(pair(drawn, synthetic=mr), PAPER, resample=False)
    assert any(note.startswith("synthetic: this is no CT in HU") for note in row.notes)


def test_what_has_no_value_is_said(drawn: Path, tmp_path: Path) -> None:
    ct = read_volume(drawn / "ct" / "anna.nii.gz")
    mask = np.zeros(ct.grid.shape, np.uint8)
    mask[40:42, 30:32, 25:27] = 1  # in the brain, and on no voxel of the last scale
    write_volume(Volume(mask, ct.grid), tmp_path / "brain.nii.gz")
    row = score(pair(drawn, mask=tmp_path / "brain.nii.gz"), SYNTHRAD2025, resample=False)
    assert row.values["mae_hu_in_mask_bone"] is None and row.values["mae_hu_in_mask"] == 20
    assert any(note.startswith("no MS-SSIM: MS-SSIM is not defined at scale") for note in row.notes)
    assert any(note.startswith("no MAE bone [HU]") for note in row.notes)
    same = score(pair(drawn, synthetic=drawn / "ct" / "anna.nii.gz"), SYNTHRAD2023, resample=False)
    assert any(note.startswith("no PSNR in mask") for note in same.notes)
