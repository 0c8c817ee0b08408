"""The paper's figures 4, 5 and 6 of these patients.

All panels have the same colours: CT in the paper's window, errors up to ERROR_HU.high; the border of the mask is drawn
into the errors, since only what lies within it is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.cycle_error import relative_error
from mr2ct_training.evaluation.board import Colours, Scale
from mr2ct_training.evaluation.cycle import CYCLE
from mr2ct_training.evaluation.layout import Column, Line, Panel, laid_out
from mr2ct_training.evaluation.planes import Cut, Planes
from mr2ct_training.evaluation.results import Evaluation, Row

MAE = "mae_hu_in_mask"
MOST_PATIENTS = 6  # as many as the paper tests; a picture of them has some 3 MB
MOST_IN_PLANES = 3  # in axial and coronal planes
MOST_METHODS = 4

CT_HU = Scale("CT", -600, 1400, "HU", "gray", (-600, -200, 200, 600, 1000, 1400))  # the paper's window, section 4
ERROR_HU = Scale("absolute error", 0, 500, "HU", "inferno", (0, 100, 200, 300, 400, 500))
CYCLE_PERCENT = Scale("relative error", 0, 20, "% of MR range", "inferno", (0, 5, 10, 15, 20))
BORDER = (70, 200, 220)  # red, green, blue of the mask's border: in neither colour map

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows. file: its name.  caption: what a reader has to know, plain text.  alt: in a line."""

    file: str
    png: bytes
    caption: str
    alt: str


def drawn_patients(evaluation: Evaluation, most: int) -> list[str]:
    """The median patient by MAE in mask (mean over methods), then others from the lowest to the highest, evenly.

    The best and the worst are always among three or more.
    """
    errors = {
        patient: float(np.mean([row.values[MAE] or 0.0 for row in evaluation.rows if row.patient == patient]))
        for patient in evaluation.patients
    }
    ranked = sorted(errors, key=lambda patient: errors[patient])
    median = (len(ranked) - 1) // 2
    others = [rank for rank in range(len(ranked)) if rank != median]
    if len(ranked) > most:
        others = [others[round(n)] for n in np.linspace(0, len(others) - 1, most - 1)]
    return [ranked[rank] for rank in (median, *others)]


def pictures(evaluation: Evaluation) -> list[Picture]:
    """What there is to draw: sagittal; axial and coronal; the cycle where there are cycled MRs."""
    found = [
        _comparison(evaluation, "sagittal.png", ("sagittal",), MOST_PATIENTS),
        _comparison(evaluation, "axial_coronal.png", ("axial", "coronal"), MOST_IN_PLANES),
        _cycle(evaluation),
    ]
    return [picture for picture in found if picture is not None]


def _comparison(evaluation: Evaluation, file: str, cuts: Sequence[Cut], most: int) -> Picture | None:
    """Figures 4 and 5: MR, synthetic CTs, CT, and each one's absolute error; a row for each patient and cut."""
    methods = evaluation.methods[:MOST_METHODS]
    of = {(row.patient, row.method): row for row in evaluation.rows if row.planes is not None}
    patients = [p for p in drawn_patients(evaluation, most) if any((p, method) in of for method in methods)]
    if not patients:
        return None
    with_mr = any(row.planes is not None and row.planes.mr is not None for row in of.values())
    columns = [
        *([Column("MR", None)] if with_mr else []),
        *(Column(f"sCT {method}" if len(methods) > 1 else "synthetic CT", CT_HU) for method in methods),
        Column("CT", CT_HU),
        *(Column(f"|error| {method}" if len(methods) > 1 else "|error|", ERROR_HU) for method in methods),
    ]
    lines = []
    for patient in patients:
        rows = [of.get((patient, method)) for method in methods]
        for cut in cuts:
            name = patient if len(cuts) == 1 else f"{cut} {patient}"
            lines.append(Line(name, cut, tuple(_panels(rows, cut, with_mr=with_mr))))
    directions = " and ".join(cuts)
    caption = (
        f"{directions.capitalize()} planes where the mask fills most. {_which(evaluation, patients, methods)} "
        "CT from \N{MINUS SIGN}600 to 1400 HU as in the paper, absolute error from 0 to 500 HU, the same for all; what "
        "lies beyond has the colour of the end. MAE is of the whole mask, whose border is the line in "
        f"the errors: only what lies within is measured. {_SIDES}"
    )
    return Picture(file, laid_out(columns, lines), caption, f"{directions} planes: synthetic CT, CT and absolute error")


