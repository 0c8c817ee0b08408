"""onnxruntime runs the graph that the card promises, with weights from nowhere else, on the device that was named."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import weakref
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mr2ct import onnxruntime_backend
from mr2ct.card import Card, FileFacts
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import CARD, Model, graph_file, open_model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend, has_cuda
from own_process import passes_alone
from small_models import SHAPE, identity_graph, write_model

Ends = dict[str, tuple[int, list[Any]]]  # element type and shape by name

FILE = graph_file("fp32")
WEIGHTS = np.full((1, 1, 256, 256), 0.5, dtype=np.float32).tobytes()
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE


def _graph(
    inputs: Ends,
    outputs: Ends,
    nodes: list[onnx.NodeProto] | None = None,
    weights: list[TensorProto] | None = None,
) -> bytes:
    """A graph of these ends; without nodes, each output is the identity of the first input."""
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    ]
    if nodes is None:
        nodes = [helper.make_node("Identity", [next(iter(inputs))], [name]) for name in outputs]
    graph = helper.make_graph(nodes, "small", ends[0], ends[1], weights or [])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def _refusal(model: Model) -> str:
    """What is said of the model's fp32 graph, on one line that begins with the file."""
    with pytest.raises(ModelError) as caught:
        OnnxruntimeBackend(model, FILE, "cpu")
    message = str(caught.value)
    assert message.startswith(str(model.folder / FILE))
    assert "\n" not in message
    return message


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


