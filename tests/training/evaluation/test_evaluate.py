"""Rows of several patients and methods, in whatever order a table has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.reading import read_volume
from mr2ct_training.evaluation import masks
from mr2ct_training.evaluation.conventions import PAPER
from mr2ct_training.evaluation.evaluate import evaluate
from mr2ct_training.evaluation.pairs import read_pairs


def test_a_reference_is_read_once_and_the_rows_stay_as_they_were(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(patient, method) for method in ("far", "near") for patient in ("carl", "anna")]
    cells = [f"{p},{m},{drawn}/{m}/{p}.nii.gz,{drawn}/ct/{p}.nii.gz,{drawn}/mask/{p}.nii.gz" for p, m in rows]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["patient,method,synthetic,reference,mask", *cells]), encoding="utf-8")
    read: list[str] = []

    def counted(path: Path) -> object:
        read.append(f"{path.parent.name}/{path.name}")
        return read_volume(path)

    monkeypatch.setattr(masks, "read_volume", counted)
    told: list[int] = []
    found = evaluate(table, read_pairs(table), PAPER, resample=False, show=lambda done, _: told.append(done))
    assert [(row.patient, row.method) for row in found.rows] == rows
    assert [row.values["mae_hu_in_mask"] for row in found.rows] == [100, 90, 30, 20]
    assert sorted(name for name in read if name.startswith("ct/")) == ["ct/anna.nii.gz", "ct/carl.nii.gz"]
    assert told == [0, 1, 2, 3, 4]
    assert found.methods == ["far", "near"]
