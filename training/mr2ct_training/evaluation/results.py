"""What an evaluation found, as data: results.json, and what a report is made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mr2ct.errors import OutputError
from mr2ct.writing import whole_or_not_at_all
from mr2ct_training.evaluation.continuity import Continuity
from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.metrics import Metric, Values
from mr2ct_training.evaluation.statistics import Comparison, Summary

SCHEMA = "mr2ct-evaluation/1"
RESULTS = "results.json"


@dataclass(frozen=True)
class Row:
    """One synthetic CT, measured.

    synthetic, reference, mask, mr: the files, as found; mask and mr None where the table gives none.  mask_source: how
    the mask came about, in words.  mask_voxels, mask_litres: its size.  mask_sha256: of its bits; rows of a patient
    with the same one were measured in the same voxels.  resampled: the synthetic CT was interpolated first.
    values: by a metric's key, in the metric's unit; None where it is not defined.  continuity: its curves over x.
    notes: what a reader has to know, a line each.
    """

    patient: str
    method: str
    synthetic: str
    reference: str
    mask: str | None
    mr: str | None
    mask_source: str
    mask_voxels: int
    mask_litres: float
    mask_sha256: str
    resampled: bool
    values: Values
    continuity: Continuity
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; of continuity the largest jumps and their places too, (HU, x in LPS mm)."""
        excess, step = self.continuity.largest_excess, self.continuity.largest_step
        fields = asdict(self)
        fields["continuity"] |= {"largest_excess_hu_x_mm": excess, "largest_step_hu_x_mm": step}
        return fields


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, in the table's order.

    table: PAIRS.csv.  metrics: what each number is, in the order in which to show them.  rows: a synthetic CT each.
    summaries: a metric of a method each.  comparisons: a metric of two methods each; none where there is one method.
    notes: what holds for all of it, a line each.  versions: of what computed it, by package.
    """

    table: str
    convention: Convention
    resample: bool
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    versions: dict[str, str]

    @property
    def methods(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def to_json(self) -> str:
        """The text of results.json; the same evaluation gives the same text. No NaN, no infinity: null."""
        fields = {**asdict(self), "rows": [row.to_json() for row in self.rows]}
        return json.dumps({"schema": SCHEMA, **fields}, indent=1, allow_nan=False) + "\n"


def documents(evaluation: Evaluation) -> dict[str, bytes]:
    """The files of an evaluation, by name: results.json. A report adds its own here, pictures too."""
    return {RESULTS: evaluation.to_json().encode()}


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when write could not write into the folder."""
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; --out names a folder")
        if (folder / RESULTS).exists() and not overwrite:
            raise OutputError(f"{folder / RESULTS}: exists already; --overwrite replaces it, --out names another place")
        if not folder.parent.is_dir():
            raise OutputError(f"{folder}: its parent folder does not exist; make it first")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error


def write(evaluation: Evaluation, folder: Path, *, overwrite: bool) -> None:
    """Write every document into the folder, which is made if need be: all of them or none. Raises OutputError."""
    check_folder(folder, overwrite=overwrite)
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error
    try:
        with whole_or_not_at_all(folder / RESULTS, overwrite=overwrite) as partial:
            for name, content in documents(evaluation).items():
                partial.with_name(name).write_bytes(content)
    except BaseException:
        if made:
            folder.rmdir()
        raise
