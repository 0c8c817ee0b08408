"""TensorRT-RTX inside of onnxruntime is refused with its reason where it is not there; on a GPU it equals the CPU."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys

import pytest

from mr2ct import gpu, opening
from mr2ct.choosing import choose_backend
from mr2ct.errors import DeviceError
from mr2ct.gpu import DRIVER, Gpu
from mr2ct.model import Model
from own_process import passes_alone

# what a fresh Python says where the GPU's driver is only pretended to be there
OPEN = """
from mr2ct import opening
from mr2ct.choosing import choose_backend
from mr2ct.errors import DeviceError
from mr2ct.gpu import Gpu
from mr2ct.model import open_model
opening.first_gpu = lambda: Gpu("a GPU", "12.0", "580.1")
try:
    choose_backend(open_model({folder!r}), "onnxruntime-rtx")
except DeviceError as error:
    print(error.exit_code, error)
"""


def test_without_a_driver_it_is_said_that_there_is_no_gpu(
    identity_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "DRIVER", "libcuda.so.none")
    with pytest.raises(DeviceError, match=r"^no NVIDIA GPU here: no driver is installed \(libcuda.so.none is missing"):
        choose_backend(identity_model, "onnxruntime-rtx")


def test_a_missing_provider_is_told_with_the_remedy(identity_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "first_gpu", lambda: Gpu("a GPU", "12.0", "580.1"))
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(DeviceError) as caught:
        choose_backend(identity_model, "onnxruntime-rtx")
    assert str(caught.value) == (
        "onnxruntime-rtx: needs onnxruntime_ep_nv_tensorrt_rtx: pip install 'mr2ct[tensorrt-rtx]'"
    )


def test_a_provider_that_does_not_load_is_told_with_its_reason(identity_model: Model) -> None:
    if importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx") is None:
        pytest.skip("the provider is not installed: pip install 'mr2ct[tensorrt-rtx]', on Linux with x86_64")
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        pass
    else:
        pytest.skip("a driver is installed here, and the provider loads")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    code = OPEN.format(folder=str(identity_model.folder))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("5 onnxruntime-rtx: its provider does not load (")
    assert "libcuda.so.1: cannot open shared object file" in line
    assert done.stderr == ""


@pytest.mark.gpu
def test_on_a_gpu_it_is_equal_to_the_cpu_in_any_batches_and_leaves_nothing() -> None:
    passes_alone("onnxruntime-rtx")
