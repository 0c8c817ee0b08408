"""The CPU benchmarks on a tiny generator: peers answer as PyTorch does, and whatever does not run is a row."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import footprint
import latency_table
import latency_trips
import machine
import measure
import peers
import phantom
import scaling
from contenders import EXPECTED, SLICES
from cpu_contenders import BY_NAME
from inputs import prepare
from latency_trips import Engine, Trips
from mr2ct.model import INSTALLED, UNTRAINED, open_model
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from plain_graph import write_plain
from race import Race
from rapl import Meter
from summaries import line, percentiles

COUNT = 2
# Mean HU inside the head of an untrained generator, which amplifies rounding; a wrong one is hundreds away.
FARTHEST_HU = {
    "pytorch-fp32": 0.01,
    "onnxruntime-fp32": 0.01,
    "mr2ct-openvino-fp32": 1,
    "pytorch-bf16": 15,
    "openvino-plain": 15,
    "ncnn": 2,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as contenders are given it, with PyTorch's answers."""
    folder = tmp_path_factory.mktemp("work")
    mr = phantom.draw(phantom.grid_around((0, 0, 0), (70, 70, 46), (3.6, 3.6, 4.0), phantom.SAGITTAL))[0]
    write_volume(Volume(np.rint(mr.voxels).astype(np.int16), mr.grid), folder / "head.nii.gz")
    write_plain(prepare(folder, INSTALLED / UNTRAINED, None, 8, folder / "head.nii.gz", COUNT), folder)
    assert measure.exact(asked(folder))["status"] == "ran"
    return folder


def asked(work: Path, **more: Any) -> argparse.Namespace:
    """What measure.py is called with."""
    usual = {"device": "cpu", "step": None, "repeats": 2, "seconds": 1.0, "start_only": False, "used_before": None}
    usual |= {"least_runs": 1, "warm_ups": 0, "slices": None, "threads": 1, "started": time.time()}
    return argparse.Namespace(**{"work": work, "model": INSTALLED / UNTRAINED, **usual, **more})


@pytest.mark.parametrize("name", FARTHEST_HU)
def test_a_peer_answers_as_pytorch_does(name: str, work: Path) -> None:
    if name == "ncnn" and not (find_spec("ncnn") and find_spec("pnnx")):
        pytest.skip("no ncnn and pnnx: pip install ncnn pnnx")
    row = measure.contender(BY_NAME[name], asked(work))
    assert row["status"] == "ran", row
    assert row["error_hu"]["mean"] < FARTHEST_HU[name]
    assert row["slices_at_once"] >= 1
    assert len(row["wall_seconds"]) == row["runs"] <= 2


def test_another_answer_is_far_from_pytorchs(work: Path) -> None:
    expected, heads = np.load(work / EXPECTED), np.load(work / "heads.npy")
    told = measure.error_hu(expected[::-1], expected, heads, "fp32", (-600, 1400))
    assert told["error_hu"]["mean"] > 2 * max(FARTHEST_HU.values())
    assert not told["within_budget"]


@pytest.mark.parametrize("name", ["onnxruntime-int8", "mr2ct-openvino-int8"])
def test_a_model_without_an_int8_graph_has_an_absent_row_that_says_how_to_get_one(name: str, work: Path) -> None:
    row = measure.contender(BY_NAME[name], asked(work))
    assert row["status"] == "absent"
    assert "no mr_to_ct.int8.onnx; mr2ct-export --int8 --calibration" in row["reason"]


