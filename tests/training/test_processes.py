"""mr2ct-train in several processes: it trains as one does, and when one of them is gone none is left hanging."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from drawn_dataset import draw_dataset
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import Dataset
from mr2ct_training.loop import Rhythm, StoppedError, train

SIZE = {"width": 4, "blocks": 1, "discriminator_width": 4, "pad": 36, "batch": 2}
PATIENCE_S = 60  # of what should take a few seconds
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
ONE_NODE = ("--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=8)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def torchrun() -> Iterator[Start]:
    """Starts mr2ct-train under torchrun(launcher's options, data set, out, options); none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(launcher: Sequence[str], data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
        sizes = [word for name, value in SIZE.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        trained = [str(data), "--out", str(out), "--device", "cpu", "--log-every", "1", *sizes, *options]
        command = [*TORCHRUN, *launcher, "-m", "mr2ct_training.cli", *trained]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for launcher in started:
        launcher.kill()  # its processes then end, too
        launcher.communicate()


def state(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(out / "last.ckpt", weights_only=True)["state"]
    return loaded


def logged(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "losses" in line]


def trained_alone(data: Dataset, out: Path, *, steps: int | None = None, resume: bool = False, **settings: Any) -> None:
    """In this process; for some steps, or to the end."""
    left = iter([False] * (steps - 1) + [True]) if steps else None
    config, fabric = TrainConfig(**{**SIZE, **settings}), Fabric(accelerator="cpu", devices=1)
    train(
        config, data, out, fabric, rhythm=Rhythm(1, 3), resume=resume,
        asked_to_stop=lambda: left is not None and next(left),
    )  # fmt: skip


def test_two_processes_train_as_one_with_the_same_batch(torchrun: Start, data: Dataset, tmp_path: Path) -> None:
    """The rate is so small that no weight moves: what differs then is no rounding that Adam made large."""
    trained_alone(data, tmp_path / "one", epochs_flat=1, epochs_linear=0, learning_rate=1e-15)
    options = ("--epochs", "1", "--epochs-linear", "0", "--learning-rate", "1e-15")
    both = torchrun(ONE_NODE, data.folder, tmp_path / "two", *options)
    told, err = both.communicate(timeout=PATIENCE_S)
    assert both.returncode == 0, err
    assert told.count("mr2ct-export") == 1
    one, two = (logged(tmp_path / run) for run in ("one", "two"))
    assert [line["step"] for line in two] == list(range(1, 9))  # each once
    for alone, shared in zip(one, two, strict=True):
        assert shared["losses"] == pytest.approx(alone["losses"], rel=1e-3)
    one_state, two_state = state(tmp_path / "one"), state(tmp_path / "two")
    for name, network in one_state["networks"].items():
        moments, others = (s["optimiser"]["state"] for s in (network, two_state["networks"][name]))
        largest = max(float(moment["exp_avg"].abs().max()) for moment in moments.values())
        for number, moment in moments.items():  # the mean of all gradients so far
            difference = (moment["exp_avg"] - others[number]["exp_avg"]).abs().max()
            assert float(difference) < 1e-2 * largest, (name, number)
    for modality, pools in one_state["pools"].items():
        assert list(pools) == list(two_state["pools"][modality]) == [0, 1]
        for place, pool in pools.items():
            assert torch.allclose(pool["slices"], two_state["pools"][modality][place]["slices"], atol=1e-3)


@pytest.mark.skipif(sys.platform != "linux", reason="finds torchrun's processes in Linux's /proc")
@pytest.mark.parametrize("what", ["a process killed", "torchrun killed"])
def test_all_processes_end_and_one_goes_on_from_what_they_kept(
    what: str, torchrun: Start, data: Dataset, tmp_path: Path
) -> None:
    launcher = torchrun(ONE_NODE, data.folder, tmp_path, "--save-every", "3")
    kept, started = tmp_path / "last.ckpt", time.monotonic()
    while launcher.poll() is None and not kept.exists() and time.monotonic() - started < PATIENCE_S:
        time.sleep(0.02)
    processes = _children(launcher.pid)
    assert len(processes) == 2
    victim = random.choice(processes) if what == "a process killed" else launcher.pid
    os.kill(victim, signal.SIGKILL)
    _, err = launcher.communicate(timeout=PATIENCE_S)  # ends when the last of them has closed its stderr
    while any(_lives(process) for process in processes):
        assert time.monotonic() - started < 2 * PATIENCE_S, "a process lives on"
        time.sleep(0.02)
    told = [line for line in err.splitlines() if line.startswith("mr2ct-train")]
    assert len(told) == 1, err
    if what == "a process killed":
        survivor = processes.index(victim) ^ 1
        assert told[0].startswith(f"mr2ct-train, process {survivor} of 2 on ")
        assert "another process ended" in told[0]
    else:
        assert told[0].startswith("mr2ct-train: stopped: ")
    assert str(kept) in told[0]
    assert "--resume" in told[0]
    assert [line["step"] for line in logged(tmp_path)] == list(range(1, 1 + len(logged(tmp_path))))
    assert not list(tmp_path.glob(".*partial"))
    before = state(tmp_path)["position"]
    with pytest.raises(StoppedError):
        trained_alone(data, tmp_path, steps=2, resume=True)
    after = state(tmp_path)
    assert (after["position"]["epoch"] * 8 + after["position"]["step"]) == before["epoch"] * 8 + before["step"] + 2
    assert list(after["pools"]["mr"]) == [0, 1]


def _children(process: int) -> list[int]:
    """By process number, which is the order they were started in."""
    return sorted(int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split())


def _lives(process: int) -> bool:
    """Not a zombie either that a container's init never reaps."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nodes_with_different_data_sets_do_not_begin(torchrun: Start, data: Dataset, tmp_path: Path) -> None:
    """Two launchers, as on two machines, that meet on this one."""
    copy = Path(shutil.copytree(data.folder, tmp_path / "copy"))
    draw_dataset(tmp_path / "other", slices=8, patients=2)
    shutil.copytree(tmp_path / "other", copy, dirs_exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    node = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", place)
    nodes = [
        torchrun((*node, "--node-rank", str(number)), folder, tmp_path / "run")
        for number, folder in enumerate((data.folder, copy))
    ]
    told = [node.communicate(timeout=PATIENCE_S)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [1, 1]
    lines = [line for err in told for line in err.splitlines() if line.startswith("mr2ct-train")]
    host = socket.gethostname()
    assert lines == [
        f"mr2ct-train: process 1 on {host} has another data set than process 0 on {host}; all need the same"
    ]
    assert not (tmp_path / "run").exists()
