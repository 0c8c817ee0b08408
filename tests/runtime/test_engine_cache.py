"""Each engine is built once, by one process, and is what was built; whatever it depends on is in its key."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from mr2ct.engine import SCHEMA, EngineFacts, engine_facts
from mr2ct.engine_cache import EngineCache, cache_folder
from mr2ct.errors import OutputError
from mr2ct.gpu import Gpu
from mr2ct.tensorrt_builder import BuildOptions, Built, End, Network, build
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_watch import LogLine
from rtx_wheels import open_rtx

PATIENCE_S = 60
GPU = Gpu("NVIDIA H200", "9.0", "580.82.07")
DATA_CENTRE = Flavour("tensorrt", "11.4.0.106", None)
RTX = Flavour("tensorrt-rtx", "1.7.1.116", None)
OPTIONS = BuildOptions(max_batch=183)
FACTS = engine_facts(DATA_CENTRE, "a" * 64, OPTIONS, GPU)
IMAGE = End("mr", "float32", (-1, 1, 256, 256))
LAYOUT = Network(IMAGE, replace(IMAGE, name="synthetic_ct"), 1, ((1, 1, 256, 256),) * 3)


def made(plan: bytes = b"a plan", timings: bytes = b"") -> Built:
    return Built(plan, LAYOUT, 1.5, timings, (LogLine("INFO", "Engine generation completed"),))


def never(_: bytes) -> Built:
    pytest.fail("it was built again")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def said() -> list[str]:
    return []


def keep(cache: EngineCache, facts: EngineFacts = FACTS, built: Built | None = None) -> None:
    cache.take_or_build(facts, lambda _: built or made(), lambda _: None)


def files(cache: EngineCache) -> set[str]:
    return {file.name for file in cache.folder.iterdir()} - {".lock"}


@pytest.mark.parametrize("field", [field.name for field in fields(EngineFacts)])
def test_every_fact_changes_the_key(field: str) -> None:
    assert replace(FACTS, **{field: "another"}).key != FACTS.key
    assert replace(FACTS).key == FACTS.key


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_batch", 100),
        ("opt_batch", 8),
        ("workspace_bytes", 1 << 30),
        ("version_compatible", True),
        ("hardware_compatible", True),
    ],
)
def test_every_option_changes_the_key(option: str, value: int) -> None:
    assert {field.name for field in fields(BuildOptions)} >= {option}
    assert engine_facts(DATA_CENTRE, "a" * 64, replace(OPTIONS, **{option: value}), GPU).key != FACTS.key


def test_an_engine_for_every_gpu_is_of_none() -> None:
    facts = engine_facts(RTX, "a" * 64, OPTIONS)
    assert {facts.gpu, facts.compute_capability, facts.driver} == {"none (built without a GPU)"}
    assert engine_facts(RTX, "a" * 64, OPTIONS, GPU) == facts


def test_an_engine_is_built_once_and_then_taken(cache: EngineCache, said: list[str]) -> None:
    engine, plan = cache.take_or_build(FACTS, lambda _: made(), said.append)
    again, same = cache.take_or_build(FACTS, never, said.append)
    assert (engine, plan) == (again, same)
    assert plan == b"a plan"
    assert (engine.size, engine.seconds, engine.facts, engine.key) == (6, 1.5, FACTS, FACTS.key)
    assert said == []
    assert files(cache) == {f"{FACTS.key}.plan", f"{FACTS.key}.json"}


def test_the_json_beside_it_tells_all_that_is_known(cache: EngineCache) -> None:
    keep(cache)
    about = json.loads((cache.folder / f"{FACTS.key}.json").read_text())
    assert about["schema"] == SCHEMA
    assert about["facts"] == vars(FACTS)
    assert about["plan"] == {"sha256": hashlib.sha256(b"a plan").hexdigest(), "bytes": 6}
    assert about["network"]["input"] == {"name": "mr", "dtype": "float32", "shape": [-1, 1, 256, 256]}
    assert about["log"] == ["INFO: Engine generation completed"]


def test_what_later_versions_add_to_the_json_stays_with_the_engine(cache: EngineCache) -> None:
    keep(cache)
    file = cache.folder / f"{FACTS.key}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "certificates": [{"max_hu": 0.1}]}))
    engine, _ = cache.take_or_build(FACTS, never, lambda _: None)
    assert engine.about["certificates"] == [{"max_hu": 0.1}]


@pytest.mark.parametrize("content", [b"A plan", b"a pla", b"", None], ids=["altered", "cut", "empty", "lost"])
def test_a_damaged_plan_is_told_and_built_again(content: bytes | None, cache: EngineCache, said: list[str]) -> None:
    keep(cache)
    file = cache.folder / f"{FACTS.key}.plan"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    _, plan = cache.take_or_build(FACTS, lambda _: made(b"another plan"), said.append)
    assert plan == b"another plan"
    assert said == [f"{cache.folder / FACTS.key}.plan: damaged, it is not what was built; building it again"]
    assert cache.take_or_build(FACTS, never, said.append)[1] == b"another plan"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"schema": "mr2ct-engine/2"}', '{"facts": {"gpu": "H200"}}']
)
def test_a_json_that_is_not_ours_is_no_entry(text: str, cache: EngineCache) -> None:
    keep(cache)
    (cache.folder / f"{FACTS.key}.json").write_text(text)
    assert cache.find(FACTS) is None
    assert cache.engines() == []
    keep(cache)
    assert [engine.facts for engine in cache.engines()] == [FACTS]


def test_the_json_of_another_engine_under_this_name_is_no_entry(cache: EngineCache) -> None:
    other = replace(FACTS, driver="575.1")
    keep(cache, other)
    for ending in (".json", ".plan"):
        (cache.folder / f"{other.key}{ending}").rename(cache.folder / f"{FACTS.key}{ending}")
    assert cache.find(FACTS) is None


def test_a_build_that_fails_leaves_the_cache_as_it_was(cache: EngineCache) -> None:
    other = replace(FACTS, driver="575.1")
    keep(cache, other)
    before = files(cache)
    for error in (KeyboardInterrupt, ZeroDivisionError):

        def fail(_: bytes, error: type[BaseException] = error) -> Built:
            raise error

        with pytest.raises(error):
            cache.take_or_build(FACTS, fail, lambda _: None)
        assert files(cache) == before
    keep(cache)  # the lock was let go


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"gpu": "NVIDIA A100"}, "GPU NVIDIA A100, here NVIDIA H200"),
        ({"compute_capability": "8.0"}, "compute capability 8.0, here 9.0"),
        ({"driver": "575.1"}, "driver 575.1, here 580.82.07"),
        ({"version": "10.13.0"}, "TensorRT version 10.13.0, here 11.4.0.106"),
        ({"flavour": "tensorrt-rtx"}, "TensorRT TensorRT-RTX, here TensorRT"),
        ({"profile": "1..8..183 slices"}, "profile 1..8..183 slices, here 1..16..183 slices"),
        ({"gpu": "NVIDIA A100", "driver": "575.1"}, "GPU NVIDIA A100, here NVIDIA H200; driver 575.1, here 580.82.07"),
    ],
)
def test_what_keeps_an_engine_of_the_same_graph_from_fitting_is_told(
    there: dict[str, str], told: str, cache: EngineCache, said: list[str]
) -> None:
    keep(cache, replace(FACTS, **there))
    cache.take_or_build(FACTS, lambda _: made(), said.append)
    assert said == [f"building: no engine of this graph fits here: {told}"]


def test_of_several_the_nearest_is_told_and_other_graphs_are_not(cache: EngineCache, said: list[str]) -> None:
    keep(cache, replace(FACTS, gpu="NVIDIA A100", driver="575.1", version="10.13.0"))
    keep(cache, replace(FACTS, driver="575.1"))
    assert cache.why_none_fits(FACTS) == "driver 575.1, here 580.82.07"
    cache.take_or_build(replace(FACTS, onnx_sha256="b" * 64), lambda _: made(), said.append)
    assert said == []


def test_timings_are_kept_for_a_version_on_a_gpu(cache: EngineCache) -> None:
    given: list[bytes] = []

    def build_with(timings: bytes) -> Callable[[bytes], Built]:
        def make(before: bytes) -> Built:
            given.append(before)
            return made(timings=timings)

        return make

    for facts, timings in (
        (FACTS, b"first"),
        (replace(FACTS, onnx_sha256="b" * 64, profile="1..8..183 slices"), b"second"),
        (replace(FACTS, driver="581.0"), b"third"),
        (replace(FACTS, gpu="NVIDIA A100"), b""),
        (replace(FACTS, version="10.13.0"), b""),
    ):
        cache.take_or_build(facts, build_with(timings), lambda _: None)
    assert given == [b"", b"first", b"second", b"", b""]


def test_clearing_removes_engines_and_timings_and_nothing_else(cache: EngineCache) -> None:
    keep(cache, built=made(timings=b"timings"))
    keep(cache, replace(FACTS, driver="575.1"))
    (cache.folder / f".{FACTS.key}.json.x1y2.partial").mkdir()
    for name in ("thesis.json", "thesis.plan", ".thesis.partial"):
        (cache.folder / name).write_text("four years")
    assert cache.clear() == 2
    assert files(cache) == {"thesis.json", "thesis.plan", ".thesis.partial"}
    assert cache.clear() == 0


def test_a_cache_that_is_not_there_is_empty(cache: EngineCache) -> None:
    assert cache.engines() == []
    assert cache.clear() == 0
    assert cache.why_none_fits(FACTS) == ""
    assert not cache.folder.exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot keep engines there: .*; MR2CT_CACHE names another place"):
        EngineCache(tmp_path / "file" / "engines").take_or_build(FACTS, never, lambda _: None)


def test_a_lock_that_cannot_be_had_is_told_before_anything_is_built(cache: EngineCache) -> None:
    (cache.folder / ".lock").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"\.lock: cannot write there: Is a directory"):
        cache.take_or_build(FACTS, never, lambda _: None)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_write_permission_is_told_before_anything_is_built(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            EngineCache(tmp_path).take_or_build(FACTS, never, lambda _: None)
    finally:
        tmp_path.chmod(0o755)


def test_the_cache_is_where_the_system_keeps_caches_or_where_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MR2CT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "mr2ct" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "mr2ct" / "engines"
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine" / "engines" == EngineCache().folder


# A process that takes or builds the engine of a graph with the real TensorRT-RTX. It tells what it does line by line,
# and before it builds it waits for a file.
PROCESS = """
import hashlib, sys, time
from pathlib import Path
from mr2ct.engine import engine_facts
from mr2ct.engine_cache import EngineCache
from mr2ct.tensorrt_builder import BuildOptions, build
from mr2ct.tensorrt_flavour import open_flavour
folder, gate = map(Path, sys.argv[1:])
graph = (folder / "graph.onnx").read_bytes()
flavour, options = open_flavour("tensorrt-rtx"), BuildOptions(max_batch=183)

