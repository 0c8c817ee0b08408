"""mr2ct-export of a model folder: more graphs, of the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mr2ct.model import CARD, graph_file, open_model
from mr2ct_export.cli import main
from mr2ct_export.folder import Exported
from small_models import write_model

FP32, FP16 = graph_file("fp32"), graph_file("fp16")


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def plain(trained_export: Exported, trained_folder: Path, tmp_path: Path) -> Path:
    """The model folder without its fp16 graph."""
    folder = tmp_path / "plain"
    shutil.copytree(trained_folder, folder)
    (folder / FP16).unlink()
    card = trained_export.card
    (folder / CARD).write_text(
        replace(
            card,
            files={name: facts for name, facts in card.files.items() if name != FP16},
            certificates=tuple(one for one in card.certificates if one.file != FP16),
        ).to_json()
    )
    assert open_model(folder).precisions == ("fp32",)
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("in_place", [False, True])
def test_a_folder_gets_the_very_fp16_graph_that_an_export_of_its_checkpoint_writes(
    in_place: bool, plain: Path, trained_folder: Path, tmp_path: Path
) -> None:
    out = plain if in_place else tmp_path / "more"
    before = content_of(plain)
    result = command(plain, "--fp16", "--out", out, "--overwrite")
    assert result.exit_code == 0, result.output
    assert content_of(out) == content_of(trained_folder)
    assert in_place or content_of(plain) == before
    assert f"  {FP16}  " in result.stdout


@pytest.mark.parametrize("more", [["--gate", "t1.nii.gz"], ["--weights", "fp16"], ["--reference", "t1.nii.gz"]])
def test_one_thing_at_a_time_changes_in_a_folder(more: list[str], plain: Path, tmp_path: Path) -> None:
    result = command(plain, "--fp16", *more, "--out", tmp_path / "more")
    assert result.exit_code == 2
    assert "nothing else changes" in result.stderr
    assert not (tmp_path / "more").exists()


def test_a_folder_alone_says_what_it_can_get(plain: Path, tmp_path: Path) -> None:
    result = command(plain, "--out", tmp_path / "more")
    assert result.exit_code == 2
    assert "give --fp16 or --int8 for more graphs" in result.stderr


@pytest.mark.parametrize(
    ("generator", "words"), [({}, "tells no width of a generator"), ({"width": 8}, "no graph of mr2ct's generator")]
)
def test_a_model_of_another_program_is_refused(generator: dict[str, int], words: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "stranger", generator=generator).folder
    result = command(folder, "--fp16", "--out", tmp_path / "more")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "more").exists()
