"""Drawn patients differ as people do, and who they are follows from seed and number alone."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from anatomy import LABELS
from phantom import draw_labels, grid_around
from phantom_patients import drawn_patient

COHORT = [drawn_patient(0, number, f"p{number}") for number in range(24)]
CROWD = [drawn_patient(1, number, f"p{number}") for number in range(400)]


def test_a_patient_is_a_seed_and_a_number() -> None:
    assert drawn_patient(0, 5, "p5") == COHORT[5]
    assert drawn_patient(2, 5, "p5") != COHORT[5]
    assert len({patient.head.person for patient in COHORT + CROWD}) == len(COHORT + CROWD)
    assert json.loads(json.dumps(asdict(COHORT[5])))["head"]["skull_mm"] == COHORT[5].head.skull_mm


def test_a_cohort_is_of_both_sexes_many_ages_and_sizes() -> None:
    men = [np.prod(p.head.size) for p in CROWD if p.sex == "male"]
    women = [np.prod(p.head.size) for p in CROWD if p.sex == "female"]
    assert 150 < len(men) < 250
    assert 0.8 < np.mean(women) / np.mean(men) < 0.92  # 0.95 along each axis
    assert 0.02 < np.std([p.head.size[0] for p in CROWD if p.sex == "male"]) < 0.04
    ages = [patient.age for patient in COHORT]
    assert min(ages) < 45 < 65 < max(ages)
    assert 0.8 < np.std([patient.head.skull_mm for patient in COHORT]) < 1.5
    assert len({patient.head.teeth for patient in CROWD}) > 5
    assert np.mean([patient.head.teeth == 7 for patient in CROWD]) > 0.5


def test_ventricles_furrows_teeth_and_bone_age() -> None:
    age = [patient.age for patient in CROWD]
    for grows in (
        [p.head.ventricles for p in CROWD],
        [p.head.sulcus_mm for p in CROWD],
        [-p.head.teeth for p in CROWD],
    ):
        assert np.corrcoef(age, grows)[0, 1] > 0.15
    assert np.corrcoef(age, [patient.hu["bone"] for patient in CROWD])[0, 1] < -0.1


def test_materials_vary_about_their_tables() -> None:
    for patient in CROWD:
        assert max(patient.mr["bone"], patient.mr["tooth"]) <= 60  # below two sigma of the noise
        assert patient.hu["air"] == -1000
        assert patient.mr["air"] == 0
        assert 1000 < patient.hu["bone"] < 1500
        assert patient.mr["csf"] < patient.mr["grey"] < patient.mr["white"] < patient.mr["fat"]
    assert 0.05 < np.std([patient.mr_gain for patient in CROWD]) < 0.1


def test_heads_and_their_skulls_are_of_different_volume() -> None:
    grid = grid_around((0, 0, 10), (32, 40, 38), (6.0, 6.0, 6.0))
    drawn = [draw_labels(grid, patient.head) for patient in COHORT[:6]]
    for tissues in (set(LABELS) - {"air"}, {"bone", "diploe"}):
        volumes = [np.isin(labels, [LABELS.index(tissue) for tissue in tissues]).sum() for labels in drawn]
        assert max(volumes) > 1.1 * min(volumes)
