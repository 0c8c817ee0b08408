"""Both scanners see the same patient: in the same place, the left on the left, the CT moved only where it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from mr2ct.grid import Grid
from mr2ct.volume import Volume
from phantom import LEFT_MARKER, SAGITTAL, grid_around, oblique
from phantom_patients import Patient, drawn_patient
from phantom_scans import SCANS, Member, Scan, ct_alone, mr_and_truth

TINY = Scan(coarser=5.5)
PATIENT = drawn_patient(0, 0, "p01")


def in_the_room(patient: Patient, point: tuple[float, float, float]) -> np.ndarray:
    """LPS mm in the frame of the patient of a point of the head."""
    return oblique(*patient.turn_degrees) @ point + patient.shift_mm


def at(volume: Volume, point: np.ndarray) -> float:
    """The voxel nearest to an LPS point (mm)."""
    grid = volume.grid
    i, j, k = np.rint((point - grid.origin) @ grid.axes / grid.spacing).astype(int)
    return float(volume.voxels[k, j, i])


def onto(volume: Volume, grid: Grid) -> np.ndarray:
    """float32 (k, j, i): a CT linearly interpolated onto another grid."""
    like = grid.image(np.zeros(grid.shape, np.uint8))
    image = sitk.Resample(volume.image(), like, sitk.Transform(), sitk.sitkLinear, -1000, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(image)


def test_grids_are_the_papers() -> None:
    one = Member.of(PATIENT, SCANS["paper"], 0)
    assert (one.mr_grid.size, one.mr_grid.spacing) == ((288, 288, 183), (0.87, 0.87, 1.0))
    assert one.mr_grid.axes.T.tolist() == [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]
    assert one.ct_grid.spacing == (0.9, 0.9, 1.0)
    assert one.ct_grid.axes.tolist() == np.eye(3).tolist()
    coarse = Member.of(PATIENT, SCANS["coarse"], 0)
    assert (coarse.mr_grid.size, coarse.mr_grid.spacing) == ((96, 96, 61), (2.61, 2.61, 3.0))
    assert coarse.mr_grid.centre == pytest.approx(one.mr_grid.centre)


@pytest.mark.parametrize("number", [0, 3, 4])  # the largest of the first
def test_the_head_is_within_both_fields(number: int) -> None:
    one = Member.of(drawn_patient(0, number, "p"), Scan(coarser=4), 0)
    truth, ct = mr_and_truth(one)[1].voxels > -500, ct_alone(one)[0].voxels > -500
    assert not truth[[0, -1]].any()  # right, left
    assert not truth[:, 0].any()  # above
    assert truth[:, -1].any()  # the neck leaves below
    assert not truth[:, :, [0, -1]].any()  # before, behind
    assert not ct[:, :, [0, -1]].any()
    assert not ct[:, [0, -1]].any()
    assert not ct[-1].any()


def test_aligned_the_ct_is_the_truth_up_to_noise_and_interpolation() -> None:
    x, y, z = in_the_room(PATIENT, (0, -50, -40)).tolist()  # nose, palate, teeth, jaw
    differences = {}
    for mm in (0, 4):
        one = Member.of(PATIENT, SCANS["paper"], mm)
        one = replace(one, mr_grid=grid_around((x, y, z), (60, 60, 60), (1.0, 1.0, 1.0), SAGITTAL))
        one = replace(one, ct_grid=grid_around((x, y, z), (72, 72, 72), (0.9, 0.9, 1.0)))
        truth, (ct,) = mr_and_truth(one)[1], ct_alone(one)
        assert truth.voxels.dtype == ct.voxels.dtype == np.int16
        differences[mm] = np.abs(onto(ct, one.mr_grid) - truth.voxels)
    soft = sitk.GetArrayFromImage(sitk.GradientMagnitude(truth.image())) < 15  # HU a mm: no edge for a voxel around
    assert soft.sum() > 10_000
    assert np.percentile(differences[0][soft], 95) < 3 * PATIENT.head.ct_noise
    assert differences[0].mean() < 40  # edges included
    assert differences[4].mean() > 150


def test_misaligned_the_cranium_agrees_and_jaw_and_neck_do_not() -> None:
    aligned, moved = (Member.of(PATIENT, TINY, mm) for mm in (0, 4))
    for same, again in zip(mr_and_truth(aligned), mr_and_truth(moved), strict=True):
        assert np.array_equal(same.voxels, again.voxels)
    before, after = ct_alone(aligned)[0], ct_alone(moved)[0]
    difference = np.abs(after.voxels.astype(float) - before.voxels)
    points = before.grid.points(np.stack(np.indices(before.grid.shape)[::-1], axis=-1))
    x, y, z = np.moveaxis((points - PATIENT.shift_mm) @ oblique(*PATIENT.turn_degrees) / PATIENT.head.size, -1, 0)
    assert np.percentile(difference[z > 3], 99.9) <= 1  # HU, of rounding
    assert difference[z > 3].max() < 30  # parts are drawn in windows, which are wider where something moves
    inside = before.voxels > -500
    for jaw_or_neck in ((np.abs(x) < 35) & (y < -30) & (z < -60), (np.abs(x) < 20) & (y > 10) & (z < -60)):
        assert difference[inside & jaw_or_neck].mean() > 50


def test_bone_is_as_dark_as_air_in_the_mr() -> None:
    for number in range(3):
        patient = drawn_patient(0, number, "p")
        x, y, z = in_the_room(patient, (35, 12, -5)).tolist()  # the petrous bone, with air cells of the ear near it
        one = Member.of(patient, SCANS["paper"], 0)
        mr, truth = mr_and_truth(replace(one, mr_grid=grid_around((x, y, z), (50, 30, 20), (1.0, 1.0, 1.0))))
        units = mr.voxels / patient.mr_gain
        bone, air, soft = truth.voxels > 950, truth.voxels < -950, np.abs(truth.voxels - 40) < 15
        assert bone.sum() > 300
        assert air.sum() > 30
        assert np.median(units[bone]) < np.median(units[air]) + 60
        assert np.median(units[bone]) < 0.1 * np.median(units[soft])


@pytest.mark.parametrize("number", [0, 2])
def test_left_is_left_and_in_the_same_place(number: int) -> None:
    patient = drawn_patient(0, number, "p")
    patient = replace(patient, head=replace(patient.head, marker_mm=9, mr_noise=1, ct_noise=1))
    one = Member.of(patient, TINY, 4)
    (mr, truth), (ct,) = mr_and_truth(one), ct_alone(one)
    x, y, z = LEFT_MARKER
    left, right = (in_the_room(patient, (side * x, y, z)) for side in (1, -1))
    assert at(mr, left) > 2400 * patient.mr_gain > at(mr, right)
    for volume in (truth, ct):
        assert at(volume, left) == pytest.approx(patient.hu["capsule"], abs=5)
        assert at(volume, right) < 70


def test_coarse_voxels_are_averages_of_fine_ones() -> None:
    one = Member.of(PATIENT, Scan(coarser=6, finer=2), 0)
    sharp = replace(one, scan=Scan(coarser=6))
    averaged, sampled = (mr_and_truth(member)[1].voxels.astype(float) for member in (one, sharp))
    assert averaged.mean() == pytest.approx(sampled.mean(), abs=3)
    assert np.abs(averaged - sampled).mean() > 5
    assert np.abs(averaged - sampled)[averaged > -500].mean() < 150
