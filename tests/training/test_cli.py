"""mr2ct-train as it is typed: what cannot be is said in one line before anything is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drawn_dataset import draw_dataset
from mr2ct_training.dataset import Dataset

TINY = ["--width", "4", "--blocks", "1", "--discriminator-width", "4", "--pad", "0", "--epochs", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=4)


def mr2ct_train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mr2ct_training.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--batch", "0"],
        ["--width", "0"],
        ["--learning-rate", "0"],
        ["--pad", "-1"],
        ["--log-every", "0"],
        ["--epochs", "0", "--epochs-linear", "0"],
        ["--precision", "fp8"],
    ],
    ids=lambda wrong: " ".join(wrong),
)
def test_a_number_that_makes_no_sense_is_wrong_usage(data: Dataset, tmp_path: Path, wrong: list[str]) -> None:
    done = mr2ct_train(data.folder, "--out", tmp_path / "run", *wrong)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert wrong[0] in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("wanted", [["--device", "cuda"], ["--precision", "fp16-mixed"]], ids=" ".join)
def test_what_needs_a_gpu_is_refused_without_one(data: Dataset, tmp_path: Path, wanted: list[str]) -> None:
    done = mr2ct_train(data.folder, "--out", tmp_path / "run", *wanted)
    assert done.returncode == 1
    assert done.stderr.startswith("mr2ct-train: ")
    assert " ".join(wanted) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_half_precision_trains_and_says_so_in_the_checkpoint(data: Dataset, tmp_path: Path) -> None:
    done = mr2ct_train(
        data.folder, "--out", tmp_path / "run", *TINY, "--epochs-linear", "0", "--precision", "bf16-mixed",
        "--log-every", "1", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mr2ct-export" in done.stdout
    content = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert content["training"]["config"]["precision"] == "bf16-mixed"
    assert {weight.dtype for weight in content["mr_to_ct"].values()} == {torch.float32}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "losses" in line] == list(range(1, 9))
    assert {"cycle_error", "mae_hu", "psnr_db"} == set(lines[-1]["validation"])
