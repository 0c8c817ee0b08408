"""A model's engine is built once, tuned for as many slices as the model takes; here by the real TensorRT-RTX."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from mr2ct.engine_cache import EngineCache
from mr2ct.errors import ModelError
from mr2ct.model import Model
from mr2ct.tensorrt_engine import engine_of
from mr2ct.tensorrt_flavour import Flavour
from rtx_wheels import open_rtx
from small_models import identity_graph, shifted_graph, write_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    return open_rtx()


@pytest.fixture
def both(tmp_path: Path) -> Model:
    return write_model(tmp_path / "model", {"fp32": identity_graph(), "fp16": shifted_graph(0.25)})


def test_it_is_built_at_the_first_start_and_taken_at_the_next(
    rtx: Flavour, both: Model, cache: EngineCache, capfd: pytest.CaptureFixture[str]
) -> None:
    engine, plan = engine_of(rtx, both, "fp16", pytest.fail)
    assert [kept.key for kept in cache.engines()] == [engine.key]
    again, same = engine_of(rtx, both, "fp16", pytest.fail)
    assert (again.key, same) == (engine.key, plan)  # plans of one graph differ from build to build
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_build_shows_a_bar_on_a_terminal_and_taking_an_engine_shows_none(
    rtx: Flavour, both: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turn in ("building", "taking"):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        engine_of(rtx, both, "fp16", pytest.fail)
        assert (rtx.title in terminal.getvalue()) == (turn == "building")


def test_each_precision_has_an_engine_of_its_own_graph(rtx: Flavour, both: Model, cache: EngineCache) -> None:
    for precision in ("fp32", "fp16"):
        engine, _ = engine_of(rtx, both, precision, pytest.fail)
        assert engine.facts.onnx_sha256 == both.card.files[f"mr_to_ct.{precision}.onnx"].sha256
    assert len(cache.engines()) == 2


@pytest.mark.parametrize(("most", "profile"), [(183, "1..16..183"), (16, "1..16..16"), (5, "1..5..5")])
def test_it_takes_what_the_model_takes_and_is_tuned_for_no_more(
    most: int, profile: str, rtx: Flavour, tmp_path: Path
) -> None:
    engine, _ = engine_of(rtx, write_model(tmp_path / "model", max_batch=most), "fp32", pytest.fail)
    assert engine.facts.profile == f"{profile} slices"


def test_a_damaged_engine_is_told_and_built_again(rtx: Flavour, both: Model) -> None:
    engine, plan = engine_of(rtx, both, "fp16", pytest.fail)
    engine.plan_file.write_bytes(plan[:-1])
    said: list[str] = []
    assert len(engine_of(rtx, both, "fp16", said.append)[1]) > len(plan) // 2
    assert said == [f"{engine.plan_file}: damaged, it is not what was built; building it again"]


def test_a_precision_the_model_does_not_have_is_told_and_nothing_is_built(
    rtx: Flavour, identity_model: Model, cache: EngineCache
) -> None:
    with pytest.raises(ModelError, match=r"no engine, for it has no mr_to_ct.fp16.onnx"):
        engine_of(rtx, identity_model, "fp16", pytest.fail)
    assert not cache.folder.exists()


def test_a_graph_that_was_altered_after_the_model_was_opened_is_never_built(
    rtx: Flavour, both: Model, cache: EngineCache
) -> None:
    (both.folder / "mr_to_ct.fp16.onnx").write_bytes(shifted_graph(0.5).SerializeToString())
    with pytest.raises(ModelError, match="not the file that was certified"):
        engine_of(rtx, both, "fp16", pytest.fail)
    assert cache.engines() == []
