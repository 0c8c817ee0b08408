"""The GPU is told by its driver: on a machine without one that is an error, and a stand-in's answers come through."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mr2ct.errors import DeviceError
from mr2ct.gpu import DRIVER, MANAGEMENT, first_gpu

PRINT = """
from mr2ct.errors import DeviceError
from mr2ct.gpu import first_gpu
try:
    print(first_gpu())
except DeviceError as error:
    print(error.exit_code, error)
"""

# The calls with the signatures of cuda.h and nvml.h, on a machine whose one GPU is this.
CUDA = """
#include <string.h>
static int started;
int cuInit(unsigned flags) { started = flags == 0; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return started && ordinal == 0 ? GET : 3; }
int cuDeviceGetName(char *name, int bytes, int device) {
    if (device != 7) return 101;
    strncpy(name, "NVIDIA Stand-in", bytes);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 7) return 101;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : -1;
    return 0;
}
"""
NVML = """
#include <string.h>
static int started;
int nvmlInit_v2(void) { started = 1; return 0; }
int nvmlShutdown(void) { started = 0; return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned bytes) {
    if (!started) return 1;
    strncpy(version, "580.82.07", bytes);
    return 0;
}
"""


def told(folder: Path) -> str:
    """What a fresh Python says of the GPU that the stand-in libraries of a folder pretend to have."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    environment["LD_LIBRARY_PATH"] = str(folder)
    command = [sys.executable, "-W", "error", "-c", PRINT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.rstrip()


def stand_in(folder: Path, *, get: int = 0) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler (cc), or not Linux: the stand-in for the driver is compiled")
    for name, code in ((DRIVER, CUDA), (MANAGEMENT, NVML)):
        command = [compiler, "-shared", "-fPIC", f"-DGET={get}", "-xc", "-", "-o", str(folder / name)]
        subprocess.run(command, input=code, text=True, check=True)
    return folder


def test_without_a_driver_it_is_said_that_there_is_no_gpu() -> None:
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        with pytest.raises(DeviceError, match="no NVIDIA GPU here: no driver is installed") as caught:
            first_gpu()
        assert "\n" not in str(caught.value)
    else:
        pytest.skip("a driver is installed here")


def test_the_drivers_answers_come_through(tmp_path: Path) -> None:
    answer = told(stand_in(tmp_path))
    assert answer == "Gpu(name='NVIDIA Stand-in', compute_capability='9.0', driver='580.82.07')"


def test_a_driver_without_a_gpu_is_told_by_what_it_answers(tmp_path: Path) -> None:
    answer = told(stand_in(tmp_path, get=100))  # CUDA_ERROR_NO_DEVICE
    assert answer == "5 no NVIDIA GPU that can be used here: cuDeviceGet answers 100"


@pytest.mark.gpu
def test_a_real_gpu_tells_its_name_compute_capability_and_driver() -> None:
    try:
        gpu = first_gpu()
    except DeviceError as error:
        pytest.skip(str(error))
    assert gpu.name
    assert all(part.isdecimal() for part in (*gpu.compute_capability.split("."), *gpu.driver.split(".")))
