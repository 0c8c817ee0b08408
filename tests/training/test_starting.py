"""mr2ct-train --start-from: a training begins with another one's generators, and its checkpoints say so."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from drawn_dataset import draw_dataset
from mr2ct.card import FixedWindow, PercentileWindow, SliceGrid
from mr2ct_training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from mr2ct_training.config import Scheme, TrainConfig
from mr2ct_training.dataset import Dataset
from mr2ct_training.generator import Generator, GeneratorConfig, untrained
from mr2ct_training.loop import Rhythm, StoppedError, train

SIZE: dict[str, Any] = {"width": 4, "blocks": 1, "discriminator_width": 4, "pad": 36}
SHORT = TrainConfig(**SIZE, epochs_flat=1, epochs_linear=1)
STILL = 1e-15  # a learning rate that moves no weight


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=8)


@pytest.fixture
def other(data: Dataset, tmp_path: Path) -> Path:
    """A checkpoint that fits the data set, with a way back."""
    manifest, size = data.manifest, GeneratorConfig(SIZE["width"], SIZE["blocks"])
    there, back = untrained(size, seed=11).eval(), untrained(size, seed=12).eval()
    path = tmp_path / "other.ckpt"
    save_checkpoint(
        Checkpoint(there, manifest.mr_window, manifest.ct_window_hu, slices=manifest.slices, ct_to_mr=back), path
    )
    return path


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def after(steps: int) -> Callable[[], bool]:
    asked = iter([False] * (steps - 1) + [True])
    return lambda: next(asked)


def answer(generator: Generator) -> torch.Tensor:
    slices = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        return generator(slices)


@pytest.mark.parametrize("scheme", ["paired", "unpaired"])
def test_a_training_begins_with_the_checkpoints_generators_and_says_so(
    scheme: Scheme, data: Dataset, other: Path, tmp_path: Path
) -> None:
    config = replace(SHORT, scheme=scheme, learning_rate=STILL)
    with pytest.raises(StoppedError):
        train(config, data, tmp_path / "run", fabric(), start_from=other, asked_to_stop=after(1))
    begun, its = load_checkpoint(tmp_path / "run" / "last.ckpt"), load_checkpoint(other)
    torch.testing.assert_close(answer(begun.mr_to_ct), answer(its.mr_to_ct))
    both = ["mr_to_ct", "ct_to_mr"] if scheme == "unpaired" else ["mr_to_ct"]
    assert begun.training["started_from"] == {
        "name": "other.ckpt",
        "sha256": hashlib.sha256(other.read_bytes()).hexdigest(),
        "networks": both,
    }
    if scheme == "unpaired":
        assert begun.ct_to_mr is not None and its.ct_to_mr is not None
        torch.testing.assert_close(answer(begun.ct_to_mr), answer(its.ct_to_mr))


def test_without_a_way_back_in_the_checkpoint_only_the_way_there_is_taken(
    data: Dataset, other: Path, tmp_path: Path
) -> None:
    save_checkpoint(replace(load_checkpoint(other), ct_to_mr=None), other)
    config = replace(SHORT, learning_rate=STILL)
    for name, begin in (("random", None), ("started", other)):
        with pytest.raises(StoppedError):
            train(config, data, tmp_path / name, fabric(), start_from=begin, asked_to_stop=after(1))
    random, started = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("random", "started"))
    assert "started_from" not in random.training
    assert started.training["started_from"]["networks"] == ["mr_to_ct"]
    assert random.ct_to_mr is not None and started.ct_to_mr is not None
    torch.testing.assert_close(answer(started.ct_to_mr), answer(random.ct_to_mr))
    assert not torch.allclose(answer(started.mr_to_ct), answer(random.mr_to_ct))


def test_resumed_it_ends_with_the_same_weights_and_still_knows_where_it_began(
    data: Dataset, other: Path, tmp_path: Path
) -> None:
    rhythm, runs = Rhythm(2, 2), [tmp_path / "whole", tmp_path / "cut"]
    train(SHORT, data, runs[0], fabric(), rhythm=rhythm, start_from=other)
    with pytest.raises(StoppedError):
        train(SHORT, data, runs[1], fabric(), rhythm=rhythm, start_from=other, asked_to_stop=after(3))
    other.unlink()  # the same command again: the resumed state has it all
    train(SHORT, data, runs[1], fabric(), rhythm=rhythm, resume=True, start_from=other)
    whole, cut = (load_checkpoint(run / "last.ckpt") for run in runs)
    for name, weight in whole.mr_to_ct.state_dict().items():
        assert torch.equal(weight, cut.mr_to_ct.state_dict()[name]), name
    assert cut.training["started_from"] == whole.training["started_from"]
    assert whole.training["started_from"]["name"] == "other.ckpt"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (None, "no such checkpoint"),
        ({"mr_to_ct": untrained(GeneratorConfig(4, 2))}, "--width 4 --blocks 2"),
        ({"mr_window": PercentileWindow(0, 99.5)}, "MR window"),
        ({"mr_window": FixedWindow(0, 10)}, "MR window"),
        ({"ct_window_hu": (-1000.0, 1000.0)}, "CT window"),
        ({"slices": SliceGrid("sagittal", 32, 32, 1.0, 1.0)}, "slice grid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoint_that_does_not_fit_is_told_in_a_line(
    changes: dict[str, Any] | None, words: str, data: Dataset, other: Path, tmp_path: Path
) -> None:
    if changes is None:
        other.unlink()
    else:
        save_checkpoint(replace(load_checkpoint(other), ct_to_mr=None, **changes), other)
    with pytest.raises(CheckpointError) as refused:
        train(SHORT, data, tmp_path / "run", fabric(), start_from=other)
    assert str(refused.value).startswith(f"{other}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_two_processes_begin_with_the_same(data: Dataset, other: Path, tmp_path: Path) -> None:
    sizes = [word for name, value in SIZE.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "mr2ct_training.cli", str(data.folder), "--out", str(tmp_path / "run"), "--device", "cpu", *sizes]
    options = ["--batch", "2", "--epochs", "1", "--epochs-linear", "0", "--steps-per-epoch", "1"]
    done = subprocess.run(
        [*launcher, *command, *options, "--learning-rate", str(STILL), "--start-from", str(other)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    begun, its = load_checkpoint(tmp_path / "run" / "last.ckpt"), load_checkpoint(other)
    torch.testing.assert_close(answer(begun.mr_to_ct), answer(its.mr_to_ct))
    assert begun.training["started_from"]["networks"] == ["mr_to_ct", "ct_to_mr"]