def test_a_library_that_is_not_installed_is_an_absent_row(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    monkeypatch.delitem(sys.modules, "cpu_ncnn", raising=False)
    row = measure.contender(BY_NAME["ncnn"], asked(work))
    assert row["status"] == "absent"
    assert "pip install ncnn pnnx" in row["reason"]


def test_more_slices_than_the_head_has_begin_it_anew(work: Path) -> None:
    slices = np.load(work / SLICES)
    many = measure._as_many(slices, 2 * COUNT + 1)
    assert many.shape == (2 * COUNT + 1, *slices.shape[1:])
    for index, one in enumerate(many):
        np.testing.assert_array_equal(one, slices[index % COUNT])
    assert measure._as_many(slices, None) is slices


def test_rounds_are_pooled_and_who_fails_first_is_not_tried_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(work, INSTALLED / UNTRAINED, "cpu", 1.0, 60, 60, 1)
    asked_for: list[str] = []

    def answer(name: str, _cache: str, *_more: str) -> dict[str, Any]:
        asked_for.append(name)
        if name == "ncnn":
            return {"status": "failed", "reason": "killed by SIGSEGV"}
        walls = [float(len(asked_for))]
        times = {"gpu_ms": {"p50": 1.0}, "host_to_host_ms": {"p50": 1e3 * walls[0]}, "wall_seconds": walls, "runs": 1}
        return {"status": "ran", **times, "cold_start_seconds": {"all": walls[0]}}

    monkeypatch.setattr(race, "_process", answer)
    ran, failed = race.in_turns([BY_NAME["pytorch-fp32"], BY_NAME["ncnn"]], 3)
    assert asked_for == ["pytorch-fp32", "ncnn", "pytorch-fp32", "pytorch-fp32"]
    assert ran["wall_seconds"] == [1, 3, 4]
    assert (ran["runs"], ran["host_to_host_ms"]["p50"]) == (3, 3000)
    assert (ran["cold_start_seconds"]["all"], ran["second_start_seconds"]["all"]) == (1, 3)
    assert failed["status"] == "failed"


def test_times_are_scaled_to_the_papers_slices_and_told_beside_pytorch_eager(
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = {
        "status": "ran", "engine": "e", "precision": "fp32", "slices_at_once": 1, "runs": 1, "wall_seconds": [1.0],
        "cold_start_seconds": {"all": 1.0}, "memory_gib": None, "within_budget": True, "budget_hu": {},
        "error_hu": {"mean": 0.0, "p99.9": 0.0, "max": 0.0},
    }  # fmt: skip
    rows = [
        {**common, "name": "pytorch-fp32", "title": "eager", "host_to_host_ms": {"p50": 2000.0, "p90": 4000.0}},
        {**common, "name": "ncnn", "title": "fast", "host_to_host_ms": {"p50": 500.0, "p90": 500.0}},
        {"name": "compile-fp32", "title": "compiled", "status": "timed out", "reason": "no answer within 2 s"},
    ]
    eager, fast, late = peers.scaled(rows, 10)
    assert eager["seconds_a_volume"] == pytest.approx({"p50": 36.6, "p90": 73.2})
    assert fast["ms_a_slice"] == pytest.approx(50)
    assert fast["speed_up_over_pytorch_eager"] == pytest.approx(4)
    assert peers.scaled(rows[1:], 10)[0]["speed_up_over_pytorch_eager"] is None
    about = {"name": "m", "state": "untrained", "head": "drawn"}
    peers.print_table({
        "hardware": {"cpu": "a CPU", "cores": 2}, "versions": {"torch": "0"}, "model": about, "scaled_to": 183,
        "slices_timed": 10, "gmac_a_slice": 1.0, "peers": [eager, fast, late],
    })  # fmt: skip
    told = capsys.readouterr().out
    assert "holds, untrained" in told
    assert "timed out: no answer within 2 s" in told


def test_percentiles_are_of_the_values_own_unit() -> None:
    assert percentiles(range(101)) == {"p50": 50, "p90": 90, "p99": 99}
    assert percentiles([3.0]) == {"p50": 3, "p90": 3, "p99": 3}


def test_a_line_is_found_again_and_r2_falls_with_what_it_does_not_explain() -> None:
    x = [1, 2, 4, 8]
    exact = line(x, [5 + 2 * one for one in x])
    assert exact == pytest.approx({"a": 5, "b": 2, "r2": 1})
    bent = line(x, [5 + 2 * one**2 for one in x])["r2"]
    assert bent is not None and 0.5 < bent < 0.99
    assert line(x, [3.0] * 4)["r2"] is None
    with pytest.raises(ValueError, match="two places"):
        line([4, 4], [1, 2])


def test_lines_leave_out_points_that_did_not_run() -> None:
    points = [{"status": "ran", "slices": n, "seconds": 1.0 + n, "memory_gib": None} for n in (1, 3)]
    points.append({"status": "failed", "reason": "killed by SIGKILL", "slices": 732})
    found = scaling.lines(points)
    assert found["seconds_fit"] == pytest.approx({"a": 1, "b": 1, "r2": 1})
    assert found["memory_fit"] is None
    assert scaling.lines(points[:1])["seconds_fit"] is None


def test_energy_is_counted_over_the_sockets_and_past_the_end_of_a_counter(tmp_path: Path) -> None:
    for name, count in (("intel-rapl:0", 900), ("intel-rapl:1", 5), ("intel-rapl:0:0", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{count}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    meter = Meter(tmp_path)
    assert "2 sockets" in meter.told_by
    joules = meter.started()
    for name, count in (("intel-rapl:0", 100), ("intel-rapl:1", 15), ("intel-rapl:0:0", 500)):
        (tmp_path / name / "energy_uj").write_text(f"{count}\n")
    assert joules() == pytest.approx((200 + 10) / 1e6)


def test_without_counters_energy_is_none_and_says_why(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.started()() is None
    assert "no RAPL counters" in meter.told_by


def test_a_result_tells_its_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert machine.commit(tmp_path) == {"commit": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("1\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], check=True)
    clean = machine.commit(tmp_path)
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "made.png").write_text("by a benchmark")
    assert machine.commit(tmp_path)["dirty"] is False
    (tmp_path / "code.py").write_text("2\n")
    assert machine.commit(tmp_path) == {**clean, "dirty": True}


def test_sizes_are_those_of_the_files_a_package_has_recorded(tmp_path: Path) -> None:
    for name, size in (("small", 1000), ("large", 3000), ("pip", 9000)):
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (tmp_path / f"{name}.py").write_bytes(b"#" * size)
        (about / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (about / "RECORD").write_text(f"{name}.py,,{size}\n{name}-1.dist-info/gone,,1\n")
    assert list(footprint.sizes_by_package(tmp_path).items()) == [("large", 0.003), ("small", 0.001)]


def test_what_cannot_be_installed_is_an_absent_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fails = tmp_path / "python"
    fails.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for numpy' >&2\nexit 1\n")
    fails.chmod(0o755)
    assert "is PyPI there? ERROR: No matching distribution" in footprint._install(fails)
    monkeypatch.setattr(footprint, "_install", lambda _: "no PyPI")
    monkeypatch.setattr(footprint.subprocess, "run", lambda *_, **__: None)
    assert footprint._measured(tmp_path, argparse.Namespace()) == {"status": "absent", "reason": "no PyPI"}


def test_a_trip_tells_its_start_stages_and_error_and_an_absent_engine_why(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trips = Trips(tmp_path, INSTALLED / UNTRAINED, work / "head.nii.gz", 60, Meter(tmp_path), untrained=True)
    absent = trips.started("openvino-int8", Engine("openvino", "int8"))
    assert (absent["status"], absent["reason"]) == ("absent", "the model has no mr_to_ct.int8.onnx")
    latency_trips.STARTS, usual = 1, latency_trips.STARTS
    try:
        row = trips.started("openvino-fp32", Engine("openvino", "fp32"))
    finally:
        latency_trips.STARTS = usual
    assert row["error_hu"]["mean"] < FARTHEST_HU["mr2ct-openvino-fp32"]
    trips.add_turn(row)
    trips.add_turn(absent)
    done = trips.summed(row)
    skipped, every = done["skipping_air"], done["all_slices"]
    assert skipped["slices"] + skipped["skipped"] == every["slices"] > skipped["slices"]
    assert set(every["seconds"]) == set(latency_trips.STAGES)
    assert 0 < done["first_slice_seconds"]["cache_warm"]["p50"] < math.inf
    assert every["peak_memory_gib"] > 0.05
    assert every["joules"] is None
    json.dumps(done)
    times = {"p50": 9.0, "p90": 9.0, "p99": 9.0}
    latency_table.print_table({
        "hardware": {"cpu": "a CPU", "cores": 2}, "model": {"head": "drawn", "name": "m", "state": "untrained"},
        "pytorch_eager_fp32": {"seconds_of_all_slices": times, "scaled_to": 183, "slices_timed": 24},
        "engines": [done, trips.summed(absent)], "energy_told_by": "nothing here",
    })  # fmt: skip
    told = capsys.readouterr().out
    assert "absent: the model has no mr_to_ct.int8.onnx" in told
    assert "openvino-fp32, air skipped" in told
    assert f"{'holds' if row['within_budget'] else 'fails'}, untrained" in told


def test_the_shipped_model_has_what_the_tests_above_take_for_granted() -> None:
    assert open_model(UNTRAINED).precisions == ("fp32",)
