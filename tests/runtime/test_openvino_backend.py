"""OpenVINO runs the graph that the card promises on this CPU, in the precision that was asked for and no lower."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct import openvino_backend, openvino_compiling
from mr2ct.cpu import Cpu, this_cpu
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, graph_file
from mr2ct.openvino_backend import OpenvinoBackend, has_bf16
from mr2ct.openvino_library import openvino
from small_models import SHAPE, identity_graph, write_model

Array = NDArray[np.float32]
Ends = dict[str, tuple[int, list[Any]]]  # element type and shape by name

FILE = graph_file("fp32")
WEIGHTS = np.full((1, 1, 256, 256), 0.5, dtype=np.float32).tobytes()
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
IMAGE = (FLOAT, SHAPE)
FOREIGN: dict[str, tuple[Ends, Ends]] = {
    "another input": ({"t1": IMAGE}, {"synthetic_ct": IMAGE}),
    "another output": ({"mr": IMAGE}, {"hu": IMAGE}),
    "two inputs": ({"mr": IMAGE, "mask": IMAGE}, {"synthetic_ct": IMAGE}),
    "two outputs": ({"mr": IMAGE}, {"synthetic_ct": IMAGE, "cycled_mr": IMAGE}),
    "half": ({"mr": (HALF, SHAPE)}, {"synthetic_ct": (HALF, SHAPE)}),
    "double": ({"mr": (DOUBLE, SHAPE)}, {"synthetic_ct": (DOUBLE, SHAPE)}),
    "smaller": ({"mr": (FLOAT, ["n", 1, 128, 128])}, {"synthetic_ct": (FLOAT, ["n", 1, 128, 128])}),
    "any size": ({"mr": (FLOAT, ["n", 1, "h", "w"])}, {"synthetic_ct": (FLOAT, ["n", 1, "h", "w"])}),
    "three channels": ({"mr": (FLOAT, ["n", 3, 256, 256])}, {"synthetic_ct": (FLOAT, ["n", 3, 256, 256])}),
    "no batch": ({"mr": (FLOAT, [1, 256, 256])}, {"synthetic_ct": (FLOAT, [1, 256, 256])}),
    "one slice at a time": ({"mr": (FLOAT, [1, 1, 256, 256])}, {"synthetic_ct": (FLOAT, [1, 1, 256, 256])}),
}


def silent(line: str) -> None:
    pytest.fail(f"nothing was to be said: {line}", pytrace=False)


def opened(model: Model, precision: str = "fp32", threads: int | None = 1) -> OpenvinoBackend:
    return OpenvinoBackend(model, FILE, precision, say=silent, threads=threads)


def slices(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, 256, 256)).astype(np.float32)


def graph(
    inputs: Ends,
    outputs: Ends,
    nodes: list[onnx.NodeProto] | None = None,
    weights: list[TensorProto] | None = None,
) -> bytes:
    """A graph of these ends; without nodes, each output is the sum of all inputs."""
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    ]
    if nodes is None:
        nodes = [helper.make_node("Sum", list(inputs), [name]) for name in outputs]
    made = helper.make_graph(nodes, "small", ends[0], ends[1], weights or [])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def smoothing_graph() -> bytes:
    """tanh of a convolution by 5 x 5 to four channels, and of one by 3 x 3 back to one."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, (4, 1, 5, 5)).astype(np.float32), "there"),
        numpy_helper.from_array(rng.normal(0, 0.2, (1, 4, 3, 3)).astype(np.float32), "back"),
    ]
    nodes = [
        helper.make_node("Conv", ["mr", "there"], ["features"], pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["features", "back"], ["sum"], pads=[1, 1, 1, 1]),
        helper.make_node("Tanh", ["sum"], ["synthetic_ct"]),
    ]
    return graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, nodes, weights)


@pytest.fixture(scope="module")
def smoothing(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("smoothing"), {"fp32": smoothing_graph()})


def refusal(model: Model) -> str:
    """What is said of the model's fp32 graph, on one line that begins with the file."""
    with pytest.raises(ModelError) as caught:
        opened(model)
    message = str(caught.value)
    assert message.startswith(str(model.folder / FILE))
    assert "\n" not in message
    assert "src/" not in message  # OpenVINO's sources
    return message


