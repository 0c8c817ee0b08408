"""What the first NVIDIA GPU of this machine is, by the driver itself: no toolkit and no package is needed."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

from mr2ct.errors import DeviceError

DRIVER, MANAGEMENT = ("nvcuda.dll", "nvml.dll") if sys.platform == "win32" else ("libcuda.so.1", "libnvidia-ml.so.1")
# CUdevice_attribute, https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256  # the longest name CUDA has


@dataclass(frozen=True)
class Gpu:
    """What an engine depends on. name: "NVIDIA H200".  compute_capability: "9.0".  driver: "580.82.07"."""

    name: str
    compute_capability: str
    driver: str


# An engine that was built without a GPU, and for no one GPU.
NO_GPU = Gpu(*["none (built without a GPU)"] * 3)


def first_gpu() -> Gpu:
    """The GPU that CUDA counts as 0, which CUDA_VISIBLE_DEVICES chooses. Raises DeviceError where there is none."""
    try:
        cuda, management = ctypes.CDLL(DRIVER), ctypes.CDLL(MANAGEMENT)
    except OSError as error:
        missing = str(error).partition(":")[0]  # "libcuda.so.1: cannot open shared object file: ..."
        raise DeviceError(f"no NVIDIA GPU here: no driver is installed ({missing} is missing)") from error
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, driver = ctypes.create_string_buffer(NAME_BYTES), ctypes.create_string_buffer(NAME_BYTES)
    _check("cuInit", cuda.cuInit(0))
    _check("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), 0))
    _check("cuDeviceGetName", cuda.cuDeviceGetName(name, NAME_BYTES, device))
    for number, attribute in ((major, COMPUTE_CAPABILITY_MAJOR), (minor, COMPUTE_CAPABILITY_MINOR)):
        _check("cuDeviceGetAttribute", cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device))
    _check("nvmlInit_v2", management.nvmlInit_v2())
    try:
        _check("nvmlSystemGetDriverVersion", management.nvmlSystemGetDriverVersion(driver, NAME_BYTES))
    finally:
        management.nvmlShutdown()
    return Gpu(name.value.decode(), f"{major.value}.{minor.value}", driver.value.decode())


def _check(call: str, status: int) -> None:
    if status != 0:
        raise DeviceError(f"no NVIDIA GPU that can be used here: {call} answers {status}")
