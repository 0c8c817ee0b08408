"""mr2ct-run --ray on a real cluster of this machine: the same CTs, whatever dies meanwhile."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mr2ct.errors import DeviceError
from mr2ct.many.manifest import read_entries
from mr2ct.model import Model
from runtime.many.archive import coarse_model, entry, files, lines, put, run, start, states

pytest.importorskip("ray", reason="needs Ray: pip install 'mr2ct[ray]'")
if sys.platform == "win32":
    pytest.skip("Ray clusters are for Linux and macOS", allow_module_level=True)

from mr2ct.many.asked import Asked
from mr2ct.many.cluster import Cluster, Node
from mr2ct.many.items import Item
from mr2ct.many.on_ray import Share, share_of
from mr2ct.many.worker import Job, Worker, as_row, model_for_nodes
from runtime.many.ray_clusters import PATIENCE_S, cluster, wait_for, workers

COUNT = 24
# What a volume does that takes its worker's process with it: out of memory, or a fault in a library
DEADLY = """
import os, signal
import mr2ct.many.pipeline as pipeline
harmless = pipeline.make_item
def make_item(item, *given, **named):
    if item.id.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return harmless(item, *given, **named)
pipeline.make_item = make_item
"""

# mr2ct-run that looks after the head more often
WATCHFUL = """
import mr2ct.many.cluster
mr2ct.many.cluster.WATCH_S = 0.2
from mr2ct.cli import main
main()
"""


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """A cluster's token, which Ray else writes into the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return coarse_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def mr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "mr"
    for number in range(COUNT):
        put(folder / f"{number}.nii.gz", number % 3)
    return folder


