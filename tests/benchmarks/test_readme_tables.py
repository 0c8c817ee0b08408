"""README's tables out of made-up results: what is there becomes a table, what is not leaves README alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import readme_tables

HEAD = {"hardware": {"cpu": "a CPU", "cores": 2}, "date": "2000-01-01", "versions": {"torch": "9.9"}}
ERROR = {"mean": 0.5, "p99.9": 5.25, "max": 9.0}
README = "# title\n<!-- latency -->\nold\n<!-- /latency -->\n<!-- peers -->\n<!-- /peers -->\nend\n"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results of its own, with the older tables out of the way."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(readme_tables, "HERE", tmp_path)
    for name in ("training", "table 1"):
        monkeypatch.setitem(readme_tables.TABLES, name, lambda: None)
    return tmp_path / "results"


def write(results: Path, name: str, **facts: Any) -> None:
    (results / f"{name}.json").write_text(json.dumps({**HEAD, **facts}))


def trips(slices: int, seconds: float) -> dict[str, Any]:
    return {
        "slices": slices,
        "seconds": {"engine": {"p50": seconds}},
        "seconds_around_the_engine": {"p50": 1.25},
        "peak_memory_gib": 0.5,
    }


def engine(name: str, precision: str, seconds: float) -> dict[str, Any]:
    return {
        "status": "ran", "name": name, "device": name, "precision": precision, "engine": f"{name} 1", "error_hu": ERROR,
        "skipping_air": trips(150, seconds), "all_slices": trips(183, seconds * 2),
        "first_slice_seconds": {"cache_empty": 7.0, "cache_warm": {"p50": 3.0}},
    }  # fmt: skip


def write_latency(results: Path, state: str = "trained") -> None:
    absent = {"status": "absent", "name": "openvino-int8", "reason": "the model has no mr_to_ct.int8.onnx"}
    write(
        results, "latency-cpu", model={"state": state},
        engines=[absent, engine("openvino", "bf16", 10.0), engine("cpu", "fp32", 40.0)],
        pytorch_eager_fp32={"seconds_of_all_slices": {"p50": 75.0}, "memory_gib": 1.0},
    )  # fmt: skip


def test_the_latency_table_has_a_row_an_engine_with_both_times_and_its_error(results: Path) -> None:
    write_latency(results)
    write(results, "peers-cpu", peers=[], scaled_to=183, model={})
    rows = readme_tables.filled(README).splitlines()
    assert (
        "| a CPU, 2 cores, 2000-01-01 | all 183 slices | 150, air skipped | mean, p99.9, max error | peak memory |"
        in rows
    )
    assert "| PyTorch 9.9 eager, fp32, one slice a call | 75.0 s |  |  | 1.00 GiB |" in rows
    slow = rows.index("| `cpu`, fp32: cpu 1 | 80.0 s | 40.0 s | 0.500, 5.25, 9.00 HU | 0.50 GiB |")
    assert rows[slow + 1] == "| `openvino`, bf16: openvino 1 | 20.0 s | 10.0 s | 0.500, 5.25, 9.00 HU | 0.50 GiB |"
    assert not any("int8" in row for row in rows)
    assert rows[-1] == "end"


def test_errors_of_an_untrained_generator_say_so(results: Path) -> None:
    write_latency(results, "untrained")
    made = readme_tables.latency()
    assert made is not None
    assert made.count("9.00 HU, untrained") == 2


def test_how_it_grows_and_what_it_weighs_stand_below_where_they_were_measured(results: Path) -> None:
    write_latency(results)
    before = readme_tables.latency()
    fit = {"seconds_fit": {"a": 0.5, "b": 0.125, "r2": 0.99987}, "memory_fit": {"a": 0.4, "b": 0.0005, "r2": 1.0}}
    failed = {"status": "absent", "title": "mr2ct, int8", "reason": "no graph"}
    write(results, "scaling-cpu", engines=[{"status": "ran", "title": "mr2ct, bf16", **fit}, failed])
    times = {"import mr2ct": {"p50": 0.25}, "mr2ct-run --help": {"p50": 0.5}}
    write(results, "footprint-cpu", status="ran", installed="mr2ct[cpu]", megabytes=624.4, seconds=times)
    after = readme_tables.latency()
    assert before is not None and after is not None
    assert after.startswith(before)
    told = after.removeprefix(before)
    assert "mr2ct, bf16: 0.50 s + 0.125 s a slice (R² 0.9999), 0.40 GiB + 0.51 MiB a slice." in told
    assert "`mr2ct[cpu]` is 624 MB on disk; `import mr2ct` takes 0.25 s" in told
    write(results, "footprint-cpu", status="absent", reason="no PyPI")
    write(results, "scaling-cpu", engines=[failed])
    assert readme_tables.latency() == before


def test_the_peers_table_is_slowest_first_and_leaves_out_who_did_not_run(results: Path) -> None:
    common = {"status": "ran", "engine": "e", "error_hu": ERROR, "memory_gib": None}
    rows = [
        {
            **common, "name": name, "title": title, "seconds_a_volume": {"p50": seconds},
            "speed_up_over_pytorch_eager": faster,
        }
        for name, title, seconds, faster in (
            ("ncnn", "ncnn", 30.0, 2.0), ("mr2ct-x", "mr2ct", 6.0, None), ("p", "eager", 60.0, 1.0),
        )
    ]  # fmt: skip
    rows[2]["engine"] = "OpenVINO 1, its defaults, which compute in bf16"
    rows.append({"status": "absent", "name": "int8", "title": "int8", "reason": "no graph"})
    write(results, "peers-cpu", peers=rows, scaled_to=183, model={"state": "trained"})
    made = readme_tables.peers()
    assert made is not None
    lines = made.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| eager, which compute in bf16", "| ncnn", "| **mr2ct**"]
    assert lines[3] == "| ncnn | 30.0 s | 2.00 | 0.500, 5.25, 9.00 HU |  |"


def test_results_that_are_not_there_yet_or_of_an_older_form_leave_readme_alone(results: Path) -> None:
    write(results, "latency-cpu", engine="onnxruntime", seconds={})
    assert readme_tables.filled(README) == README
