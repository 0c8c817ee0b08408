"""The report of an evaluation: table.md and report.html say the same; the pictures lie beside them too."""

from __future__ import annotations

from mr2ct_training.evaluation.markdown import markdown
from mr2ct_training.evaluation.page import page
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.evaluation.sections import pictures_of, sections

TITLE = "Synthetic CT against CT"
TABLE, PAGE = "table.md", "report.html"
PICTURES = ("sagittal.png", "axial_coronal.png", "cycle.png", "continuity.png")
REPORT_FILES = (TABLE, PAGE, *PICTURES)  # all that there can be


def report(evaluation: Evaluation) -> dict[str, bytes]:
    """The files of a report, by name; the same evaluation gives the same bytes."""
    found = sections(evaluation)
    return {
        TABLE: markdown(TITLE, found).encode(),
        PAGE: page(TITLE, found).encode(),
        **{picture.file: picture.png for picture in pictures_of(found)},
    }
