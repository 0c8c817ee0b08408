"""Where a run comes from: the patient's series, and the sha256 and version of all that made it, as HTML tables."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

import mr2ct
from mr2ct.page.text import facts, shown
from mr2ct.report import Run

HEADER = {  # DICOM keyword: what the page calls it
    "PatientName": "patient",
    "PatientID": "patient ID",
    "PatientBirthDate": "born",
    "PatientSex": "sex",
    "StudyDate": "study date",
    "StudyDescription": "study",
    "SeriesDescription": "series",
    "SeriesNumber": "series number",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "scanner",
    "MagneticFieldStrength": "field strength (T)",
    "SeriesInstanceUID": "series UID",
}
DATES = ("PatientBirthDate", "StudyDate")


def patient(run: Run) -> str:
    """Whose MR it is, by its DICOM header, as a section of the page; "" for a file."""
    if run.series is None:
        return ""
    rows = ((name, _told(run.series.header, keyword)) for keyword, name in HEADER.items())
    told = facts((name, shown(value)) for name, value in rows if value)
    return f'<section aria-labelledby="patient-title"><h2 id="patient-title">Patient and series</h2>{told}</section>'


def whose(run: Run) -> str:
    """The page's line under its title: of which patient, or of which file, and by which model."""
    header = None if run.series is None else run.series.header
    named = [] if header is None else [_told(header, keyword) for keyword in ("PatientName", "PatientID", "StudyDate")]
    parts = [part for part in named if part] or [run.source.name]
    return (
        f"{', '.join(shown(part) for part in parts)}, by {shown(run.model.card.name)} {shown(run.model.card.version)}"
    )


def _told(header: Dataset, keyword: str) -> str:
    """A header's value as text, "" where there is none; DICOM's dates with hyphens."""
    value = header.get(keyword)
    if value is None:
        return ""
    text = ", ".join(str(one) for one in value) if isinstance(value, MultiValue) else str(value)
    if keyword in DATES and len(text) == 8 and text.isdigit():  # DA, PS3.5 6.2: YYYYMMDD
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def made_of(run: Run) -> str:
    """What was made of what, by which model on which engine."""
    grid, card, choice = run.mr.grid, run.model.card, run.result.choice
    size, spacing = (" \u00d7 ".join(each) for each in (map(str, grid.size), (f"{mm:.3g}" for mm in grid.spacing)))
    air = f", {run.result.skipped} of air skipped" if run.result.skipped else ""
    low, high = run.result.mr_limits
    return facts(
        [
            ("MR", shown(run.mr_from)),
            ("its grid", f"{size} voxels of {spacing} mm"),
            ("synthetic CT", shown(run.target)),
            ("model", f"{shown(card.name)} {shown(card.version)}"),
            ("which is", shown(card.description)),
            ("trained on", shown(card.data_source)),
            ("engine", f"{shown(choice.backend.description)}, {shown(choice.precision)}"),
            ("chosen because", shown(choice.why)),
            ("slices", f"{run.result.slices} through the model{air}"),
            ("MR seen as \u22121 to 1", f"{low:.4g} to {high:.4g}, the scanner's own units"),
        ]
    )


def provenance(run: Run) -> str:
    """What identifies input, model, engine and output, and the versions of the software."""
    choice, told = run.result.choice, run.provenance
    return facts(
        [
            ("input sha256", _hash(told.input_sha256)),
            ("output sha256", _hash(run.output_sha256)),
            (f"model sha256, {choice.file}", _hash(told.model_sha256)),
            ("engine", shown(choice.backend.description)),
            ("engine sha256", _hash(told.engine_sha256)),
            ("mr2ct", shown(mr2ct.__version__)),
            ("exported by mr2ct", shown(run.model.card.mr2ct_version or "unknown")),
            ("Python", shown(platform.python_version())),
            ("numpy", shown(np.__version__)),
            ("SimpleITK", shown(sitk.Version().VersionString())),
            ("pydicom", shown(pydicom.__version__)),
            ("system", shown(platform.platform())),
            ("page written", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ]
    )


def _hash(sha256: str) -> str:
    return f"<code>{shown(sha256)}</code>"