def make(timings):
    print("building", flush=True)
    while not gate.exists():
        time.sleep(0.01)
    return build(flavour, graph, options)

facts = engine_facts(flavour, hashlib.sha256(graph).hexdigest(), options)
engine, plan = EngineCache(folder / "engines").take_or_build(facts, make, lambda line: print(line, flush=True))
print(hashlib.sha256(plan).hexdigest(), flush=True)
"""


@pytest.fixture
def graph(tmp_path: Path) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 256, 256]) for name in ("mr", "synthetic_ct")
    ]
    made = helper.make_graph([helper.make_node("Tanh", ["mr"], ["synthetic_ct"])], "small", ends[:1], ends[1:])
    content: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()
    (tmp_path / "graph.onnx").write_bytes(content)
    return content


def process(folder: Path, gate: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(gate)], stdout=subprocess.PIPE, text=True, env=environment
    )


def line_of(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().rstrip()


def test_of_two_processes_one_builds_and_the_other_waits_and_takes_it(tmp_path: Path, graph: bytes) -> None:
    assert graph
    open_rtx()
    gate = tmp_path / "gate"
    first = process(tmp_path, gate)
    assert line_of(first) == "building"
    second = process(tmp_path, gate)
    assert line_of(second) == f"waiting: another process builds an engine in {tmp_path / 'engines'}"
    gate.touch()
    plans = [running.communicate(timeout=PATIENCE_S)[0].split() for running in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(plans[0]) == 1  # plans of one graph differ from build to build, so these two are one
    assert plans[0] == plans[1]
    assert len(EngineCache(tmp_path / "engines").engines()) == 1


def test_a_builder_that_is_killed_keeps_nobody_waiting(tmp_path: Path, graph: bytes) -> None:
    assert graph
    open_rtx()
    first = process(tmp_path, tmp_path / "never")
    assert line_of(first) == "building"
    second = process(tmp_path, tmp_path)
    assert line_of(second).startswith("waiting: ")
    first.kill()
    first.communicate(timeout=PATIENCE_S)
    started = time.monotonic()
    told = second.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert second.returncode == 0
    assert told[0] == "building"
    assert time.monotonic() - started < PATIENCE_S
    assert len(EngineCache(tmp_path / "engines").engines()) == 1


def test_a_real_engine_comes_back_as_it_was_built(cache: EngineCache, graph: bytes, said: list[str]) -> None:
    rtx = open_rtx()
    facts = engine_facts(rtx, "a" * 64, OPTIONS)
    built = build(rtx, graph, OPTIONS)
    engine, plan = cache.take_or_build(facts, lambda _: built, said.append)
    assert plan == built.plan
    assert engine.size == len(plan)
    assert engine.about["network"]["profile"] == [[n, 1, 256, 256] for n in (1, 16, 183)]
    assert any("Engine generation completed" in line for line in engine.about["log"])
    assert said == []
