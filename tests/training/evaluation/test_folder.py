"""What lies in the folder afterwards, and what no longer does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.errors import OutputError
from mr2ct_training.evaluation import folder
from mr2ct_training.evaluation.folder import check_folder, write
from mr2ct_training.evaluation.results import Evaluation


def test_an_older_reports_picture_does_not_stay(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "report", lambda _: {"table.md": b"", "cycle.png": b""})
    write(evaluation, tmp_path, overwrite=False)
    (tmp_path / "mine.txt").touch()
    assert (tmp_path / "cycle.png").exists()
    monkeypatch.setattr(folder, "report", lambda _: {"table.md": b""})
    written = write(evaluation, tmp_path, overwrite=True)
    assert {file.name for file in tmp_path.iterdir()} == {"mine.txt", *(path.name for path in written)}
    assert not (tmp_path / "cycle.png").exists()


@pytest.mark.parametrize("name", ["results.json", "table.md", "cycle.png"])
def test_any_file_of_a_report_is_in_the_way_before_anything_is_measured(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(OutputError, match=f"{name}: exists already; --overwrite replaces it"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)


def test_planes_are_not_in_the_results(evaluation: Evaluation) -> None:
    assert '"planes"' not in evaluation.to_json()
