"""Which volumes go into a data set, whose they are, and who is held out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from mr2ct.errors import VolumeError
from mr2ct.reading import SUFFIXES, suffix_of
from mr2ct_training.dataset import SPLITS, DatasetError, Modality, Split
from mr2ct_training.prepare import Source

HELD_OUT = 4  # one MR patient of so many, as the paper's 6 of 24
FEWEST = 3  # MR patients; of fewer none is held out

Named = tuple[str, Split | None]  # a patient, and the split that a table gives


def sources_of(
    mrs: Sequence[Path], cts: Sequence[Path], patients: Path | None, validation: Sequence[str]
) -> list[Source]:
    """Every volume with its patient and its split. Raises VolumeError and DatasetError."""
    files: list[tuple[Path, Modality]] = [(path, "mr") for path in _volumes(mrs)]
    files += [(path, "ct") for path in _volumes(cts)]
    named: list[Named]
    if patients is None:
        named = [(path.name[: len(path.name) - len(suffix_of(path))], None) for path, _ in files]
    else:
        named = _told(patients, [path for path, _ in files])
    known = sorted({patient for patient, _ in named})
    if validation and any(split for _, split in named):
        raise DatasetError(f"{patients}: has a split column, so --validation is one too many")
    for patient in validation:
        if patient not in known:
            raise DatasetError(f"--validation {patient}: no such patient; there are {', '.join(known)}")
    of_mr = sorted({patient for (patient, _), (_, modality) in zip(named, files, strict=True) if modality == "mr"})
    count = max(1, len(of_mr) // HELD_OUT) if len(of_mr) >= FEWEST else 0
    held_out = set(validation) or set(of_mr[len(of_mr) - count :])
    sources = []
    for (path, modality), (patient, split) in zip(files, named, strict=True):
        by_rule: Split = "validation" if patient in held_out else "train"
        sources.append(Source(path, patient, modality, split or by_rule))
    return sources


def _volumes(paths: Sequence[Path]) -> list[Path]:
    """The paths, folders replaced by the volume files in them. Raises VolumeError for a folder without any."""
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if suffix_of(file) and not file.name.startswith("."))
        if not inside:
            raise VolumeError(f"{path}: no volume in this folder; known: {' '.join(SUFFIXES)}")
        found += inside
    return found


def _told(table: Path, files: Sequence[Path]) -> list[Named]:
    """Patient and split of each file, by a CSV. Raises DatasetError, which names the row that cannot be used."""
    told: dict[Path, Named] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{table}: cannot be read as a table: {reason}") from error
    if not {"file", "patient"} <= set(columns):
        raise DatasetError(f"{table}: needs the columns file and patient, comma-separated; has {', '.join(columns)}")
    for number, row in rows:
        where = f"{table}, line {number} ({row['file']})"
        split: Split | None = next((name for name in SPLITS if name == row.get("split")), None)
        if not row["file"] or not row["patient"]:
            raise DatasetError(f"{where}: file or patient is empty")
        if "split" in columns and split is None:
            raise DatasetError(f"{where}: split {row['split']!r}; it is {' or '.join(SPLITS)}")
        parts = Path(row["file"]).parts
        fitting = [file for file in files if file.absolute().parts[-len(parts) :] == parts]
        if not fitting:
            raise DatasetError(f"{where}: no such file among those of --mr and --ct")
        for file in fitting:
            named: Named = (row["patient"], split)
            if told.setdefault(file, named) != named:
                raise DatasetError(f"{where}: {file} has been another row's already")
    missing = next((file for file in files if file not in told), None)
    if missing is not None:
        raise DatasetError(f"{table}: no row for {missing}")
    return [told[file] for file in files]