@pytest.mark.parametrize("ends", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_graph_that_is_not_what_the_card_promises_is_refused(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    message = refusal(write_model(tmp_path, {"fp32": graph(*ends)}))
    assert "is not the card's" in message
    assert "[1, 256, 256]" in message


def test_the_refusal_tells_what_the_graph_has_instead(tmp_path: Path) -> None:
    model = write_model(tmp_path, {"fp32": graph({"t1": (FLOAT, ["n", 1, 64, 64])}, {"synthetic_ct": IMAGE})})
    assert "t1 f32 [?,1,64,64] is not the card's mr" in refusal(model)


def test_a_graph_of_one_slice_serves_a_card_of_one_slice(tmp_path: Path) -> None:
    model = write_model(tmp_path, {"fp32": graph(*FOREIGN["one slice at a time"])}, max_batch=1)
    assert opened(model).run(np.ones((1, 1, 256, 256), np.float32)).mean() == 1


def test_a_card_may_name_its_input_and_output_otherwise(tmp_path: Path) -> None:
    content = graph({"t1": IMAGE}, {"hu": IMAGE})
    backend = opened(write_model(tmp_path, {"fp32": content}, input_name="t1", output_name="hu"))
    assert backend.run(np.ones((2, 1, 256, 256), np.float32)).mean() == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a graph",
        bytes(range(256)) * 40,
        identity_graph().SerializeToString()[:-20],
        graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, [helper.make_node("Nonsense", ["mr"], ["synthetic_ct"])]),
        graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, []),
    ],
    ids=["empty", "text", "bytes", "cut off", "unknown operator", "unconnected"],
)
def test_what_is_no_graph_is_refused_and_prints_nothing(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal(write_model(tmp_path, {"fp32": content}))
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_openvino_does_not_know_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Nonsense", ["mr"], ["synthetic_ct"])]
    assert "Nonsense" in refusal(write_model(tmp_path, {"fp32": graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, nodes)}))


