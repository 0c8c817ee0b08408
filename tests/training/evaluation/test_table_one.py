"""Table 1, ours and the paper's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mr2ct_training.evaluation.conventions import PAPER, SYNTHRAD2023
from mr2ct_training.evaluation.metrics import error_metrics
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.structural import structural_metric
from mr2ct_training.evaluation.table_one import heading, our_table, paper_table


def test_the_table_has_the_figures_of_the_results(evaluation: Evaluation) -> None:
    table = our_table(evaluation)
    assert table.columns == ("Patient", "near", "far", "near", "far")
    assert table.groups == (("MAE in mask [HU]", 2), ("PSNR in mask, range 4095 HU [dB]", 2))
    for cells in table.rows:
        rows = [row for row in evaluation.rows if row.patient == cells[0]]
        mae = [row.values["mae_hu_in_mask"] for row in rows]
        psnr = [row.values["psnr_db_in_mask_range_4095"] for row in rows]
        assert list(cells[1:]) == [f"{value:.1f}" for value in (*mae, *psnr)]
    assert [cells[0] for cells in table.rows] == ["anna", "bob", "carl"]
    assert table.foot[0][:3] == ("Average \u00b1 SD", "25.0 \u00b1 5.0", "95.0 \u00b1 5.0")


def test_a_patient_without_a_method_has_a_dash(evaluation: Evaluation) -> None:
    table = our_table(replace(evaluation, rows=evaluation.rows[:-1]))
    assert table.rows[-1][0] == "carl" and table.rows[-1][1] == "30.0" and table.rows[-1][2] == "-"


def test_the_papers_table_is_the_papers_and_says_so() -> None:
    table = paper_table()
    assert "paper's own" in table.caption and "OTHER DATA" in table.caption
    figures = np.array([[float(cell) for cell in cells[1:]] for cells in table.rows])
    printed = [[float(part) for part in cell.split(" \u00b1 ")] for cell in table.foot[0][1:]]
    assert np.abs(figures.mean(axis=0) - [mean for mean, _ in printed]).max() < 0.0501
    assert np.abs(figures.std(axis=0, ddof=1) - [sd for _, sd in printed]).max() < 0.0501


def test_a_psnr_never_goes_without_its_voxels_and_range() -> None:
    headings = [heading(m, SYNTHRAD2023) for m in error_metrics(SYNTHRAD2023) if m.name == "PSNR"]
    assert headings == [
        f"PSNR in {voxels}, range 4024 HU, clipped to \u22121024..3000 HU [dB]" for voxels in ("mask", "volume")
    ]
    assert heading(structural_metric(PAPER), PAPER) == "SSIM in mask (SynthRAD 2023)"
