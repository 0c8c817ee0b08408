"""MODEL_CARD's tables say what was measured, and of which head and version."""

from __future__ import annotations

from typing import Any

from model_tables import FAULTS, HEADS, faults_text, graphs_text, skull_text


def of_heads(value: float) -> dict[str, Any]:
    return {"heads": [{"head": head, **dict.fromkeys(FAULTS, value)} for head in HEADS]}


def of_people(*mae: float) -> dict[str, Any]:
    return {"heads": [{"mae_hu": one, "bone_dice": 0.5, "inside_skull_mae_hu": 20.0} for one in mae]}


def test_faults_stand_version_beside_version_and_people_in_their_mean() -> None:
    older, newer = of_heads(3.0), of_heads(1.0)
    newer["heads"][-1]["largest_hole_mm"] = 7.0  # of the last head alone
    newer["heads"] += [{"head": f"ct {n}", "slice_to_slice": change} for n, change in enumerate((1.02, 0.9, 0.95))]
    text = faults_text([(older, of_people(100, 120)), (newer, of_people(80, 90))])
    lines = text.splitlines()
    assert lines[0].startswith("| version 1, 2 | aged 15 (seg3d) |")
    assert "| its widest hole, mm | 3, 1 | 3, 1 | 3, 1 | 3, 7 |" in lines
    assert lines[-3] == "From slice to slice 3 real CTs change by 0.90 to 1.02."
    assert lines[-1].endswith("MAE 110, 85 HU, bone Dice 0.50, 0.50, MAE inside the skull 20, 20 HU.")


def test_a_graph_outside_its_budget_is_told_to_be() -> None:
    row = {
        "head": "reference", "precision": "int8", "engine": "an engine", "bytes": 11_500_000, "mean_hu": 0.5,
        "p99_9_hu": 10.25, "max_hu": 40.0, "budget_hu": {"mean_hu": 1.0, "p99_9_hu": 20.0}, "passed": True,
    }  # fmt: skip
    other = {**row, "head": "p08", "bytes": None, "p99_9_hu": 21.5, "passed": False}
    result = {"hardware": {"cpu": "a CPU"}, "date": "2000-01-01", "int8_layers": ["a", "b"], "graphs": [row, other]}
    lines = graphs_text(result).splitlines()
    assert lines[2] == "| int8: an engine | drawn, the card's | 11.5 MB | 0.5, 10, 40 HU | mean 1, p99.9 20 HU |"
    assert lines[3] == "| int8: an engine | p08 |  | 0.5, 22, 40 HU | mean 1, p99.9 20 HU: outside |"
    assert lines[-1] == "In int8: 2 of the 20 convolutions that could be."


def test_a_real_skull_is_told_as_registered_and_as_it_fits_best() -> None:
    measured = {"bone_dice": 0.68, "surface_mean_mm": 1.9, "surface_p95_mm": 5.0}
    best = {"bone_dice": 0.73, "surface_mean_mm": 1.68, "surface_p95_mm": 5.1}
    rows = [
        {"method": name, "bone_cm3": 539.3, "as_registered": measured, "shifted": best} for name in ("head-t1", "other")
    ]
    result = {"mr": "seg3d", "skull_cm3": 429.9, "shift_mm": [2.7, -0.9, 0.0], "methods": rows}
    lines = skull_text(result).splitlines()
    assert lines[2] == "| **head-t1** | 0.68 | 1.9 mm | 5.0 mm | 0.73 | 1.7 mm |"
    assert lines[3].startswith("| other |")
    assert "moved by 2.7, 0.9, 0 mm" in lines[-1]
    assert lines[-1].endswith("539 cm3; the skull: 430 cm3.")
