"""The paper's figures, looked at pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom
from mr2ct.volume import Volume
from mr2ct_training.evaluation import figures
from mr2ct_training.evaluation.board import Scale
from mr2ct_training.evaluation.figures import (
    BORDER,
    CT_HU,
    ERROR_HU,
    Picture,
    border,
    drawn_patients,
    mr_colours,
    pictures,
)
from mr2ct_training.evaluation.layout import APART, GAP, LEFT, TOP, UNDER
from mr2ct_training.evaluation.planes import Planes, cut_hu, view_of
from mr2ct_training.evaluation.results import Evaluation, Row

Pixels = Callable[[bytes], NDArray[np.uint8]]


def of_patients(evaluation: Evaluation, errors: dict[str, float]) -> Evaluation:
    rows = [replace(evaluation.rows[0], patient=p, values={"mae_hu_in_mask": mae}) for p, mae in errors.items()]
    return replace(evaluation, rows=tuple(rows))


@pytest.fixture(scope="module")
def drawn_pictures(evaluation: Evaluation) -> dict[str, Picture]:
    """By file."""
    return {picture.file: picture for picture in pictures(evaluation)}


def planes_of(row: Row) -> Planes:
    assert row.planes is not None
    return row.planes


def test_the_median_patient_comes_first_and_the_best_and_worst_are_there(evaluation: Evaluation) -> None:
    assert drawn_patients(evaluation, 6) == ["bob", "anna", "carl"]  # MAE 55, 60, 65 HU
    many = of_patients(evaluation, {f"P{n}": float(n) for n in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)})
    assert drawn_patients(many, 4) == ["P4", "P0", "P5", "P9"]
    assert drawn_patients(of_patients(evaluation, {"one": 3}), 3) == ["one"]


def test_a_row_shows_mr_synthetic_cts_ct_and_errors_in_the_same_colours(
    evaluation: Evaluation, drawn_pictures: dict[str, Picture], pixels: Pixels
) -> None:
    found = pixels(drawn_pictures["sagittal.png"].png)
    near, far = (planes_of(row) for row in evaluation.rows if row.patient == "bob")
    assert near.view is far.view and near.reference is far.reference
    expected = [
        mr_colours(near, "sagittal"),
        *(CT_HU.paint(each["sagittal"]) for each in (near.synthetic, far.synthetic, near.reference)),
        *(ERROR_HU.paint(abs(each.synthetic["sagittal"] - each.reference["sagittal"])) for each in (near, far)),
    ]
    edge = border(near.mask["sagittal"])
    for error in expected[4:]:
        error[edge] = BORDER
    rows, columns, _ = expected[0].shape
    widest = max(planes_of(row).mask["sagittal"].shape[1] for row in evaluation.rows)
    x = LEFT + (widest - columns) // 2
    for number, (picture, gap) in enumerate(zip(expected, (APART, GAP, GAP, APART, GAP, 0), strict=True)):
        seen = found[TOP : TOP + rows, x : x + columns]
        assert (seen[22:] == picture[22:]).all(), number  # below the marks
        x += widest + gap
    assert found[TOP + rows + 2 : TOP + rows + UNDER - 2, LEFT:x].min() < 100  # MAE under the errors


def test_the_left_marker_is_at_the_right_side_of_the_picture() -> None:
    """Radiological convention, whatever the file's order; and the vertex is up."""
    x, y, z = phantom.LEFT_MARKER
    for axes in (phantom.AXIAL, phantom.SAGITTAL, -np.eye(3)[:, [1, 0, 2]]):
        i, j, k = (int(np.abs(np.array(axes)[:, a]).argmax()) for a in range(3))
        size = (50, 58, 60)
        grid = phantom.grid_around((0, 4, 0), (size[i], size[j], size[k]), (4.0, 4.0, 4.0), axes)
        a, b, c = phantom.positions(grid)
        marker = (a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2 < 10**2
        mask = (a / 80) ** 2 + (b / 95) ** 2 + (c / 100) ** 2 < 1
        view = view_of(mask, grid)
        through = {
            "axial": replace(view["axial"], origin=(*view["axial"].origin[:2], z)),
            "coronal": replace(view["coronal"], origin=(view["coronal"].origin[0], y, view["coronal"].origin[2])),
        }
        for cut, plane in cut_hu(Volume(np.where(marker, 1400, 0).astype(np.int16), grid), through).items():  # type: ignore[arg-type]
            rows, columns = np.nonzero(CT_HU.paint(plane)[..., 0] > 200)
            assert columns.mean() > plane.shape[1] / 2 + 6  # 38 mm to the left
            upper = rows.mean() < plane.shape[0] / 2
            assert upper == (cut == "coronal")  # 50 mm above the middle; in an axial plane 34 mm behind it


def test_many_patients_do_not_make_a_huge_picture_and_it_is_said(evaluation: Evaluation, pixels: Pixels) -> None:
    names = [f"P{n}" for n in range(40)]
    rows = [replace(row, patient=p) for p in names for row in evaluation.rows if row.patient == "anna"]
    many = replace(evaluation, rows=tuple(rows))
    few = {picture.file: picture for picture in pictures(many)}
    height = planes_of(rows[0]).mask["sagittal"].shape[0]
    assert pixels(few["sagittal.png"].png).shape[0] < figures.MOST_PATIENTS * (height + UNDER) + 200
    assert "6 of 40 patients are drawn" in few["sagittal.png"].caption
    assert "3 of 40 patients are drawn" in few["axial_coronal.png"].caption


def test_many_methods_are_left_out_and_it_is_said(evaluation: Evaluation) -> None:
    rows = [replace(evaluation.rows[0], method=f"m{n}") for n in range(6)]
    found = pictures(replace(evaluation, rows=tuple(rows)))
    assert all("The first 4 of 6 methods are drawn" in picture.caption for picture in found)


def test_a_cycle_is_drawn_only_where_there_is_one(evaluation: Evaluation, drawn_pictures: dict[str, Picture]) -> None:
    assert list(drawn_pictures) == ["sagittal.png", "axial_coronal.png", "cycle.png"]
    far = [row for row in evaluation.rows if row.method == "far"]
    alone = [
        replace(row, planes=replace(planes_of(row), mr=None, mr_limits=None)) if row.patient == "anna" else row
        for row in far
    ]
    found = pictures(replace(evaluation, rows=tuple(alone)))  # anna's MR is missing, which leaves a place free
    assert [picture.file for picture in found] == ["sagittal.png", "axial_coronal.png"]
    assert pictures(replace(evaluation, rows=tuple(replace(row, planes=None) for row in far))) == []


def test_a_cycled_mr_that_equals_the_mr_has_no_error(
    evaluation: Evaluation, drawn_pictures: dict[str, Picture], pixels: Pixels
) -> None:
    cycle = pixels(drawn_pictures["cycle.png"].png)
    nothing = figures.CYCLE_PERCENT.paint(np.zeros((1, 1)))[0, 0]
    planes = planes_of(next(row for row in evaluation.rows if row.patient == "bob"))
    rows, columns = planes.mask["sagittal"].shape
    widest = max(planes_of(row).mask["sagittal"].shape[1] for row in evaluation.rows)
    x = LEFT + 3 * (widest + APART) + (widest - columns) // 2
    panel = cycle[TOP + 22 : TOP + rows, x : x + columns]
    assert (panel[~border(planes.mask["sagittal"])[22:]] == nothing).all()


def test_the_border_of_a_mask_is_its_outermost_pixels() -> None:
    mask = np.zeros((6, 7), bool)
    mask[1:5, 2:7] = True
    edge = border(mask)
    assert edge.sum() == 14 and not edge[2:4, 3:6].any() and not edge[~mask].any()


@pytest.mark.parametrize("scale", [CT_HU, ERROR_HU, figures.CYCLE_PERCENT], ids=lambda scale: str(scale.name))
def test_the_ends_of_a_scale_have_numbers(scale: Scale) -> None:
    assert (scale.ticks[0], scale.ticks[-1]) == (scale.low, scale.high)
