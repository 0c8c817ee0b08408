"""What an evaluation found, as data: the text of results.json, and what a report is made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mr2ct_training.evaluation.continuity import Continuity
from mr2ct_training.evaluation.conventions import Convention
from mr2ct_training.evaluation.metrics import Metric, Values
from mr2ct_training.evaluation.planes import Planes
from mr2ct_training.evaluation.statistics import Comparison, Summary

SCHEMA = "mr2ct-evaluation/1"


@dataclass(frozen=True)
class Row:
    """One synthetic CT, measured.

    synthetic, reference, mask, mr, cycled_mr: the files, as found; the last three None where the table gives none.
    mask_source: how the mask came about, in words.  mask_voxels, mask_litres: its size.  mask_sha256: of its bits; rows
    of a patient with the same one were measured in the same voxels.  resampled: the synthetic CT was interpolated.
    values: by a metric's key, in the metric's unit; None where it is not defined.  continuity: its curves over x.
    notes: what a reader has to know, a line each.  planes: what its pictures need; not in results.json.
    """

    patient: str
    method: str
    synthetic: str
    reference: str
    mask: str | None
    mr: str | None
    cycled_mr: str | None
    mask_source: str
    mask_voxels: int
    mask_litres: float
    mask_sha256: str
    resampled: bool
    values: Values
    continuity: Continuity
    notes: tuple[str, ...]
    planes: Planes | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values; of continuity the largest jumps and their places too, (HU, x in LPS mm)."""
        excess, step = self.continuity.largest_excess, self.continuity.largest_step
        fields = asdict(replace(self, planes=None))
        del fields["planes"]
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
    def patients(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(row.patient for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def to_json(self) -> str:
        """The text of results.json; the same evaluation gives the same text. No NaN, no infinity: null."""
        fields = {**asdict(replace(self, rows=())), "rows": [row.to_json() for row in self.rows]}
        return json.dumps({"schema": SCHEMA, **fields}, indent=1, allow_nan=False) + "\n"
