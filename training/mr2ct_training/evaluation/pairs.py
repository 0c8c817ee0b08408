"""Which synthetic CT is measured against which CT: PAIRS.csv.

    patient,method,synthetic,reference,mask,mr,cycled_mr
    anna,unpaired,sct/anna_unpaired.nii.gz,ct/anna.nii.gz,,mr/anna.nii.gz,

mask, mr and cycled_mr, which needs mr, may be left out, as columns or row by row; paths are absolute or relative to
the table's folder.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("patient", "method", "synthetic", "reference")
OPTIONAL = ("mask", "mr", "cycled_mr")


class EvaluationError(ValueError):
    """What cannot be evaluated; one line, which names the table's row where it is a row's fault."""


@dataclass(frozen=True)
class Pair:
    """One row. where: the table, the line and whose it is, as messages begin. Of mask and mr the mask counts.

    cycled_mr: the synthetic CT, translated back to an MR.
    """

    where: str
    patient: str
    method: str
    synthetic: Path
    reference: Path
    mask: Path | None
    mr: Path | None
    cycled_mr: Path | None = None


def read_pairs(table: Path) -> list[Pair]:
    """Every row of the table, in its order; each file that it names exists. Raises EvaluationError."""
    lines, columns = _rows(table)
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise EvaluationError(
            f"{table}: no column {', '.join(missing)}; needed, comma-separated: {', '.join(NEEDED)}; "
            f"if wanted: {', '.join(OPTIONAL)}"
        )
    if not lines:
        raise EvaluationError(f"{table}: no rows; one is needed for each synthetic CT")
    pairs: list[Pair] = []
    for number, cells in lines:
        pair = _pair(table, number, cells)
        for before in pairs:
            _refuse_conflict(pair, before)
        pairs.append(pair)
    return pairs


def _rows(table: Path) -> tuple[list[tuple[int, dict[str | None, str]]], list[str]]:
    """(line number, cells by column) of each row, cells stripped, and the columns."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, restval="")
            columns = [column.strip() for column in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = []
            for row in reader:
                if None in row:
                    raise EvaluationError(f"{table}, line {reader.line_num}: more cells than there are columns")
                rows.append((reader.line_num, {column: cell.strip() for column, cell in row.items()}))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise EvaluationError(f"{table}: cannot be read as a table: {reason}") from error
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise EvaluationError(f"{table}: column {twice!r} is there twice")
    return rows, columns


def _pair(table: Path, number: int, cells: dict[str | None, str]) -> Pair:
    patient, method = cells["patient"], cells["method"]
    where = f"{table}, line {number} (patient {patient or '?'}, method {method or '?'})"
    empty = [column for column in NEEDED if not cells[column]]
    if empty:
        raise EvaluationError(f"{where}: {' and '.join(empty)} empty")
    files: dict[str, Path | None] = {}
    for column in ("synthetic", "reference", *OPTIONAL):
        cell = cells.get(column, "")
        files[column] = table.parent / cell if cell else None
        path = files[column]
        if path is not None and (reason := _missing(path)):
            raise EvaluationError(f"{where}: {column} {path}: {reason}")
    synthetic, reference = files["synthetic"], files["reference"]
    assert synthetic is not None and reference is not None
    if synthetic.resolve() == reference.resolve():
        raise EvaluationError(f"{where}: synthetic and reference are the same file")
    if files["cycled_mr"] is not None and files["mr"] is None:
        raise EvaluationError(f"{where}: cycled_mr without mr; the MR that it should equal is needed")
    return Pair(where, patient, method, synthetic, reference, files["mask"], files["mr"], files["cycled_mr"])


def _missing(path: Path) -> str:
    """Why there is no file at a path, or ""."""
    try:
        return "" if path.is_file() else "a folder" if path.is_dir() else "no such file"
    except OSError as error:  # a name too long, a folder that may not be looked into
        return str(error.strerror)


def _refuse_conflict(pair: Pair, before: Pair) -> None:
    """Raise EvaluationError when a row cannot stand beside an earlier one."""
    if pair.patient != before.patient:
        return
    line = before.where.partition(" (")[0]
    if pair.method == before.method:
        raise EvaluationError(f"{pair.where}: this patient and method are those of {line} already")
    if pair.reference.resolve() != before.reference.resolve():
        raise EvaluationError(
            f"{pair.where}: reference {pair.reference.name}, but {line} has {before.reference.name} for the same "
            "patient; mixed patients"
        )
