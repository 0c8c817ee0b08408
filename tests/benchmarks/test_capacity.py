"""Capacity's arithmetic on made-up results, and the committed one against the committed results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import capacity

SCRIPT = Path(capacity.__file__)
HARDWARE = {"cpu": "a CPU", "cores": 4}
PRICES = {"cpu-4-cores": 0.5, "nvidia-h100": 2.0}


def engine(precision: str, seconds: float, around: float) -> dict[str, Any]:
    trip = {
        "slices": 150, "peak_memory_gib": 0.5, "seconds": {"engine": {"p50": seconds}},
        "seconds_around_the_engine": {"p50": around},
    }  # fmt: skip
    return {"status": "ran", "device": "openvino", "precision": precision, "within_budget": True, "skipping_air": trip}


def contender(name: str, ms: float, **more: Any) -> dict[str, Any]:
    told = {"status": "ran", "name": name, "title": name, "precision": "fp16", "within_budget": True, "memory_gib": 2.0}
    return {**told, "host_to_host_ms": {"p50": ms}, **more}


@pytest.fixture
def results() -> dict[str, Any]:
    peer = {"status": "ran", "name": "pytorch-fp32", "title": "eager", "within_budget": True, "memory_gib": None}
    absent = {"status": "absent", "reason": "not here"}
    return {
        "latency-cpu": {"hardware": HARDWARE, "engines": [absent, engine("bf16", 9.5, 0.5), engine("fp32", 40.0, 0.7)]},
        "peers-cpu": {
            "hardware": HARDWARE, "scaled_to": 183,
            "peers": [{**peer, "seconds_a_volume": {"p50": 99.5}}, {**peer, "name": "ncnn"}, absent],
        },
        "gpu-one": {
            "gpu": {"name": "NVIDIA H100 80GB HBM3"}, "slices": 183,
            "contenders": [contender("onnxruntime-cuda", 2000.0), contender("compile", 100.0, within_budget=False)],
        },
        "gpu-two": {"gpu": {"name": "NVIDIA L4"}, "slices": 183, "contenders": [contender("pytorch", 700.0), absent]},
    }  # fmt: skip


def rows(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["title"]: row for row in capacity.capacity(results, PRICES)["rows"]}


def test_volumes_an_hour_and_their_price_are_of_engine_and_host_one_after_the_other(results: dict[str, Any]) -> None:
    found = rows(results)
    assert next(iter(found)) == "eager"  # slowest first
    assert len(found) == 6  # ncnn is not asked for, absent ones have no row
    fast, eager = found["mr2ct, openvino bf16, air skipped"], found["eager"]
    assert fast["volumes_an_hour"] == pytest.approx(360)
    assert fast["eur_per_thousand_volumes"] == pytest.approx(1000 * 0.5 / 360)
    assert eager["volumes_an_hour"] == pytest.approx(36)  # with the host work of the fastest engine's trip
    assert (fast["own"], eager["own"], fast["slices"], eager["slices"]) == (True, False, 150, 183)
    assert (fast["limit"], fast["host_cores_for_a_busy_gpu"]) == ("engine", None)


def test_a_gpu_that_waits_for_its_host_says_so_and_how_many_cores_it_wants(results: dict[str, Any]) -> None:
    found = rows(results)
    waits = found["compile, fp16"]
    assert waits["limit"] == "host work"
    assert waits["host_cores_for_a_busy_gpu"] == 20  # 0.5 s of 4 cores, 0.1 s of the GPU
    assert waits["note"] == "the GPU waits: the host works 5.0 times as long on 4 cores; 20 cores keep one GPU busy"
    assert waits["volumes_an_hour_at_most"] == pytest.approx(7200)
    assert not waits["within_budget"]
    busy = found["onnxruntime-cuda, fp16"]
    assert busy["own"]
    assert busy["limit"] == "engine"
    assert busy["note"] == "the GPU is busy 80% of the time; one core keeps it busy"


def test_disk_and_network_limit_where_they_are_longest(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "NETWORK_BYTES_PER_SECOND", capacity.DICOM_BYTES / 3.0)
    monkeypatch.setattr(capacity, "DISK_BYTES_PER_SECOND", capacity.DICOM_BYTES / 0.5)
    found = rows(results)
    assert found["compile, fp16"]["seconds"] == {"engine": 0.1, "host work": 0.5, "disk": 2.0, "network": 3.0}
    assert found["compile, fp16"]["limit"] == "network"
    assert found["eager"]["limit"] == "engine"


def test_a_machine_without_a_price_has_no_cost(results: dict[str, Any]) -> None:
    row = rows(results)["pytorch, fp16"]
    assert (row["hardware"], row["eur_per_thousand_volumes"]) == ("nvidia-l4", None)


def test_prices_are_put_in_by_name_and_nonsense_is_refused_in_a_line() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--price", "cpu-2-cores=1"], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["prices_eur_an_hour"]["cpu-2-cores"] == 1
    for row in result["rows"]:
        if row["hardware"] == "cpu-2-cores":
            assert row["eur_per_thousand_volumes"] == pytest.approx(1000 / row["volumes_an_hour"])
    for wrong in ("cpu-2-cores", "=1", "a=-1", "a=nan", "a=inf"):
        done = subprocess.run([sys.executable, str(SCRIPT), "--price", wrong], capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"--price {wrong}: " in done.stderr


def test_the_committed_capacity_is_of_the_committed_results() -> None:
    committed = json.loads((capacity.RESULTS / "capacity.json").read_text())
    made = capacity.capacity(capacity.committed(), capacity.PRICES)
    assert committed == json.loads(json.dumps(made)), "python benchmarks/capacity.py --save"
