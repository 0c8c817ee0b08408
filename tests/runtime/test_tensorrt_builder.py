"""Real engines, built by TensorRT-RTX on this machine's CPU; what cannot be built is refused with every reason."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tqdm import tqdm

from mr2ct.card import PAPER_SLICES
from mr2ct.errors import DeviceError, ModelError
from mr2ct.tensorrt_builder import BuildOptions, Built, End, _config, build
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_watch import LogLine
from mr2ct_export.to_half import to_half
from mr2ct_export.to_onnx import to_onnx
from mr2ct_training.generator import GeneratorConfig, untrained
from rtx_wheels import open_rtx

SHAPE = ["n", 1, 256, 256]
WHOLE = BuildOptions(max_batch=183)
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    return open_rtx()


@pytest.fixture(scope="module")
def single() -> onnx.ModelProto:
    """A narrow generator in fp32."""
    return to_onnx(untrained(GeneratorConfig(width=4), seed=0), PAPER_SLICES)


@pytest.fixture(scope="module")
def half(single: onnx.ModelProto) -> bytes:
    """The same with its convolutions in fp16."""
    graph: bytes = to_half(single).SerializeToString()
    return graph


@pytest.fixture(scope="module")
def built(rtx: Flavour, half: bytes) -> Built:
    return build(rtx, half, WHOLE)


def graph(
    *nodes: onnx.NodeProto, kind: int = FLOAT, shape: list[Any] = SHAPE, weights: list[TensorProto] | None = None
) -> bytes:
    """A graph from mr to synthetic_ct; without nodes, the identity."""
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("mr", "synthetic_ct")]
    chain = list(nodes) or [helper.make_node("Identity", ["mr"], ["synthetic_ct"])]
    made = helper.make_graph(chain, "small", ends[:1], ends[1:], weights or [])
    content: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()
    return content


def refusal(flavour: Flavour, content: bytes, options: BuildOptions = WHOLE) -> str:
    with pytest.raises(ModelError) as caught:
        build(flavour, content, options)
    message = str(caught.value)
    assert message.startswith(flavour.title)
    assert "\n" not in message
    return message


def test_what_was_built_has_the_graphs_ends_in_single_precision(built: Built) -> None:
    assert built.network.input == End("mr", "float32", (-1, 1, 256, 256))
    assert built.network.output == End("synthetic_ct", "float32", (-1, 1, 256, 256))


def test_one_profile_goes_from_one_slice_to_the_cards_most(built: Built, rtx: Flavour) -> None:
    assert built.network.profile == ((1, 1, 256, 256), (16, 1, 256, 256), (183, 1, 256, 256))
    few = build(rtx, graph(), BuildOptions(max_batch=8, opt_batch=2))
    assert few.network.profile == ((1, 1, 256, 256), (2, 1, 256, 256), (8, 1, 256, 256))


def test_tensorrts_own_runtime_knows_the_plan_for_an_engine(built: Built, rtx: Flavour) -> None:
    library, quiet = rtx.library, rtx.library.Logger(rtx.library.Logger.INTERNAL_ERROR)
    malformed = int(library.EngineInvalidityDiagnostics.MALFORMED_ENGINE)
    validity = library.Runtime(quiet).get_engine_validity
    assert not validity(built.plan)[1] & malformed
    assert validity(bytes(len(built.plan)))[1] & malformed


def test_the_precision_is_the_graphs(built: Built, rtx: Flavour, single: onnx.ModelProto) -> None:
    plain = build(rtx, single.SerializeToString(), WHOLE)
    assert plain.network.layers + 46 == built.network.layers  # a cast on each side of all but the first
    assert len(built.plan) < len(plain.plan)


def test_the_log_is_kept_with_its_severities(built: Built) -> None:
    assert any("Engine generation completed" in line.text for line in built.log)
    assert {line.severity for line in built.log} == {"INFO"}
    assert not any(line.is_error for line in built.log)
    assert LogLine("ERROR", "").is_error


def test_a_failed_build_leaves_its_log_to_the_caller(rtx: Flavour, half: bytes) -> None:
    log: list[LogLine] = []
    with pytest.raises(DeviceError):
        build(rtx, half, BuildOptions(max_batch=183, workspace_bytes=1), log=log)
    assert any(line.is_error for line in log)


def test_the_time_is_told_and_no_timing_cache_is_kept_where_there_is_none(built: Built) -> None:
    assert 0 < built.seconds < 60
    assert built.timings == b""


def test_tf32_is_off_and_the_workspace_is_as_asked(rtx: Flavour) -> None:
    library = rtx.library
    builder = library.Builder(library.Logger())
    limited = _config(rtx, builder, BuildOptions(max_batch=183, workspace_bytes=1 << 30))
    assert builder.create_builder_config().get_flag(library.BuilderFlag.TF32)
    assert not limited.get_flag(library.BuilderFlag.TF32)
    assert limited.get_memory_pool_limit(library.MemoryPoolType.WORKSPACE) == 1 << 30
    assert _config(rtx, builder, WHOLE).get_memory_pool_limit(library.MemoryPoolType.WORKSPACE) > 1 << 30


def test_progress_is_told_by_phase_from_its_first_step_to_its_last(rtx: Flavour, half: bytes) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    build(rtx, half, WHOLE, lambda phase, done, steps: told.setdefault(phase, []).append((done, steps)))
    assert "Building engine" in told
    for phase, steps in told.items():
        assert steps[0][0] == 0, phase
        for (before, _), (done, total) in pairwise(steps):
            assert done in (0, before + 1)  # a phase may come again
            assert done <= total


def test_a_bar_of_tqdm_follows_it(rtx: Flavour) -> None:
    with tqdm(disable=None) as bar:

        def show(phase: str, done: int, steps: int) -> None:
            bar.set_description(phase, refresh=False)
            bar.total = steps
            bar.update(done - bar.n)

        assert build(rtx, graph(), WHOLE, show).plan


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "sees no input to no output"),
        (bytes(range(256)) * 40, "sees no input to no output"),
        (b"not a graph", "Failed to parse the ONNX model. (MODEL_DESERIALIZE_FAILED)"),
        (graph()[:-20], "Failed to parse the ONNX model. (MODEL_DESERIALIZE_FAILED)"),
    ],
    ids=["empty", "bytes", "text", "cut off"],
)
def test_what_is_no_graph_is_refused(content: bytes, told: str, rtx: Flavour) -> None:
    assert told in refusal(rtx, content)


def test_every_error_of_the_parser_is_told_with_its_node(rtx: Flavour) -> None:
    nodes = [
        helper.make_node("Nonsense", ["mr"], ["a"], name="first"),
        helper.make_node("Fiddle", ["a"], ["b"], name="second"),
        helper.make_node("Add", ["mr", "b"], ["synthetic_ct"], name="third"),
    ]
    told = refusal(rtx, graph(*nodes))
    for node in ("node 0 Nonsense first: ", "; node 1 Fiddle second: "):
        assert node in told
    assert told.count("(INVALID_NODE)") == 2
    assert "third" not in told


FOREIGN = {
    "half": {"kind": HALF},
    "three channels and any size": {"shape": ["n", 3, "h", "w"]},
    "no batch": {"shape": [1, 256, 256]},
    "one slice at a time": {"shape": [1, 1, 256, 256]},
}


@pytest.mark.parametrize("ends", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_graph_that_no_model_has_is_refused(ends: dict[str, Any], rtx: Flavour) -> None:
    told = refusal(rtx, graph(**ends))
    assert "a model takes float32 [batch, 1, rows, columns] to the same, of batches from 1 to 183" in told


def test_a_graph_of_one_slice_serves_a_card_of_one_slice(rtx: Flavour) -> None:
    made = build(rtx, graph(shape=[1, 1, 256, 256]), BuildOptions(max_batch=1, opt_batch=1))
    assert made.network.profile == ((1, 1, 256, 256),) * 3


@pytest.mark.parametrize("location", ["weights.bin", "../here/weights.bin", "{folder}/weights.bin"])
def test_weights_from_files_that_nobody_checked_are_refused(
    location: str, rtx: Flavour, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("a") / "here"
    folder.mkdir()
    content = np.full((1, 1, 256, 256), 0.5, np.float32).tobytes()
    (folder / "weights.bin").write_bytes(content)
    monkeypatch.chdir(folder)  # where the parser looks when it is told of no other place
    by = TensorProto()
    by.name, by.data_type, by.data_location = "by", FLOAT, TensorProto.EXTERNAL
    by.dims.extend([1, 1, 256, 256])
    wanted = {"location": location.format(folder=folder), "offset": "0", "length": str(len(content))}
    for key, value in wanted.items():
        entry = by.external_data.add()
        entry.key, entry.value = key, value
    add = helper.make_node("Add", ["mr", "by"], ["synthetic_ct"])
    assert "Failed to import initializer: by" in refusal(rtx, graph(add, weights=[by]))


@pytest.mark.parametrize("opt", [-1, 0, 184])
def test_an_impossible_profile_is_refused(opt: int, rtx: Flavour) -> None:
    with pytest.raises(DeviceError, match=f"tuned for {opt} slices at once; this model takes 1 to 183"):
        build(rtx, graph(), BuildOptions(max_batch=183, opt_batch=opt))


def test_too_small_a_workspace_is_told(rtx: Flavour, half: bytes) -> None:
    with pytest.raises(DeviceError) as caught:
        build(rtx, half, BuildOptions(max_batch=183, workspace_bytes=1 << 20))
    message = str(caught.value)
    assert message.startswith(f"{rtx.title}: 1048576 bytes of workspace are too few (")
    assert "no tactics" in message
    assert message.endswith("; give more")
    assert "\n" not in message


@pytest.mark.parametrize("workspace", [0, -1])
def test_no_workspace_at_all_is_refused(workspace: int, rtx: Flavour) -> None:
    with pytest.raises(DeviceError, match=f"a workspace of {workspace} bytes"):
        build(rtx, graph(), BuildOptions(max_batch=183, workspace_bytes=workspace))


def test_a_workspace_that_is_enough_is_enough(rtx: Flavour, half: bytes) -> None:
    assert build(rtx, half, BuildOptions(max_batch=4, opt_batch=4, workspace_bytes=1 << 30)).plan


@pytest.mark.parametrize(
    ("option", "told"),
    [("version_compatible", "no engines for other versions"), ("hardware_compatible", "every RTX GPU from Ampere on")],
)
def test_a_compatibility_that_the_flavour_does_not_know_is_refused(option: str, told: str, rtx: Flavour) -> None:
    with pytest.raises(DeviceError, match=told):
        build(rtx, graph(), BuildOptions(max_batch=183, **{option: True}))


def test_an_error_in_the_progress_ends_the_build_and_comes_out(rtx: Flavour, half: bytes) -> None:
    phases = []

    def fail(phase: str, done: int, _: int) -> None:
        phases.append(phase)
        if done == 5:
            raise ZeroDivisionError("in the bar")

    with pytest.raises(ZeroDivisionError, match="in the bar"):
        build(rtx, half, WHOLE, fail)
    assert set(phases) == {"Building engine", "Cloning network graph"}  # the first two, and no more


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A test run in the background of a shell has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.ctrl_c
@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_a_build_at_once_and_the_next_one_is_not_hurt(
    rtx: Flavour, half: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    phases = set()

    def press(phase: str, done: int, _: int) -> None:
        phases.add(phase)
        if phase == "Cloning network graph" and done == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # until it has arrived in the other thread

    log: list[LogLine] = []
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        build(rtx, half, WHOLE, press, log)
    assert "Computing profile costs" not in phases
    assert any("BuildCanceled" in line.text for line in log)
    assert threading.active_count() == threads
    assert capfd.readouterr() == ("", "")
    assert build(rtx, half, WHOLE).plan