def test_a_graph_that_was_altered_after_the_model_was_opened_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="not the file that was certified"):
        opened(model)


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "../weights.bin", "{folder}/weights.bin"])
def test_weights_in_another_file_are_refused_wherever_they_lie(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "weights.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(folder)
    weights = TensorProto()
    weights.name, weights.data_type, weights.data_location = "by", FLOAT, TensorProto.EXTERNAL
    weights.dims.extend([1, 1, 256, 256])
    for key, value in (("location", location.format(folder=folder)), ("offset", "0"), ("length", str(len(WEIGHTS)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    add = helper.make_node("Add", ["mr", "by"], ["synthetic_ct"])
    model = write_model(tmp_path / "written", {"fp32": graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, [add], [weights])})
    assert "weights in another file" in refusal(model)


def test_the_answer_is_a_new_array_and_the_input_is_as_it_was(identity_model: Model) -> None:
    backend, given = opened(identity_model), slices(3)
    before = given.copy()
    first = backend.run(given)
    kept = first.copy()
    backend.run(slices(3, seed=1))
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(first, kept)
    assert first.flags.owndata
    assert (first.dtype, first.shape) == (np.float32, given.shape)


def test_what_is_done_to_an_input_after_the_call_changes_nothing(identity_model: Model) -> None:
    backend, given = opened(identity_model), slices(2)
    answer, before = backend.run(given), given.copy()
    given.fill(0)
    np.testing.assert_array_equal(answer, before)
    np.testing.assert_array_equal(backend.run(before), before)


@pytest.mark.parametrize("hint", ["LATENCY", "THROUGHPUT"])
def test_each_slice_of_a_batch_is_answered_as_alone_and_in_its_place(
    hint: str, smoothing: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, "HINT", hint)
    backend, given = opened(smoothing, threads=None), slices(7)
    alone = np.concatenate([backend.run(given[n : n + 1]) for n in range(7)])
    np.testing.assert_array_equal(backend.run(given), alone)
    assert 1 <= backend.batch <= 183


def test_slices_that_lie_apart_in_memory_are_answered_alike(smoothing: Model) -> None:
    backend, given = opened(smoothing), slices(4)
    np.testing.assert_array_equal(backend.run(given[::2, :, ::-1]), backend.run(given[::2, :, ::-1].copy()))


def test_in_single_precision_it_answers_as_the_same_sums_in_double(smoothing: Model) -> None:
    given = slices(1)
    there, back = (
        numpy_helper.to_array(tensor).astype(np.float64)
        for tensor in onnx.load_from_string(smoothing.read(FILE)).graph.initializer
    )
    features = np.stack([correlated(given[0, 0], kernel) for kernel in there[:, 0]])
    truth = np.tanh(sum(correlated(one, kernel) for one, kernel in zip(features, back[0], strict=True)))
    np.testing.assert_allclose(opened(smoothing).run(given)[0, 0], truth, atol=2e-6)


def correlated(image: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """A convolution of one channel, zeros around it, in float64."""
    reach = len(kernel) // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image.astype(np.float64), reach), kernel.shape)
    summed: NDArray[np.float64] = np.einsum("yxij,ij->yx", windows, kernel)
    return summed


@pytest.mark.parametrize("count", [0, 184])
def test_more_or_fewer_slices_than_the_model_takes_are_an_error(count: int, identity_model: Model) -> None:
    with pytest.raises(DeviceError, match=f"{count} slices at once; this model takes 1 to 183"):
        opened(identity_model).run(np.zeros((count, 1, 256, 256), np.float32))


def test_slices_of_another_shape_are_an_error_and_the_next_ones_are_answered(identity_model: Model) -> None:
    backend = opened(identity_model)
    with pytest.raises(DeviceError, match=r"failed on 2 slices \(.+\)") as caught:
        backend.run(np.zeros((2, 1, 128, 128), np.float32))
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(backend.run(slices(2)), slices(2))


def test_a_closed_backend_runs_no_more_and_closes_again(identity_model: Model) -> None:
    backend = opened(identity_model)
    backend.close()
    backend.close()
    with pytest.raises(DeviceError, match="closed"):
        backend.run(slices(1))


def test_the_description_tells_engine_version_device_and_precision(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = openvino.__version__.partition("-")[0]
    assert opened(identity_model).description == f"OpenVINO {version}, CPU, fp32"
    monkeypatch.setattr(openvino_backend, "this_cpu", lambda: Cpu("fast", ("avx512_vnni",)))
    for there, rest in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(openvino_backend, "has_bf16", lambda _, there=there: there)
        assert opened(identity_model, "int8").description == f"OpenVINO {version}, CPU, int8 and {rest}"


def test_what_it_is_made_of_depends_on_the_file_and_on_what_was_done_to_its_graph(
    identity_model: Model, smoothing: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made_of = opened(smoothing).made_of
    assert made_of == opened(smoothing).made_of
    assert made_of not in (opened(identity_model).made_of, smoothing.card.files[FILE].sha256)
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path))
    monkeypatch.setattr(openvino_compiling, "fingerprint", lambda _: "of a graph that was rewritten otherwise")
    assert opened(smoothing).made_of != made_of


def test_a_precision_that_is_not_known_is_told_with_the_known_ones(identity_model: Model) -> None:
    with pytest.raises(DeviceError, match=r"precision 'fp16' is not known; known: fp32, bf16, int8"):
        opened(identity_model, "fp16")


def test_bf16_on_a_cpu_without_it_is_an_error_and_nothing_else_runs(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(openvino_backend, "this_cpu", lambda: Cpu("i7-4770", ()))
    with pytest.raises(DeviceError, match="i7-4770 computes no bfloat16; take fp32 or int8"):
        opened(identity_model, "bf16")


def test_int8_on_a_cpu_that_is_not_made_for_it_runs_and_says_so(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_backend, "this_cpu", lambda: Cpu("i7-4770", ()))
    said: list[str] = []
    backend = OpenvinoBackend(identity_model, FILE, "int8", say=said.append, threads=1)
    np.testing.assert_array_equal(backend.run(slices(1)), slices(1))
    (line,) = said
    assert line.startswith("int8 on i7-4770: ")


def test_more_threads_than_cores_become_the_cores_and_are_told(identity_model: Model) -> None:
    said: list[str] = []
    backend = OpenvinoBackend(identity_model, FILE, "fp32", say=said.append, threads=10_000)
    cores = len(os.sched_getaffinity(0))
    (line,) = said
    assert line.startswith(f"10000 threads asked for, this machine lends {cores}")
    np.testing.assert_array_equal(backend.run(slices(1)), slices(1))


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_an_error(threads: int, identity_model: Model) -> None:
    with pytest.raises(DeviceError, match=f"{threads} threads; give at least 1"):
        opened(identity_model, threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_threads_compute_as_were_asked_for(threads: int, smoothing: Model) -> None:
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip(f"this machine lends no {threads} cores")
    for _ in ("compiled", "as it was kept"):
        request = opened(smoothing, threads=threads)._requests[0]
        assert request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == threads


def test_bf16_is_there_where_openvino_and_the_cpu_have_it_and_not_where_it_would_be_emulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = openvino.Core()
    assert has_bf16(core) == bool({"avx512_bf16", "amx_bf16"} & set(this_cpu().features))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(openvino_backend, "this_cpu", lambda: Cpu("Xeon Gold 6240", ("avx512_vnni",)))
    assert not has_bf16(core)


def test_without_openvino_the_backend_tells_what_to_install_and_mr2ct_imports() -> None:
    code = """
import sys
sys.modules["openvino"] = None
import mr2ct, mr2ct.cli
try:
    import mr2ct.openvino_backend
except mr2ct.Mr2ctError as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("DeviceError needs openvino (")
    assert done.stdout.rstrip().endswith("pip install 'mr2ct[cpu]'")


def test_nothing_is_reported_to_anybody(identity_model: Model) -> None:
    """Importing OpenVINO's package sends an event, from a thread and a process that can outlive the program's end."""
    code = f"""
import sys, threading
import mr2ct
from mr2ct.openvino_backend import OpenvinoBackend
OpenvinoBackend(mr2ct.open_model({str(identity_model.folder)!r}), "mr_to_ct.fp32.onnx", "fp32", say=print).close()
print([name for name, module in sys.modules.items() if "openvino_telemetry" in name and module is not None])
print([thread.name for thread in threading.enumerate()])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "['MainThread']"]