_SIDES = "A anterior, P posterior; R and L are the patient's right and left (radiological convention)."


def _panels(rows: Sequence[Row | None], cut: Cut, *, with_mr: bool) -> list[Panel | None]:
    """The pictures of a patient's row; rows: by method."""
    there = [row.planes for row in rows if row is not None and row.planes is not None]
    mr = next((planes for planes in there if planes.mr is not None), None)
    synthetic = [Panel(CT_HU.paint(row.planes.synthetic[cut])) if row and row.planes else None for row in rows]
    errors = [_error(row, row.planes, cut) if row and row.planes else None for row in rows]
    of_mr = [Panel(mr_colours(mr, cut)) if mr is not None else None] if with_mr else []
    return [*of_mr, *synthetic, Panel(CT_HU.paint(there[0].reference[cut])), *errors]


def mr_colours(planes: Planes, cut: Cut, *, cycled: bool = False) -> Colours:
    """The MR, or the cycled MR, grey over the MR's own range."""
    images = planes.cycled if cycled else planes.mr
    assert images is not None and planes.mr_limits is not None
    return Scale("MR", *planes.mr_limits, "", "gray").paint(images[cut])


def _error(row: Row, planes: Planes, cut: Cut) -> Panel:
    """|synthetic - reference| with the mask's border, and the MAE of the whole mask."""
    colours = ERROR_HU.paint(np.abs(planes.synthetic[cut].astype(np.int32) - planes.reference[cut]))
    colours[border(planes.mask[cut])] = BORDER
    mae = row.values[MAE]
    return Panel(colours, "" if mae is None else f"MAE {mae:.1f} HU")


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost pixels of a mask, (rows, columns)."""
    inner = np.pad(mask, 1)
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inner
    return edge


def _cycle(evaluation: Evaluation) -> Picture | None:
    """Figure 6: MR, synthetic CT, cycled MR, relative error; a row for each patient and method."""
    methods = evaluation.methods[:MOST_METHODS]
    patients = drawn_patients(evaluation, MOST_IN_PLANES)
    lines = []
    for patient in patients:
        for row in evaluation.rows:
            if row.patient == patient and row.method in methods and row.planes and row.planes.cycled:
                name = f"{patient} {row.method}" if len(evaluation.methods) > 1 else patient
                lines.append(Line(name, "sagittal", _cycle_panels(row, row.planes)))
    if not lines:
        return None
    columns = [
        Column("MR", None), Column("synthetic CT", CT_HU), Column("cycled MR", None),
        Column("relative error", CYCLE_PERCENT),
    ]  # fmt: skip
    caption = (
        "The MR, the synthetic CT and the MR made of that again (figure 6 of the paper). "
        f"{_which(evaluation, patients, methods)} Relative error: |cycled MR \N{MINUS SIGN} MR| in percent of the MR's "
        "range in the mask (lowest value to 99.5th percentile), with its mean in the mask; the paper divides by the "
        f"local intensity instead. {_SIDES}"
    )
    return Picture("cycle.png", laid_out(columns, lines), caption, "MR, synthetic CT, cycled MR and relative error")


def _cycle_panels(row: Row, planes: Planes) -> tuple[Panel, ...]:
    cut: Cut = "sagittal"
    assert planes.mr is not None and planes.cycled is not None and planes.mr_limits is not None
    error = CYCLE_PERCENT.paint(relative_error(planes.cycled[cut], planes.mr[cut], planes.mr_limits))
    error[border(planes.mask[cut])] = BORDER
    mean = row.values[CYCLE.key]
    return (
        Panel(mr_colours(planes, cut)),
        Panel(CT_HU.paint(planes.synthetic[cut])),
        Panel(mr_colours(planes, cut, cycled=True)),
        Panel(error, "" if mean is None else f"mean {mean:.2f} %"),
    )


def _which(evaluation: Evaluation, patients: Sequence[str], methods: Sequence[str]) -> str:
    """Which patients and methods are drawn, in words."""
    count = len(evaluation.patients)
    of = "" if len(patients) == count else f" {len(patients)} of {count} patients are drawn."
    left = f" The first {len(methods)} of {len(evaluation.methods)} methods are drawn."
    order = "" if count == 1 else "First the patient of median MAE, then from the lowest MAE to the highest."
    return f"{order}{of}{left if len(methods) < len(evaluation.methods) else ''}".strip()
