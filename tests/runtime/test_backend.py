"""One place chooses what runs a model: the fastest certified engine that is here, and never another than was asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct import choosing, gpu, onnxruntime_backend
from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.choosing import choose_backend
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model
from small_models import SHAPE, certificate, identity_graph, shifted_graph, write_model

Array = NDArray[np.float32]

# What comes out tells which graph ran.
BOTH: dict[str, onnx.ModelProto | bytes] = {"fp32": identity_graph(), "fp16": shifted_graph(0.25)}


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that was built without CUDA, wherever this runs."""
    monkeypatch.setattr(onnxruntime_backend, "has_cuda", lambda: False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an NVIDIA driver, wherever this runs."""
    monkeypatch.setattr(gpu, "DRIVER", "libcuda.so.none")


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine whose driver shows a GPU, wherever this runs; nothing can be run on it."""
    monkeypatch.setattr(choosing, "first_gpu", lambda: gpu.Gpu("a GPU", "9.0", "580.1"))
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path_factory.mktemp("cache")))
    for module in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.fixture
def cuda_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime with CUDA on a machine without a driver: it takes the CPU, and says so only when asked."""
    session = onnxruntime.InferenceSession

    def on_the_cpu(graph: bytes, options: Any, providers: list[str], **others: Any) -> Any:
        assert len(providers) == 1
        return session(graph, options, providers=["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime_backend, "has_cuda", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)


@pytest.fixture(scope="module")
def smoothing(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """A small network with weights: tanh of a 5 x 5 convolution."""
    weights = np.random.default_rng(0).normal(0, 0.2, (1, 1, 5, 5)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("mr", "synthetic_ct")]
    nodes = [
        helper.make_node("Conv", ["mr", "weights"], ["sum"], pads=[2, 2, 2, 2]),
        helper.make_node("Tanh", ["sum"], ["synthetic_ct"]),
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return choose_backend(write_model(tmp_path_factory.mktemp("smoothing"), {"fp32": made}), "cpu").backend


def _slices(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, 256, 256)).astype(np.float32)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_takes_the_cpu_and_says_why_exactly_where_that_is_asked_for(tmp_path: Path) -> None:
    choice = choose_backend(write_model(tmp_path, BOTH), quality="exact")
    assert (choice.file, choice.precision) == ("mr_to_ct.fp32.onnx", "fp32")
    assert "CPU" in choice.backend.description
    assert choice.why.startswith("auto: the fastest here; no NVIDIA GPU here")
    np.testing.assert_array_equal(choice.backend.run(_slices(1)), _slices(1))


@pytest.mark.usefixtures("no_cuda")
def test_a_named_cuda_that_is_not_there_is_an_error_that_tells_what_to_install(identity_model: Model) -> None:
    for precision in ("auto", "fp32"):
        with pytest.raises(DeviceError, match=r"cuda: .*mr2ct\[gpu\]"):
            choose_backend(identity_model, "cuda", precision)


@pytest.mark.usefixtures("cuda_that_does_not_start")
def test_a_named_cuda_that_does_not_start_is_never_replaced_by_the_cpu(identity_model: Model) -> None:
    with pytest.raises(DeviceError, match="driver"):
        choose_backend(identity_model, "cuda")


@pytest.mark.usefixtures("a_gpu", "cuda_that_does_not_start")
def test_auto_takes_the_cpu_where_cuda_does_not_start_and_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    choice = choose_backend(write_model(tmp_path, BOTH), say=said.append)
    assert choice.precision in ("fp32", "bf16")  # the CPU's choice, not the GPU's
    assert "CPU" in choice.backend.description
    assert choice.why.startswith("auto: the fastest here; not tensorrt (")
    assert "not cuda (" in choice.why
    assert "driver" in choice.why
    gpus = [line.partition(" (")[0] for line in said if line.startswith("not ")]
    assert gpus == ["not tensorrt", "not tensorrt-rtx", "not cuda"]


@pytest.mark.usefixtures("a_gpu")
def test_a_gpu_that_refuses_to_work_is_told_in_its_own_words_and_auto_does_without(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = onnxruntime.InferenceSession

    def broken(graph: bytes, options: Any, providers: list[str], **others: Any) -> Any:
        if providers == ["CUDAExecutionProvider"]:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nin some line of C++")
        return session(graph, options, providers=providers, **others)

    monkeypatch.setattr(onnxruntime_backend, "has_cuda", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    with pytest.raises(DeviceError, match=r"could not start on the GPU \(CUDA failure 100: .* detected\)"):
        choose_backend(identity_model, "cuda")
    choice = choose_backend(identity_model)
    assert "CPU" in choice.backend.description
    assert "CUDA failure 100" in choice.why


def test_what_was_asked_for_is_told_as_asked(identity_model: Model) -> None:
    assert choose_backend(identity_model, "cpu").why == "as asked"


@pytest.mark.parametrize("device", ["gpu", "CPU", "", "cuda:0", "mps"])
def test_an_unknown_device_is_told_with_the_known_ones(device: str, identity_model: Model) -> None:
    with pytest.raises(DeviceError, match="known: auto, cpu, cuda"):
        choose_backend(identity_model, device)


@pytest.mark.parametrize("precision", ["fp64", "int4", "half", ""])
def test_an_unknown_precision_is_told_with_the_known_ones(precision: str, identity_model: Model) -> None:
    with pytest.raises(ModelError, match="known: auto, fp32, fp16"):
        choose_backend(identity_model, "cpu", precision)


def test_a_precision_the_model_does_not_have_is_told_with_those_it_has(identity_model: Model) -> None:
    with pytest.raises(ModelError, match=r"no fp16 graph; it has fp32; .*mr2ct-export"):
        choose_backend(identity_model, "cpu", "fp16")


def test_a_model_without_any_graph_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no fp32 or fp16 graph; it has none"):
        choose_backend(write_model(tmp_path, {}), "cpu")


@pytest.mark.parametrize(("precision", "shift"), [("fp32", 0.0), ("fp16", 0.25)])
def test_the_named_precision_is_the_graph_that_runs(precision: str, shift: float, tmp_path: Path) -> None:
    choice = choose_backend(write_model(tmp_path, BOTH), "cpu", precision)
    assert choice.precision == precision
    assert choice.file == f"mr_to_ct.{precision}.onnx"
    zeros = np.zeros((1, 1, 256, 256), np.float32)
    assert (choice.backend.run(zeros) == shift).all()


@pytest.mark.parametrize("certificates", [(certificate(max_hu=0.2),), ()], ids=["failed", "none"])
def test_a_graph_without_a_passing_certificate_runs_only_where_that_is_asked_for(
    certificates: tuple[Certificate, ...], tmp_path: Path
) -> None:
    model = write_model(tmp_path, certificates=certificates)
    for precision in ("auto", "fp32"):
        with pytest.raises(ModelError, match=r"mr_to_ct.fp32.onnx has no passing certificate; .*--uncertified"):
            choose_backend(model, "cpu", precision)
    choice = choose_backend(model, "cpu", uncertified=True)
    np.testing.assert_array_equal(choice.backend.run(_slices(1)), _slices(1))


def test_auto_prefers_a_certified_precision_to_a_better_liked_one(tmp_path: Path) -> None:
    model = write_model(tmp_path, BOTH, certificates=(certificate("fp32", max_hu=5.0), certificate("fp16")))
    assert choose_backend(model, "cpu").precision == "fp16"
    with pytest.raises(ModelError, match="no passing certificate"):
        choose_backend(model, "cpu", "fp32")


def test_the_certificate_of_one_graph_does_not_cover_another(tmp_path: Path) -> None:
    model = write_model(tmp_path, BOTH, certificates=(certificate("fp32"),))
    with pytest.raises(ModelError, match=r"mr_to_ct.fp16.onnx has no passing certificate"):
        choose_backend(model, "cpu", "fp16")


def test_an_engine_never_wants_more_slices_than_the_model_takes(tmp_path: Path) -> None:
    for name, most in (("one", 1), ("many", 183)):
        assert 1 <= choose_backend(write_model(tmp_path / name, max_batch=most), "cpu").backend.batch <= most


def test_a_result_is_the_callers_and_no_later_run_changes_it(smoothing: Backend) -> None:
    first = smoothing.run(_slices(2))
    kept = first.copy()
    second = smoothing.run(_slices(2, seed=1))
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    first[...] = 7  # and may be written to
    np.testing.assert_array_equal(smoothing.run(_slices(2)), kept)


def test_the_input_is_neither_changed_nor_handed_back(identity_model: Model) -> None:
    backend = choose_backend(identity_model, "cpu").backend
    slices = _slices(2)
    answer = backend.run(slices)
    np.testing.assert_array_equal(slices, _slices(2))
    assert not np.shares_memory(slices, answer)
    slices[...] = 0
    np.testing.assert_array_equal(answer, _slices(2))


def test_an_input_that_may_not_be_written_to_runs(smoothing: Backend) -> None:
    slices = _slices(1)
    slices.flags.writeable = False
    assert smoothing.run(slices).shape == slices.shape


def test_the_answer_has_the_shape_and_type_of_the_question(smoothing: Backend) -> None:
    for count in (1, 3):
        answer = smoothing.run(_slices(count))
        assert answer.shape == (count, 1, 256, 256)
        assert answer.dtype == np.float32


@pytest.mark.parametrize(
    "laid",
    [
        lambda slices: np.asfortranarray(slices),
        lambda slices: slices[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1],
        lambda slices: np.repeat(slices, 2, axis=3)[..., ::2],
        lambda slices: np.ascontiguousarray(slices.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1),
    ],
    ids=["column-major", "mirrored", "every second", "sagittal in an axial volume"],
)
def test_how_slices_lie_in_memory_does_not_matter(laid: Any, smoothing: Backend) -> None:
    slices = _slices(2)
    other = laid(slices)
    assert not other.flags.c_contiguous
    np.testing.assert_array_equal(other, slices)
    np.testing.assert_array_equal(smoothing.run(other), smoothing.run(slices))


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_slices_get_the_same_answer_in_batches_of_any_size(sizes: list[int], smoothing: Backend) -> None:
    slices = _slices(sum(sizes))
    one_by_one = np.concatenate([smoothing.run(one[np.newaxis]) for one in slices])
    parts = np.split(slices, np.cumsum(sizes)[:-1])
    together = np.concatenate([smoothing.run(part) for part in parts])
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 4])
def test_a_batch_beyond_the_models_bounds_is_refused_with_them(count: int, tmp_path: Path) -> None:
    backend = choose_backend(write_model(tmp_path, max_batch=3), "cpu").backend
    with pytest.raises(DeviceError, match=f"{count} slices at once; this model takes 1 to 3"):
        backend.run(np.zeros((count, 1, 256, 256), np.float32))
    assert len(backend.run(_slices(3))) == 3


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_more_threads_than_cores_are_not_taken_and_that_is_said(device: str, identity_model: Model) -> None:
    said: list[str] = []
    with choose_backend(identity_model, device, "fp32", threads=10_000, say=said.append) as choice:
        np.testing.assert_array_equal(choice.backend.run(_slices(1)), _slices(1))
    assert len([line for line in said if line.startswith("10000 threads asked for, this machine lends")]) == 1


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_fewer_threads_than_one_are_an_error(device: str, identity_model: Model) -> None:
    with pytest.raises(DeviceError, match="0 threads; give at least 1"):
        choose_backend(identity_model, device, "fp32", threads=0)