@pytest.mark.parametrize("ends", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_graph_that_is_not_what_the_card_promises_is_refused(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    message = _refusal(write_model(tmp_path, {"fp32": _graph(*ends)}))
    assert "is not the card's" in message
    assert "[1, 256, 256]" in message


def test_the_refusal_tells_what_the_graph_has_instead(tmp_path: Path) -> None:
    model = write_model(tmp_path, {"fp32": _graph({"t1": (FLOAT, ["n", 1, 64, 64])}, {"synthetic_ct": IMAGE})})
    assert "input t1 tensor(float) ['n', 1, 64, 64] is not the card's mr" in _refusal(model)


def test_a_graph_of_one_slice_serves_a_card_of_one_slice(tmp_path: Path) -> None:
    ends = FOREIGN["one slice at a time"]
    backend = OnnxruntimeBackend(write_model(tmp_path, {"fp32": _graph(*ends)}, max_batch=1), FILE, "cpu")
    assert backend.run(np.ones((1, 1, 256, 256), np.float32)).mean() == 1


def test_a_card_may_name_its_input_and_output_otherwise(tmp_path: Path) -> None:
    graph = _graph({"t1": IMAGE}, {"hu": IMAGE})
    backend = OnnxruntimeBackend(write_model(tmp_path, {"fp32": graph}, input_name="t1", output_name="hu"), FILE, "cpu")
    assert backend.run(np.ones((2, 1, 256, 256), np.float32)).mean() == 1


@pytest.mark.parametrize(
    "graph",
    [
        b"",
        b"not a graph",
        bytes(range(256)) * 40,
        identity_graph().SerializeToString()[:-20],
        _graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, [helper.make_node("Nonsense", ["mr"], ["synthetic_ct"])]),
        _graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, []),
    ],
    ids=["empty", "text", "bytes", "cut off", "unknown operator", "unconnected"],
)
def test_what_is_no_graph_is_refused(graph: bytes, tmp_path: Path) -> None:
    _refusal(write_model(tmp_path, {"fp32": graph}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_graph_that_was_altered_after_the_model_was_opened_is_a_wrong_model_on_any_device(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_backend, "has_cuda", lambda: True)
    model = write_model(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="not the file that was certified"):
        OnnxruntimeBackend(model, FILE, device)


def _graph_with_weights_at(location: str) -> bytes:
    """synthetic_ct = mr + 0.5, with the 0.5 in a file of its own."""
    weights = TensorProto()
    weights.name, weights.data_type, weights.data_location = "by", FLOAT, TensorProto.EXTERNAL
    weights.dims.extend([1, 1, 256, 256])
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(WEIGHTS)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    add = helper.make_node("Add", ["mr", "by"], ["synthetic_ct"])
    return _graph({"mr": IMAGE}, {"synthetic_ct": IMAGE}, [add], [weights])


def _model_with_weights_at(folder: Path, location: str) -> Model:
    return write_model(folder, {"fp32": _graph_with_weights_at(location)})


def test_weights_in_a_file_of_the_model_folder_load_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    card = _model_with_weights_at(folder, "weights.bin").card
    (folder / "weights.bin").write_bytes(WEIGHTS)
    files = {**card.files, "weights.bin": _facts(WEIGHTS)}
    (folder / CARD).write_text(Card(**{**vars(card), "files": files}).to_json())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights.bin").write_bytes(bytes(len(WEIGHTS)))  # a bait: with it, nothing would be added
    for place, where in ((elsewhere, folder), (tmp_path, Path("model")), (folder, Path())):
        monkeypatch.chdir(place)
        backend = OnnxruntimeBackend(open_model(where), FILE, "cpu")
        assert (backend.run(np.zeros((1, 1, 256, 256), np.float32)) == 0.5).all()


def _facts(content: bytes) -> FileFacts:
    return FileFacts(hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "{outside}/weights.bin", "{model}/../weights.bin", "weights.bin", "./weights.bin"],
    ids=["above", "absolute", "absolute and above", "working directory", "working directory, dotted"],
)
def test_weights_from_outside_the_model_folder_are_refused(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    _refusal(_model_with_weights_at(folder, location.format(outside=tmp_path, model=folder)))


def test_weights_that_the_card_does_not_vouch_for_are_refused(tmp_path: Path) -> None:
    _model_with_weights_at(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    with pytest.raises(ModelError, match=r"weights.bin: not named in card.json"):
        open_model(tmp_path)


def test_both_packages_at_once_are_refused_with_the_remedy(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_backend, "version", {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.30.0"}.get)
    with pytest.raises(DeviceError) as caught:
        OnnxruntimeBackend(identity_model, FILE, "cpu")
    for told in ("1.32.0", "1.30.0", "pip uninstall onnxruntime onnxruntime-gpu", "mr2ct[gpu]", "mr2ct[cpu]"):
        assert told in str(caught.value)


@pytest.mark.parametrize("installed", ["onnxruntime", "onnxruntime-gpu", None])
def test_one_package_or_a_build_of_ones_own_is_fine(
    installed: str | None, identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name != installed:
            raise PackageNotFoundError(name)
        return "1.32.0"

    monkeypatch.setattr(onnxruntime_backend, "version", version)
    OnnxruntimeBackend(identity_model, FILE, "cpu")


def test_without_onnxruntime_mr2ct_imports_and_a_run_tells_what_to_install(identity_model: Model) -> None:
    code = f"""
import sys
sys.modules["onnxruntime"] = sys.modules["openvino"] = None
import mr2ct, mr2ct.cli
model = mr2ct.open_model({str(identity_model.folder)!r})
for device in ("auto", "cpu", "cuda"):
    try:
        mr2ct.choose_backend(model, device)
    except mr2ct.Mr2ctError as error:
        print(type(error).__name__, error.exit_code, error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("DeviceError 5 needs onnxruntime")
        assert "pip install 'mr2ct[cpu]'" in line
        assert "mr2ct[gpu]" in line


def test_an_engine_that_fails_while_it_runs_is_told_and_not_replaced_by_another(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = OnnxruntimeBackend(identity_model, FILE, "cpu")
    inner = backend._session._sess  # of C++; the one of Python around it knows how to go over to the CPU
    out_of_memory = onnxruntime.capi.onnxruntime_pybind11_state.EPFail

    class Failing:
        def run(self, *_: object) -> None:
            raise out_of_memory("CUDA failure 2: out of memory\nat some line of C++")

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    monkeypatch.setattr(backend._session, "_sess", Failing())
    with pytest.raises(DeviceError, match=r"failed on 2 slices \(CUDA failure 2: out of memory\); a smaller --batch"):
        backend.run(np.zeros((2, 1, 256, 256), np.float32))
    assert capfd.readouterr() == ("", "")


def test_a_failure_without_a_word_is_told_by_its_name(identity_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = OnnxruntimeBackend(identity_model, FILE, "cpu")

    def run(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(backend._session, "run", run)
    with pytest.raises(DeviceError, match="MemoryError"):
        backend.run(np.zeros((1, 1, 256, 256), np.float32))


def test_slices_of_another_shape_are_an_error_and_no_answer(identity_model: Model) -> None:
    backend = OnnxruntimeBackend(identity_model, FILE, "cpu")
    with pytest.raises(DeviceError, match="failed on 1 slices"):
        backend.run(np.zeros((1, 1, 128, 128), np.float32))


def test_the_description_tells_the_engine_its_version_and_the_device(identity_model: Model) -> None:
    description = OnnxruntimeBackend(identity_model, FILE, "cpu").description
    assert description == f"onnxruntime {onnxruntime.__version__}, CPU"


@pytest.mark.parametrize("graph", [b"not a graph", _graph({"t1": IMAGE}, {"synthetic_ct": IMAGE})])
def test_a_refused_graph_prints_nothing_beside_the_error(
    graph: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _refusal(write_model(tmp_path, {"fp32": graph}))
    assert capfd.readouterr() == ("", "")


def test_a_closed_backend_runs_no_more_and_closing_it_again_does_nothing(identity_model: Model) -> None:
    backend, other = (OnnxruntimeBackend(identity_model, FILE, "cpu") for _ in range(2))
    session = weakref.ref(backend._session)
    for _ in range(2):
        backend.close()
    assert session() is None  # and with it what it held
    slices = np.zeros((1, 1, 256, 256), np.float32)
    with pytest.raises(DeviceError, match=r"^onnxruntime .*: closed already$"):
        backend.run(slices)
    np.testing.assert_array_equal(other.run(slices), slices)


@pytest.mark.gpu
def test_on_a_gpu_it_is_equal_to_the_cpu_in_any_batches_and_leaves_nothing() -> None:
    passes_alone("cuda")


@pytest.mark.gpu
def test_the_identity_on_an_nvidia_gpu_gives_back_its_input(identity_model: Model) -> None:
    if not has_cuda():
        pytest.skip("this onnxruntime was built without CUDA: pip install 'mr2ct[gpu]'")
    try:
        backend = OnnxruntimeBackend(identity_model, FILE, "cuda")
    except DeviceError as error:
        pytest.skip(f"no NVIDIA GPU that onnxruntime can use: {error}")
    slices = np.random.default_rng(0).uniform(-1, 1, (9, 1, 256, 256)).astype(np.float32)
    np.testing.assert_array_equal(backend.run(slices), slices)
    assert "CUDA" in backend.description
