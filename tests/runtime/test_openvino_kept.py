"""The second start of an engine takes the compiled graph from the disk, and never one that is not its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mr2ct import openvino_compiling
from mr2ct.engine_cache import EngineCache
from mr2ct.model import Model, graph_file
from mr2ct.openvino_backend import OpenvinoBackend
from small_models import shifted_graph, write_model

FILE = graph_file("fp32")
SLICES = np.random.default_rng(0).uniform(-1, 1, (2, 1, 256, 256)).astype(np.float32)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path))
    return tmp_path / "engines"


def opened(model: Model, said: list[str], precision: str = "fp32", threads: int | None = None) -> OpenvinoBackend:
    return OpenvinoBackend(model, FILE, precision, say=said.append, threads=threads)


def refuse_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a graph that is not kept cannot be had."""

    def read_graph(content: bytes, *, exact_norms: bool) -> None:
        pytest.fail(f"compiled again, exact_norms={exact_norms}, {len(content)} bytes")

    monkeypatch.setattr(openvino_compiling, "read_graph", read_graph)


def test_the_second_start_compiles_nothing_and_answers_alike(
    identity_model: Model, cache: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(identity_model, said)
    refuse_compiling(monkeypatch)
    second = opened(identity_model, said)
    assert np.array_equal(first.run(SLICES), second.run(SLICES))
    assert (first.made_of, first.description) == (second.made_of, second.description)
    assert said == []
    assert len(list(cache.glob("*.graph"))) == 1


@pytest.mark.parametrize("damage", ["cut short", "one bit", "emptied", "another format"])
def test_a_damaged_graph_is_told_and_compiled_again(
    damage: str, identity_model: Model, cache: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opened(identity_model, said).run(SLICES)
    (kept,) = cache.glob("*.graph")
    whole = kept.read_bytes()
    bit = bytearray(whole)
    bit[-10] ^= 1
    kept.write_bytes(
        {"cut short": whole[:-1], "one bit": bytes(bit), "emptied": b"", "another format": b"[]\n"}[damage]
    )
    assert np.array_equal(opened(identity_model, said).run(SLICES), expected)
    assert said == [f"{kept}: damaged, it is not what was compiled; compiling it again"]
    assert kept.read_bytes().partition(b"\n")[0] == whole.partition(b"\n")[0]
    refuse_compiling(monkeypatch)
    opened(identity_model, said)


def test_a_graph_that_openvino_does_not_load_is_told_and_compiled_again(
    identity_model: Model, cache: Path, said: list[str]
) -> None:
    opened(identity_model, said)
    (kept,) = cache.glob("*.graph")
    about, rubbish = json.loads(kept.read_bytes().partition(b"\n")[0]), b"no graph at all" * 10
    about["sha256"] = hashlib.sha256(rubbish).hexdigest()
    kept.write_bytes(json.dumps(about).encode() + b"\n" + rubbish)
    assert np.isfinite(opened(identity_model, said).run(SLICES)).all()
    assert len(said) == 1
    assert said[0].startswith(f"{kept}: OpenVINO cannot load it (")
    assert "\n" not in said[0]


def test_a_cache_that_cannot_be_written_is_told_and_the_engine_runs(
    identity_model: Model, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "file"))
    assert np.isfinite(opened(identity_model, said).run(SLICES)).all()
    assert len(said) == 1
    assert said[0].startswith("the compiled graph is not kept, and will be compiled again: ")


def test_another_model_precision_number_of_threads_or_code_is_another_graph(
    identity_model: Model, cache: Path, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(identity_model, said)
    opened(write_model(tmp_path / "other", {"fp32": shifted_graph(0.5)}), said)
    opened(identity_model, said, threads=1)
    monkeypatch.setattr(openvino_compiling, "_sources", lambda: "other code")
    opened(identity_model, said)
    assert len(list(cache.glob("*.graph"))) == 4


def test_clearing_the_engines_clears_compiled_graphs(identity_model: Model, cache: Path, said: list[str]) -> None:
    opened(identity_model, said)
    EngineCache(cache).clear()
    assert list(cache.glob("*.graph")) == []
