"""TensorRT is refused with the remedy where something is missing, and on a GPU it is equal to the CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mr2ct import cuda_device, gpu, opening
from mr2ct.choosing import choose_backend
from mr2ct.engine_cache import EngineCache
from mr2ct.errors import DeviceError, OutputError
from mr2ct.gpu import Gpu
from mr2ct.model import Model
from mr2ct.tensorrt_backend import halves
from mr2ct.tensorrt_flavour import FLAVOURS
from own_process import passes_alone
from rtx_wheels import open_rtx


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver shows a GPU, wherever this runs; nothing can be run on it."""
    monkeypatch.setattr(opening, "first_gpu", lambda: Gpu("a GPU", "12.0", "580.1"))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes packages missing, wherever this runs."""

    def take_away(*packages: str) -> None:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return take_away


def refusal(model: Model, device: str) -> str:
    """What is said, on one line, when a device is asked for and not there."""
    said: list[str] = []
    with pytest.raises(DeviceError) as caught:
        choose_backend(model, device, say=said.append)
    message = str(caught.value)
    assert "\n" not in message
    assert said == []
    return message


@pytest.mark.parametrize("device", FLAVOURS)
def test_without_a_driver_it_is_said_that_there_is_no_gpu(
    device: str, identity_model: Model, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "DRIVER", "libcuda.so.none")
    message = refusal(identity_model, device)
    assert message == "no NVIDIA GPU here: no driver is installed (libcuda.so.none is missing)"
    assert not cache.folder.exists()


@pytest.mark.usefixtures("a_gpu")
def test_a_missing_tensorrt_is_told_with_the_remedy(identity_model: Model, without: Callable[..., None]) -> None:
    without("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "onnxruntime_ep_nv_tensorrt_rtx")
    for device in FLAVOURS:
        assert refusal(identity_model, device).endswith(f": pip install 'mr2ct[{device}]'")


@pytest.mark.usefixtures("a_gpu")
def test_a_missing_pycuda_is_told_with_the_remedy_before_an_engine_is_built(
    identity_model: Model, cache: EngineCache, without: Callable[..., None]
) -> None:
    open_rtx()
    without("pycuda", "pycuda.driver")
    message = refusal(identity_model, "tensorrt-rtx")
    assert message.startswith("needs PyCUDA (")
    assert message.endswith("): pip install 'mr2ct[pycuda]'")
    assert not cache.folder.exists()


@pytest.mark.usefixtures("a_gpu")
def test_a_cache_that_cannot_be_written_is_told_before_an_engine_is_built(
    identity_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_rtx()
    monkeypatch.setattr(cuda_device, "load_pycuda", lambda: None)
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError, match=r"cannot keep engines there: .*; MR2CT_CACHE names another place"):
        choose_backend(identity_model, "tensorrt-rtx")


def test_what_does_not_fit_is_tried_with_half_as_many_down_to_one() -> None:
    assert list(halves(16)) == [16, 8, 4, 2, 1]
    assert list(halves(183)) == [183, 91, 45, 22, 11, 5, 2, 1]
    assert list(halves(1)) == [1]


@pytest.mark.gpu
@pytest.mark.parametrize("device", FLAVOURS)
def test_on_a_gpu_it_is_equal_to_the_cpu_in_any_batches_and_leaves_nothing(device: str) -> None:
    passes_alone(device)
