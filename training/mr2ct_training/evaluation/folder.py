"""The folder of an evaluation: results.json and its report, all of them or none."""

from __future__ import annotations

from pathlib import Path

from mr2ct.errors import OutputError
from mr2ct.writing import whole_or_not_at_all
from mr2ct_training.evaluation.report import REPORT_FILES, report
from mr2ct_training.evaluation.results import Evaluation

RESULTS = "results.json"


def documents(evaluation: Evaluation) -> dict[str, bytes]:
    """The files of an evaluation, by name."""
    return {RESULTS: evaluation.to_json().encode(), **report(evaluation)}


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when write could not write into the folder."""
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; --out names a folder")
        there = [folder / name for name in (RESULTS, *REPORT_FILES) if (folder / name).exists()]
        if there and not overwrite:
            raise OutputError(f"{there[0]}: exists already; --overwrite replaces it, --out names another place")
        if not folder.parent.is_dir():
            raise OutputError(f"{folder}: its parent folder does not exist; make it first")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error


def write(evaluation: Evaluation, folder: Path, *, overwrite: bool) -> list[Path]:
    """Write every document into the folder, which is made if need be: all of them or none. Returns where they are.

    What an earlier report had and this one has not, a picture say, is removed. Raises OutputError.
    """
    check_folder(folder, overwrite=overwrite)
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error
    try:
        with whole_or_not_at_all(folder / RESULTS, overwrite=overwrite) as partial:
            written = documents(evaluation)
            for name, content in written.items():
                partial.with_name(name).write_bytes(content)
    except BaseException:
        if made:
            folder.rmdir()
        raise
    for name in set(REPORT_FILES) - set(written):
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in written]