@pytest.fixture(scope="module")
def expected(mr: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """sha256 of each CT, as one process makes them."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    return {name: told[0] for name, told in files(out).items()}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster."""
    path = tmp_path_factory.mktemp("path")
    (path / "sitecustomize.py").write_text(DEADLY)
    with cluster(2, path) as address:
        yield address


def done(out: Path) -> int:
    return Counter(states(out).values())["done"]


def test_a_worker_is_killed_in_the_middle_and_every_volume_is_made_once_the_same_to_the_last_bit(
    head: str, mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(mr, "-o", out, "--model", model.folder, "--ray", head, "--threads", 1) as process:
        wait_for(lambda: done(out) >= 3, process)
        os.kill(workers()[0], signal.SIGKILL)
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (told, errors)
    assert told.startswith(
        f"{COUNT} of {COUNT} volumes, on the Ray cluster at {head}: 1 node, room for 2 workers of 1 CPU\n"
    )
    assert all(line.startswith("note: ") for line in errors.splitlines()), errors
    assert {name: one[0] for name, one in files(out).items()} == expected
    assert Counter((line["id"], line["state"]) for line in lines(out)) == Counter(
        (name, state) for name in expected for state in ("started", "done")
    )
    assert all(one.node for one in read_entries(out).values())
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [".manifest.lock"]
    wait_for(lambda: workers() == [])
    again = run(mr, "-o", out, "--model", model.folder, "--ray", head)
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, f"{COUNT} done ({COUNT} before this run)")


def test_a_volume_that_kills_every_worker_fails_alone(
    head: str, mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    deadly = put(tmp_path / "deadly.nii.gz")
    given = [deadly, *sorted(mr.iterdir())[:5]]
    out = tmp_path / "out"
    with start(*given, "-o", out, "--model", model.folder, "--ray", head, "--workers", 1) as process:
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 8, (told, errors)
    assert "5 done, 1 failed" in told
    assert entry(out, "deadly_sct.nii.gz").reason.startswith("3 workers died while they made it")
    assert {name: one[0] for name, one in files(out).items()} == {
        name: sha256 for name, sha256 in expected.items() if (out / name).exists()
    }
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_leaves_whole_cts_and_no_worker_and_one_process_goes_on(
    number: signal.Signals, head: str, mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(mr, "-o", out, "--model", model.folder, "--ray", head) as process:
        wait_for(lambda: done(out) >= 2, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    if number != signal.SIGKILL:
        assert process.returncode == 130, errors
        assert errors.splitlines() == ["mr2ct-run: stopped; no file is half-written"]
    wait_for(lambda: workers() == [])
    assert 2 <= done(out) < COUNT
    whole = {name: one[0] for name, one in files(out).items() if not name.startswith(".")}
    assert all(sha256 == expected[name] for name, sha256 in whole.items())
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    assert {name: one[0] for name, one in files(out).items()} == expected


def test_a_cluster_is_started_for_the_run_where_there_is_none_and_ends_with_it(
    mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    out, given = tmp_path / "out", sorted(mr.iterdir())[:2]
    with start(
        *given,
        "-o",
        out,
        "--model",
        model.folder,
        "--workers",
        1,
        "--threads",
        1,
        "--ray",
        "--picture",
        tmp_path / "pngs",
    ) as process:
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (told, errors)
    assert all(line.startswith("note: ") for line in errors.splitlines())
    assert {name: one[0] for name, one in files(out).items()}.items() <= expected.items()
    assert len(list((tmp_path / "pngs").iterdir())) == len(given)


def test_a_head_that_dies_ends_the_run_in_a_line_and_the_next_one_goes_on(
    mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with cluster(1) as address:
        process = start(mr, "-o", out, "--model", model.folder, "--ray", address, code=WATCHFUL)
        wait_for(lambda: done(out) >= 2, process)
    told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 5, (told, errors)
    assert errors == f"mr2ct-run: Ray cluster at {address}: its head is gone; what was not done is for the next run\n"
    assert 2 <= done(out) < COUNT
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    assert {name: one[0] for name, one in files(out).items()} == expected


def test_with_gpus_a_worker_takes_one_each_and_may_fall_back_to_the_cpu_like_any_run(
    mr: Path, model: Model, tmp_path: Path
) -> None:
    """Of the cluster's count: no GPU is needed to be given one."""
    given, out = sorted(mr.iterdir())[:2], tmp_path / "out"
    with (
        cluster(4, gpus=2) as address,
        start(*given, "-o", out, "--model", model.folder, "--ray", address, device="auto") as process,
    ):
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (told, errors)
    assert f"the Ray cluster at {address}: 1 node, room for 2 workers of a GPU and 2 CPUs\n" in told
    assert done(out) == 2


def test_a_head_that_is_not_there_is_told_at_the_start(mr: Path, model: Model, tmp_path: Path) -> None:
    result = run(mr, "-o", tmp_path / "out", "--model", model.folder, "--ray", "127.0.0.1:9")
    assert result.exit_code == 5, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("mr2ct-run: Ray cluster at 127.0.0.1:9: cannot be reached: ")
    assert states(tmp_path / "out") == {}


def test_what_is_no_address_may_have_been_a_volume(mr: Path, model: Model, tmp_path: Path) -> None:
    result = run("--ray", mr, "-o", tmp_path / "out", "--model", model.folder)
    assert result.exit_code == 2
    assert "put --ray last" in result.stderr


@pytest.fixture
def job(model: Model, tmp_path: Path) -> Job:
    notes = tmp_path / "notes"
    notes.mkdir()
    return Job(*model_for_nodes(model), Asked(device="cpu"), None, notes)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"card_sha256": "0" * 64}, 4, "is another model here"),
        ({"model": "/no/such/model"}, 4, "no such model folder"),
        ({"notes": Path("/no/such/out/notes")}, 5, "must be on storage that all nodes share"),
        ({"version": "0.0.1"}, 5, "and the run is of 0.0.1"),
        ({"asked": Asked(device="tensorrt")}, 5, "no NVIDIA GPU here"),
    ],
)
def test_a_node_that_differs_makes_nothing_and_says_so(
    change: dict[str, object], code: int, words: str, job: Job, mr: Path, tmp_path: Path
) -> None:
    worker = Worker(replace(job, **change))  # type: ignore[arg-type]
    item = Item("0_sct.nii.gz", mr / "0.nii.gz", tmp_path / "0_sct.nii.gz")
    told = worker.make(item, ours=False)
    assert (told.state, told.exit_code, told.stops) == ("failed", code, True)
    assert words in told.reason
    assert not item.target.exists()


def test_a_worker_makes_what_a_run_makes(job: Job, mr: Path, expected: dict[str, str], tmp_path: Path) -> None:
    item = Item("0_sct.nii.gz", mr / "0.nii.gz", tmp_path / "out" / "0_sct.nii.gz")
    told = Worker(job).make(item, ours=True)
    assert told.state == "done", told.reason
    assert files(tmp_path / "out")["0_sct.nii.gz"][0] == expected["0_sct.nii.gz"]
    assert set(as_row(item, ours=True)) == {"item"}


@pytest.mark.parametrize(
    ("nodes", "device", "threads", "share"),
    [
        ([(8, 0), (4, 0)], "auto", None, Share(4, 0, 3)),
        ([(8, 0), (4, 0)], "auto", 2, Share(2, 0, 6)),
        ([(16, 2), (8, 0)], "auto", None, Share(8, 1, 2)),
        ([(16, 2), (8, 0)], "openvino", None, Share(8, 0, 3)),
        ([(16, 2), (8, 0)], "tensorrt", 4, Share(4, 1, 2)),
        ([(8, 0)], "tensorrt", None, Share(8, 1, 0)),
        ([(2, 0), (0, 0)], "auto", None, Share(2, 0, 1)),
        ([(16, 4)], "triton://gpu:8001", 1, Share(1, 0, 16)),
        ([(0, 0)], "auto", None, Share(1, 0, 0)),
    ],
)
def test_a_worker_takes_a_gpu_or_a_node(
    nodes: list[tuple[float, float]], device: str, threads: int | None, share: Share
) -> None:
    assert share_of(Cluster("here", tuple(Node(*node) for node in nodes)), device, threads) == share


def test_a_worker_larger_than_every_node_is_told_at_the_start() -> None:
    with pytest.raises(DeviceError, match="no node has 16 CPUs, the largest has 8"):
        share_of(Cluster("here", (Node(8, 0),)), "auto", 16)
