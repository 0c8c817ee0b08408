"""A run over many volumes that does not come to its end: killed, stopped, or out of room. The next one goes on."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mr2ct.many.manifest import MANIFEST, read_entries
from mr2ct.model import Model
from runtime.many.archive import coarse_model, files, names, put, run, start, states

COUNT = 8
PATIENCE_S = 60.0
# mr2ct-run with an engine that takes 0.2 s a call, so that there is a middle to be stopped in
SLOW = """
import time
from mr2ct import onnxruntime_backend
quick = onnxruntime_backend.OnnxruntimeBackend.run
def run(*given):
    time.sleep(0.2)
    return quick(*given)
onnxruntime_backend.OnnxruntimeBackend.run = run
from mr2ct.cli import main
main()
"""


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
    """sha256 of each CT, of a run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    return {name: told[0] for name, told in files(out).items()}


def wait_until_done(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until that many items are done."""
    patience = time.monotonic() + PATIENCE_S
    while list(states(out).values()).count("done") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle_it_leaves_whole_cts_and_the_next_run_goes_on(
    number: signal.Signals, mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(mr, "-o", out, "--model", model.folder, "--batch", 32, code=SLOW) as process:
        wait_until_done(out, 2, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    if number != signal.SIGKILL:
        assert process.returncode == 130, errors
        assert "stopped; no file is half-written" in errors
        assert "Traceback" not in errors
        assert not list(out.rglob("*.partial"))
    done = [id_ for id_, state in states(out).items() if state == "done"]
    before = files(out)
    assert 2 <= len(done) < COUNT
    whole = {name: told for name, told in before.items() if ".partial" not in name}
    assert all(told[0] == expected[name] for name, told in whole.items())
    result = run(mr, "-o", out, "--model", model.folder)
    assert result.exit_code == 0, result.output
    after = files(out)
    assert {name: told[0] for name, told in after.items()} == expected
    assert all(after[id_] == before[id_] for id_ in done)


def test_a_kill_between_the_ct_and_its_line_or_in_the_middle_of_either_is_made_good(
    mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    """What such a kill leaves, as files: a CT whose line is that it was begun, a torn line, a half of a CT beside."""
    out = tmp_path / "out"
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    lines = (out / MANIFEST).read_text().splitlines(keepends=True)
    last = [number for number, line in enumerate(lines) if '"state": "done"' in line][-1]
    (out / MANIFEST).write_text("".join(lines[:last]) + lines[last][:200])
    (killed,) = [id_ for id_, state in states(out).items() if state == "started"]
    left = out / f".{killed}.abc123.partial"
    left.mkdir()
    (left / killed).write_bytes(b"half")
    (out / ".mine.partial").mkdir()
    before = files(out)
    result = run(mr, "-o", out, "--model", model.folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"1 of {COUNT} volumes")
    assert {name: told[0] for name, told in files(out).items()} == expected
    assert all(told == before[name] for name, told in files(out).items() if name != killed)
    assert [path.name for path in out.glob(".*.partial")] == [".mine.partial"]


def test_a_disk_without_room_ends_the_run_with_nothing_half_written(
    mr: Path, model: Model, expected: dict[str, str], tmp_path: Path
) -> None:
    """The most bytes a file may have stands in for the disk: writes beyond it fail the same way."""
    out = tmp_path / "out"

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    with start(mr, "-o", out, "--model", model.folder, preexec_fn=small_disk) as process:
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 6, (told, errors)
    assert "ended early: there is no room" in told
    assert "not begun" in told
    assert "Traceback" not in errors
    assert names(out) == []
    assert not list(out.rglob("*.partial"))
    assert len(read_entries(out)) < COUNT
    assert run(mr, "-o", out, "--model", model.folder).exit_code == 0
    assert {name: told[0] for name, told in files(out).items()} == expected
