"""compare.py looks at ratios within a run, and its exit code says whether one got worse."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import compare
from machine import RESULTS


def result(**changes: Any) -> dict[str, Any]:
    """A race of peers: PyTorch eager, one four times as fast, one that is not there."""
    return {
        "benchmark": "peers",
        "hardware": {"cpu": "a CPU", "cores": 2, "load_average": 0.1},
        "versions": {"torch": "1"},
        "peers": [
            {"name": "pytorch-fp32", "status": "ran", "speed_up_over_pytorch_eager": 1.0, "within_budget": True},
            {
                "name": "fast", "status": "ran", "speed_up_over_pytorch_eager": 4.0, "within_budget": True,
                "seconds_a_volume": {"p50": 10.0}, "error_hu": {"max": 0.01},
            },
            {"name": "ncnn", "status": "absent", "reason": "needs ncnn"},
        ],
        **changes,
    }  # fmt: skip


def compared(old: Any, new: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """The exit code."""
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, content in zip(files, (old, new), strict=True):
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, files), *options])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    return int(ended.value.code or 0)


def changed(**of_fast: Any) -> dict[str, Any]:
    new = deepcopy(result())
    new["peers"][1].update(of_fast)
    return new


def test_a_machine_that_is_slower_in_everything_is_no_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compared(result(), changed(seconds_a_volume={"p50": 99.0}), tmp_path, monkeypatch) == 0


def test_a_ratio_that_grew_by_more_than_the_tolerance_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = changed(speed_up_over_pytorch_eager=4.0 / 1.2)
    assert compared(result(), slower, tmp_path, monkeypatch) == 1
    assert "fast / PyTorch eager: +20%" in capsys.readouterr().err
    assert compared(result(), slower, tmp_path, monkeypatch, "--tolerance", "0.25") == 0
    assert compared(slower, result(), tmp_path, monkeypatch) == 0


def test_what_ran_and_fails_now_is_worse_and_what_is_not_here_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(result(), changed(status="failed", reason="killed by SIGSEGV"), tmp_path, monkeypatch) == 1
    assert "fast: failed: killed by SIGSEGV" in capsys.readouterr().err
    assert compared(result(), changed(status="absent", reason="no bf16 here"), tmp_path, monkeypatch) == 0


def test_an_error_that_left_its_budget_is_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compared(result(), changed(within_budget=False), tmp_path, monkeypatch) == 1
    assert compared(changed(within_budget=False), changed(within_budget=False), tmp_path, monkeypatch) == 0


def test_what_differs_in_the_machine_and_its_versions_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = result(hardware={"cpu": "another", "cores": 2, "load_average": 3}, versions={"torch": "2", "ncnn": "1"})
    assert compared(result(), other, tmp_path, monkeypatch) == 0
    told = capsys.readouterr().out
    for line in ("hardware cpu: a CPU -> another", "versions torch: 1 -> 2", "versions ncnn: None -> 1"):
        assert line in told
    assert "load_average" not in told


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (result(benchmark="footprint"), "old.json is of peers, .*new.json of footprint"),
        (result(benchmark="weather"), "of weather, which has no ratios"),
        ("no JSON", "not a result of a benchmark"),
        ([], "not a result of a benchmark"),
        (result(peers=[]), "no ratio in common"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(
    new: Any, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(result(), new, tmp_path, monkeypatch) == 2
    assert why.replace(".*", "") in capsys.readouterr().err or ".*" in why


def test_every_benchmark_has_its_ratios() -> None:
    trips = {"seconds": {"engine": {"p50": 5.0}}, "seconds_around_the_engine": {"p50": 1.0}, "peak_memory_gib": 2.0}
    row = {"name": "cpu-fp32", "status": "ran", "skipping_air": trips, "all_slices": trips}
    eager = {"seconds_of_all_slices": {"p50": 10.0}, "memory_gib": 4.0}
    assert compare.latency({"engines": [row], "pytorch_eager_fp32": eager}) == {
        "cpu-fp32, skipping_air / PyTorch eager": 0.5,
        "cpu-fp32, all_slices / PyTorch eager": 0.5,
        "cpu-fp32, around the engine / PyTorch eager": 0.1,
        "cpu-fp32, memory / PyTorch eager": 0.5,
    }
    ran = {"status": "ran"}
    points = {
        "by_threads": [{**ran, "threads": 1, "seconds": 8.0}, {**ran, "threads": 2, "seconds": 4.0}],
        "by_batch": [{**ran, "step": 1, "seconds": 4.0}, {"status": "failed", "step": 2}],
        "by_slices": [{**ran, "slices": count, "seconds": count**2 / 32} for count in (1, 16, 32)],
    }
    assert compare.scaling({"engines": [{"name": "e", **ran, **points}]}) == {
        "e, 2 threads / 1": 0.5,
        "e, 32 slices / 16": 2,
    }
    seconds = {"python": {"p50": 0.1}, "import mr2ct": {"p50": 0.5}}
    assert compare.footprint({**ran, "seconds": seconds, "first_slice": {"seconds": {"p50": 2.0}}}) == pytest.approx(
        {"import mr2ct / python": 5, "first slice / python": 20}
    )
    assert compare.footprint({"status": "absent"}) == {}
    volumes = [{"name": "pytorch", **ran, "host_to_host_ms": {"p50": 8.0}}]
    volumes.append({"name": "tensorrt", **ran, "host_to_host_ms": {"p50": 2.0}})
    assert compare.gpu({"contenders": volumes}) == {"tensorrt / PyTorch eager": 0.25}
    kept = json.loads((RESULTS / "training-cpu.json").read_text())
    assert all(0 < ratio < 1 for ratio in compare.training(kept).values())
