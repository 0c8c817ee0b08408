"""What runs on a GPU is proved there before it makes its first volume, and what is not proved is not taken.

There is no GPU in these tests: onnxruntime's CUDA is stood in for by its CPU, the driver by what it would tell. What
real GPUs do is in on_a_gpu.py; how devices and precisions are refused is in test_backend.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mr2ct import choosing, onnxruntime_backend, opening
from mr2ct.choosing import choose_backend
from mr2ct.errors import DeviceError, ModelError
from mr2ct.gpu import Gpu
from mr2ct.model import Model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from mr2ct.onnxruntime_binding import BoundSession
from small_models import certificate, identity_graph, shifted_graph, write_model

CUDA = f"onnxruntime {onnxruntime.__version__}, CUDA"
PROVING = f"proving {CUDA} equal to PyTorch here, over the model's reference slices"
OFF = "is not equal to PyTorch on this machine: mean 250, p99_9 250, max 250 HU, where the budget is"
BOTH: dict[str, onnx.ModelProto | bytes] = {"fp32": identity_graph(), "fp16": identity_graph()}


@pytest.fixture(autouse=True)
def a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that onnxruntime runs on, without TensorRT, and a cache of its own."""
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "cache"))
    driver_is("580.1", monkeypatch)
    monkeypatch.setitem(onnxruntime_backend.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime_backend, "BoundSession", lambda *given: BoundSession(given[0], given[1], "cpu"))
    for module in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)


def driver_is(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (choosing, opening):
        monkeypatch.setattr(module, "first_gpu", lambda: Gpu("a GPU", "9.0", version))


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The descriptions of the backends that were closed."""
    names: list[str] = []
    close = OnnxruntimeBackend.close

    def note(backend: OnnxruntimeBackend) -> None:
        names.append(backend.description)
        close(backend)

    monkeypatch.setattr(OnnxruntimeBackend, "close", note)
    return names


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def both(tmp_path: Path) -> Model:
    return write_model(tmp_path / "both", BOTH)


def test_a_gpu_is_proved_at_its_first_start_and_believed_at_the_next(both: Model, said: list[str]) -> None:
    first = choose_backend(both, "cuda", say=said.append)
    assert (first.file, first.precision, first.backend.description) == ("mr_to_ct.fp16.onnx", "fp16", CUDA)
    assert first.certificate is not None
    assert (first.certificate.engine, first.certificate.file) == (CUDA, first.file)  # not the card's, of another engine
    assert said == [PROVING]
    assert choose_backend(both, "cuda", say=said.append).certificate == first.certificate
    assert said == [PROVING]


def test_another_driver_is_proved_anew(both: Model, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    choose_backend(both, "cuda")
    driver_is("581.0", monkeypatch)
    choose_backend(both, "cuda", say=said.append)
    assert said == [PROVING]


def test_another_graph_is_proved_anew(both: Model, tmp_path: Path, said: list[str]) -> None:
    choose_backend(both, "cuda")
    other = shifted_graph(1e-6)
    choose_backend(write_model(tmp_path / "other", {**BOTH, "fp16": other}), "cuda", say=said.append)
    assert said == [PROVING]


def test_the_cpu_needs_no_proof_beside_the_cards(both: Model, said: list[str]) -> None:
    choice = choose_backend(both, "cpu", say=said.append)
    assert choice.certificate == both.card.certificate("mr_to_ct.fp32.onnx")
    assert choice.certificate is not None
    assert said == []


def test_an_engine_outside_its_budget_is_refused_in_hu_and_closed(tmp_path: Path, closed: list[str]) -> None:
    model = write_model(tmp_path / "off", {"fp16": shifted_graph(0.25)})
    with pytest.raises(ModelError) as caught:
        choose_backend(model, "cuda")
    assert str(caught.value).startswith(f"{CUDA}: mr_to_ct.fp16.onnx as fp16 {OFF}")
    assert closed == [CUDA]


def test_a_precision_outside_its_budget_leaves_it_to_the_next_of_the_same_gpu(
    tmp_path: Path, closed: list[str]
) -> None:
    model = write_model(tmp_path / "off", {**BOTH, "fp16": shifted_graph(0.25)})
    choice = choose_backend(model, "cuda")
    assert (choice.precision, choice.backend.description) == ("fp32", CUDA)
    assert closed == [CUDA]
    with pytest.raises(ModelError, match=OFF):  # but not where it was named
        choose_backend(model, "cuda", "fp16")


def test_auto_does_without_a_gpu_that_is_not_proved_and_says_by_how_many_hu(
    tmp_path: Path, said: list[str], closed: list[str]
) -> None:
    model = write_model(tmp_path / "off", {"fp32": shifted_graph(0.25)})
    choice = choose_backend(model, say=said.append)
    assert "CUDA" not in choice.backend.description
    assert f"not cuda ({CUDA}: mr_to_ct.fp32.onnx as fp32 {OFF}" in choice.why
    assert [line for line in said if line.startswith("not cuda (")] != []
    assert closed == [CUDA]


def test_auto_takes_the_fastest_that_is_here_and_says_why_not_a_faster_one(both: Model, said: list[str]) -> None:
    choice = choose_backend(both, say=said.append)
    assert choice.backend.description == CUDA
    assert choice.why.startswith("auto: the fastest here; not tensorrt (needs TensorRT (")
    assert "; not tensorrt-rtx (needs TensorRT-RTX (" in choice.why
    assert [line.partition(" (")[0] for line in said] == [
        "not tensorrt",
        "not tensorrt-rtx",
        PROVING.partition(" (")[0],
    ]


def test_uncertified_it_runs_without_a_proof_and_says_that_there_is_none(tmp_path: Path, said: list[str]) -> None:
    model = write_model(tmp_path / "off", {"fp16": shifted_graph(0.25)}, certificates=(certificate("fp16", mean_hu=9),))
    choice = choose_backend(model, "cuda", uncertified=True, say=said.append)
    assert choice.certificate is None
    assert (choice.backend.run(np.zeros((1, 1, 256, 256), np.float32)) == 0.25).all()
    assert said == []


def test_uncertified_proves_nothing_also_of_a_certified_model(both: Model, said: list[str]) -> None:
    assert choose_backend(both, "cuda", uncertified=True, say=said.append).certificate is None
    assert choose_backend(both, "cpu", uncertified=True, say=said.append).certificate is not None  # the card's
    assert said == []


def test_ctrl_c_while_it_is_proved_closes_the_engine(both: Model, closed: list[str]) -> None:
    def press(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        choose_backend(both, "cuda", say=press)
    assert closed == [CUDA]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_end_of_the_block_closes_the_backend_also_after_an_error(device: str, both: Model) -> None:
    slices = np.zeros((1, 1, 256, 256), np.float32)
    with choose_backend(both, device) as choice:
        assert choice.backend.run(slices).shape == slices.shape
    with pytest.raises(ZeroDivisionError), choose_backend(both, device) as failed:
        raise ZeroDivisionError
    for backend in (choice.backend, failed.backend):
        with pytest.raises(DeviceError, match="closed already"):
            backend.run(slices)
