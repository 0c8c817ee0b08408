"""mr2ct-train: it stops when asked, and it goes on as if it had never stopped."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from drawn_dataset import draw_dataset
from mr2ct_training.checkpoint import CheckpointError, load_checkpoint
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import MANIFEST, Dataset
from mr2ct_training.loop import DivergedError, Rhythm, StoppedError, train

TINY = ["--width", "4", "--blocks", "1", "--discriminator-width", "4", "--pad", "36", "--device", "cpu"]
SHORT = [*TINY, "--epochs", "1", "--epochs-linear", "1", "--log-every", "4", "--save-every", "3"]
CONFIG = TrainConfig(width=4, blocks=1, discriminator_width=4, pad=36, epochs_flat=1, epochs_linear=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=8)


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def command(data: Dataset, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mr2ct_training.cli", str(data.folder), "--out", str(out), *options]


def state(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(out / "last.ckpt", weights_only=True)["state"]
    return loaded


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, through dicts, lists and tensors."""
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{where}/{place}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def losses(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["losses"] for line in lines if "losses" in line]


def test_killed_at_a_random_step_and_resumed_it_ends_with_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    subprocess.run(command(data, tmp_path / "whole", *SHORT), check=True, capture_output=True)
    process = subprocess.Popen(
        command(data, tmp_path / "killed", *SHORT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log, kept, lines = tmp_path / "killed" / "log.jsonl", tmp_path / "killed" / "last.ckpt", random.randint(1, 6)
    while process.poll() is None and not (kept.exists() and log.read_text().count("\n") >= lines):
        time.sleep(0.01)  # a line may stand in the log before the first checkpoint does
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(data, tmp_path / "killed", *SHORT, "--resume"), check=True, capture_output=True)
    assert_equal(state(tmp_path / "whole"), state(tmp_path / "killed"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_how_to_go_on(data: Dataset, tmp_path: Path, number: signal.Signals) -> None:
    long = [*TINY, "--epochs", "500", "--log-every", "1"]
    process = subprocess.Popen(command(data, tmp_path / "run", *long), stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "--resume" in err.splitlines()[-1]
    assert load_checkpoint(tmp_path / "run" / "last.ckpt").training["state"] == "trained"


def test_a_loss_that_is_nan_stops_it_names_the_step_and_keeps_the_last_good_checkpoint(
    data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        train(CONFIG, data, tmp_path, fabric(), asked_to_stop=_after(6))
    good = state(tmp_path)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    content["state"]["networks"]["ct_to_mr"]["weights"]["entry.1.weight"][0] = float("nan")
    torch.save(content, tmp_path / "last.ckpt")
    poisoned = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(DivergedError, match=r"epoch 0, step 7: .*cycle_mr"):
        train(CONFIG, data, tmp_path, fabric(), resume=True, rhythm=Rhythm(2, 2))
    assert (tmp_path / "last.ckpt").read_bytes() == poisoned
    assert good["position"]["step"] == 6


def _after(steps: int):  # type: ignore[no-untyped-def]
    asked = iter([False] * (steps - 1) + [True])
    return lambda: next(asked)


def test_a_changed_data_set_other_settings_and_strangers_are_not_resumed(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(CONFIG, data, tmp_path, fabric(), asked_to_stop=_after(2))
    other = draw_dataset(tmp_path / "other", slices=9)
    with pytest.raises(CheckpointError, match="changed since"):
        train(CONFIG, other, tmp_path, fabric(), resume=True)
    wider = TrainConfig(**{**CONFIG.to_dict(), "width": 8, "cycle_weight": 5.0})
    with pytest.raises(CheckpointError, match="cycle_weight, width"):
        train(wider, data, tmp_path, fabric(), resume=True)
    (tmp_path / "last.ckpt").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        train(CONFIG, data, tmp_path, fabric(), resume=True)


@pytest.mark.parametrize("scheme", ["unpaired", "paired"])
def test_a_checkpoint_has_the_way_back_where_the_scheme_trains_one(scheme: str, data: Dataset, tmp_path: Path) -> None:
    config = TrainConfig(**{**CONFIG.to_dict(), "scheme": scheme, "pool_size": 0})
    with pytest.raises(StoppedError):
        train(config, data, tmp_path, fabric(), asked_to_stop=_after(2))
    back = load_checkpoint(tmp_path / "last.ckpt").ct_to_mr
    if scheme == "paired":
        assert back is None
        return
    assert back is not None
    assert_equal(dict(back.state_dict()), dict(state(tmp_path)["networks"]["ct_to_mr"]["weights"]))


def test_a_finished_run_is_not_written_over(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"mine")
    done = subprocess.run(command(data, tmp_path, *SHORT), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--resume" in done.stderr
    assert (tmp_path / "last.ckpt").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["missing", "half", "damaged", "both splits"])
def test_a_data_set_that_cannot_be_used_is_one_line(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    if what != "missing":
        draw_dataset(folder, slices=4)
    if what == "half":
        (folder / "ct-p0.npy").write_bytes((folder / "ct-p0.npy").read_bytes()[:200])
    if what == "damaged":
        (folder / MANIFEST).write_text("{")
    if what == "both splits":
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["entries"][0]["split"] = "validation"
        (folder / MANIFEST).write_text(json.dumps(manifest))
    done = subprocess.run(
        [sys.executable, "-m", "mr2ct_training.cli", str(folder), "--out", str(tmp_path / "run"), *SHORT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mr2ct-train: ")
    assert done.stderr.count("\n") == 1


def test_an_anchored_and_augmented_training_resumes_to_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    config = TrainConfig(**{**CONFIG.to_dict(), "anchor_weight": 30.0, "augment": True})
    train(config, data, tmp_path / "whole", fabric(), rhythm=Rhythm(2, 2))
    with pytest.raises(StoppedError):
        train(config, data, tmp_path / "cut", fabric(), rhythm=Rhythm(2, 2), asked_to_stop=_after(3))
    train(config, data, tmp_path / "cut", fabric(), rhythm=Rhythm(2, 2), resume=True)
    assert_equal(state(tmp_path / "whole")["networks"], state(tmp_path / "cut")["networks"])
    assert "anchor" in losses(tmp_path / "whole")[0]


def test_a_checkpoint_from_before_a_setting_was_known_had_its_default(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(CONFIG, data, tmp_path, fabric(), asked_to_stop=_after(2))
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del content["state"]["config"]["anchor_weight"]
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(StoppedError):
        train(CONFIG, data, tmp_path, fabric(), resume=True, asked_to_stop=_after(1))
    content["state"]["config"]["of_the_future"] = 1
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="of_the_future"):
        train(CONFIG, data, tmp_path, fabric(), resume=True)


def test_an_anchor_is_for_the_unpaired_scheme(data: Dataset, tmp_path: Path) -> None:
    done = subprocess.run(
        command(data, tmp_path / "out", "--scheme", "paired", "--anchor-weight", "3"), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "an anchor is for the unpaired one" in done.stderr
