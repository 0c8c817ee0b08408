"""PyCUDA that is missing or does not load is told with the remedy; where it works, the GPU's memory does too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mr2ct.cuda_device import CudaDevice, load_pycuda
from mr2ct.errors import DeviceError
from mr2ct.gpu import first_gpu

OPEN = """
from mr2ct.cuda_device import CudaDevice
from mr2ct.errors import DeviceError
try:
    CudaDevice()
except DeviceError as error:
    print(error.exit_code, error)
"""


def told(folder: Path, driver: str) -> str:
    """What a fresh Python says, on one line and nowhere else, that finds a PyCUDA whose driver module is this code."""
    (folder / "pycuda").mkdir()
    (folder / "pycuda" / "__init__.py").write_text("")
    (folder / "pycuda" / "driver.py").write_text(driver)
    paths = [str(folder), *map(os.path.abspath, sys.path)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OPEN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return line


def test_a_missing_pycuda_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceError) as caught:
        CudaDevice()
    message = str(caught.value)
    assert message.startswith("needs PyCUDA (")
    assert message.endswith("): pip install 'mr2ct[pycuda]'")
    assert "\n" not in message


def test_a_pycuda_that_does_not_load_is_told_with_its_reason_and_the_remedy(tmp_path: Path) -> None:
    """As it is without a driver, or with one that is older than the CUDA it was compiled with."""
    line = told(
        tmp_path,
        """
import warnings
warnings.warn("Failed to import the CUDA driver interface")
raise ImportError("libcuda.so.1: cannot open shared object file\\nand more of it")
""",
    )
    assert line.startswith("5 PyCUDA does not load here (libcuda.so.1: cannot open shared object file); ")
    assert line.endswith("or pip install --no-cache-dir --force-reinstall pycuda")


def test_a_driver_that_does_not_start_is_told_in_pycudas_words(tmp_path: Path) -> None:
    line = told(
        tmp_path,
        """
class Error(Exception):
    pass
class RuntimeError(Error):
    pass
def init():
    raise RuntimeError("cuInit failed: no CUDA-capable device is detected")
""",
    )
    assert line == "5 NVIDIA GPU: the start failed (cuInit failed: no CUDA-capable device is detected)"


@pytest.fixture
def device() -> Iterator[CudaDevice]:
    try:
        first_gpu()
        load_pycuda()
    except DeviceError as error:
        pytest.skip(str(error))
    opened = CudaDevice()
    yield opened
    opened.close()


@pytest.mark.gpu
def test_what_is_copied_up_comes_back_through_memory_that_both_see(device: CudaDevice) -> None:
    with device.current():
        before = device.free_bytes()
        up, down = device.pinned((3, 5)), device.pinned((3, 5))
        assert up.shape == (3, 5)
        assert up.dtype == np.float32
        up[...] = np.arange(15).reshape(3, 5)
        memory, stream = device.driver.mem_alloc(up.nbytes), device.driver.Stream()
        device.driver.memcpy_htod_async(memory, up, stream)
        device.driver.memcpy_dtoh_async(down, memory, stream)
        stream.synchronize()
        np.testing.assert_array_equal(down, np.arange(15).reshape(3, 5))
        memory.free()
        for array in (up, down):
            device.free_pinned(array)
        del up, down, array
        assert before > 0


@pytest.mark.gpu
def test_an_error_of_the_gpu_is_told_with_what_it_ended(device: CudaDevice) -> None:
    with (
        pytest.raises(DeviceError, match=r"^NVIDIA GPU: a petabyte failed \(cuMemAlloc failed: .*\)$"),
        device.current(),
        device.telling("a petabyte"),
    ):
        device.driver.mem_alloc(1 << 50)


@pytest.mark.gpu
def test_an_error_of_another_kind_comes_out_as_it_is_and_the_context_is_put_back(device: CudaDevice) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), device.current(), device.telling("a division"):
            raise ZeroDivisionError
    with device.current():
        assert device.free_bytes() > 0
