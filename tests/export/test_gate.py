"""The limits of a training set come into the card, by way of data set and checkpoint, or from MRs that are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lightning.fabric import Fabric

import phantom
from drawn_volumes import COARSE, draw_volumes
from mr2ct.card import FixedWindow
from mr2ct.gate.examining import examine
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.model import CARD, INSTALLED, UNTRAINED, open_model
from mr2ct.reading import read_volume
from mr2ct.writing import write_volume
from mr2ct_export.cli import main
from mr2ct_export.gate import gate_of, measured_mrs
from mr2ct_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import Dataset
from mr2ct_training.loop import train
from mr2ct_training.prepare import Source, prepare

TINY = TrainConfig(
    width=2, blocks=1, discriminator_width=2, pad=68, epochs_flat=1, epochs_linear=0, steps_per_epoch=1, batch=1
)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != CARD}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_volumes(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def trained_checkpoint(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a step on Anna and Bob; Carl is held out."""
    folder = tmp_path_factory.mktemp("trained-gate")
    sources = [
        Source(volumes / "mr" / "anna.nii.gz", "anna", "mr", "train"),
        Source(volumes / "mr" / "bob.nii.gz", "bob", "mr", "train"),
        Source(volumes / "mr" / "carl.nii.gz", "carl", "mr", "validation"),
        Source(volumes / "ct" / "dora.nii.gz", "dora", "ct", "train"),
    ]
    prepare(sources, COARSE, folder / "data")
    return train(TINY, Dataset(folder / "data"), folder / "run", Fabric(accelerator="cpu", devices=1))


def test_what_was_prepared_and_trained_on_becomes_the_limits(
    volumes: Path, trained_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(trained_checkpoint)
    read = [read_volume(volumes / "mr" / f"{name}.nii.gz") for name in ("anna", "bob")]
    assert checkpoint.measured == tuple(measure(mr, head_mask(mr)) for mr in read)
    done = command(trained_checkpoint, "--out", tmp_path / "model")
    assert done.exit_code == 0, done.output
    assert "gate: the span of 2 MRs" in done.stdout
    gate = open_model(tmp_path / "model").card.gate
    assert gate is not None and gate == gate_of(checkpoint)
    assert "signal" in gate.low  # the data set's window is a fixed one
    carl = read_volume(volumes / "mr" / "carl.nii.gz")
    assert examine(carl, head_mask(carl), gate).reasons == ()


def test_mrs_that_are_named_come_before_those_of_the_training(trained_checkpoint: Path, tmp_path: Path) -> None:
    done = command(trained_checkpoint, "--gate", tmp_path / "t1.nii.gz", "--out", tmp_path / "model")
    assert done.exit_code == 1
    assert "t1.nii.gz: no such file" in done.stderr
    assert not (tmp_path / "model").exists()


def test_a_checkpoint_from_before_the_gate_makes_a_model_without_one(small: Checkpoint) -> None:
    assert gate_of(small) is None
    assert gate_of(replace(small, measured=(), mr_window=FixedWindow(0, 3500))) is None


def test_a_model_folder_gets_a_gate_and_nothing_else_changes(volumes: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "model", INSTALLED / UNTRAINED
    names = [volumes / "mr" / f"{name}.nii.gz" for name in ("anna", "bob")]
    done = command(folder, "--gate", names[0], "--gate", names[1], "--out", out)
    assert done.exit_code == 0, done.output
    before, after = (json.loads((place / CARD).read_text()) for place in (folder, out))
    assert after.pop("gate")["volumes"] == 2
    assert after == before
    assert content_of(out) == content_of(folder)
    again = command(out, "--gate", names[0], "--out", out, "--overwrite")
    assert again.exit_code == 0, again.output
    gate = open_model(out).card.gate
    assert gate is not None and gate.volumes == 1
    assert content_of(out) == content_of(folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--gate MR.nii.gz for another gate"),
        (["--gate", "t1.nii.gz", "--fp16"], "more graphs, --gate or --triton, and nothing else changes"),
    ],
    ids=["no gate", "something else too"],
)
def test_wrong_usage_of_a_model_folder_is_told(options: list[str], told: str, tmp_path: Path) -> None:
    done = command(INSTALLED / UNTRAINED, *options, "--out", tmp_path / "model")
    assert done.exit_code == 2
    assert told in done.stderr


def test_an_mr_that_cannot_be_used_is_told_by_name(volumes: Path, tmp_path: Path) -> None:
    done = command(INSTALLED / UNTRAINED, "--gate", volumes / "ct" / "dora.nii.gz", "--out", tmp_path / "model")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "dora.nii.gz: this is a CT" in line
    write_volume(phantom.draw(phantom.grid_around((0, 0, 0), (12, 12, 12), (4, 4, 4)))[0], tmp_path / "brain.nii.gz")
    done = command(INSTALLED / UNTRAINED, "--gate", tmp_path / "brain.nii.gz", "--out", tmp_path / "model")
    assert done.exit_code == 1 and "brain.nii.gz: the head fills" in done.stderr
    assert not (tmp_path / "model").exists()


def test_a_checkpoint_keeps_what_was_measured(small: Checkpoint, volumes: Path, tmp_path: Path) -> None:
    measured = measured_mrs([volumes / "mr" / "anna.nii.gz"])
    save_checkpoint(replace(small, measured=measured), tmp_path / "brain.pt")
    assert load_checkpoint(tmp_path / "brain.pt").measured == measured
