"""How a synthetic CT goes on from sagittal slice to sagittal slice, as curves."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mr2ct_training.evaluation.board import DPI, FONT, INK, drawable
from mr2ct_training.evaluation.figures import MOST_METHODS, MOST_PATIENTS, Picture, drawn_patients
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.wording import shortened

WIDTH, HEIGHT = 4.6, 3.0  # inches of one method's curves
OURS, THEIRS = "#c1440e", "#6b7785"


def continuity_picture(evaluation: Evaluation) -> Picture | None:
    """Mean |change| between neighbouring sagittal slices in HU over x in mm, a set of axes for each method."""
    methods, patients = evaluation.methods[:MOST_METHODS], drawn_patients(evaluation, MOST_PATIENTS)
    rows = [r for r in evaluation.rows if r.method in methods and r.patient in patients and r.continuity.x_mm]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH * len(methods), HEIGHT), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    highest = 1.15 * max(max(*row.continuity.synthetic_hu, *row.continuity.reference_hu, 1.0) for row in rows)
    reach = 1.05 * max(abs(x) for row in rows for x in row.continuity.x_mm)
    for number, method in enumerate(methods):
        axes = figure.add_axes((
            (number + 0.15) / len(methods), 0.19, 0.82 / len(methods), 0.69,
        ))  # fmt: skip
        for row in (row for row in rows if row.method == method):
            curve = row.continuity
            axes.plot(curve.x_mm, curve.reference_hu, color=THEIRS, linewidth=1.1, alpha=0.8)
            axes.plot(curve.x_mm, curve.synthetic_hu, color=OURS, linewidth=1.1, alpha=0.8)
        axes.plot([], [], color=OURS, label="synthetic CT")
        axes.plot([], [], color=THEIRS, label="CT")
        axes.set_xlim(-reach, reach)
        axes.set_ylim(0, highest)
        axes.set_title(drawable(shortened(method, 36)), fontsize=11, family=FONT, weight="bold", parse_math=False)
        axes.set_xlabel("R \N{LEFTWARDS ARROW} x [mm] \N{RIGHTWARDS ARROW} L", fontsize=9.5, family=FONT, color=INK)
        axes.set_ylabel("mean |change| [HU]", fontsize=9.5, family=FONT, color=INK)
        axes.tick_params(labelsize=8.5, labelfontfamily=FONT)
        axes.grid(color="#e3e6e9", linewidth=0.7)
        axes.legend(loc="upper center", ncols=2, frameon=False, prop={"family": FONT, "size": 8.5})
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with io.BytesIO() as file:
        canvas.print_png(file, metadata={"Software": None})
        png = file.getvalue()
    caption = (
        "Mean absolute change from each sagittal slice to the next, in the mask, from right to left; a "
        f"curve for each of {len(patients)} patient(s). A synthetic CT above the CT flickers from slice to slice, one "
        "below it is smoother."
    )
    return Picture("continuity.png", png, caption, "Change between neighbouring sagittal slices over x")
