"""What a card is told beside a checkpoint: known names with texts, and a line for anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct_export.about import read_about
from mr2ct_export.to_onnx import ExportError


def test_some_of_the_names_are_enough(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"name": "head", "authors": "somebody"}', encoding="utf-8")
    assert read_about(tmp_path / "about.json") == {"name": "head", "authors": "somebody"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"nmae": "head"}', "nmae: not known; known: name, version"),
        ('{"version": 1}', "not a JSON object of texts"),
        ('["head"]', "not a JSON object of texts"),
        ("head", "no JSON"),
        (None, "No such file"),
    ],
)
def test_anything_else_is_told_in_a_line(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "about.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ExportError, match=told) as caught:
        read_about(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
