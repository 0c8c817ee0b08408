"""What NVIDIA's management library tells of the GPU that CUDA counts as 0: memory in use, clocks, power limit."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mr2ct.gpu import DRIVER, MANAGEMENT

SM, MEMORY = 1, 2  # nvmlClockType_t, https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html


class _Memory(ctypes.Structure):
    """nvmlMemory_t, bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def used_bytes() -> int | None:
    """Bytes of GPU memory that all processes hold now; None where nothing tells."""
    with _device() as device:
        memory = _Memory()
        if device is None or device[0].nvmlDeviceGetMemoryInfo(device[1], ctypes.byref(memory)) != 0:
            return None
        return int(memory.used)


def clocks() -> dict[str, float | None]:
    """MHz of the multiprocessors and the memory now and at most, W of the power limit; None for what is not told."""
    with _device() as device:
        watts = _asked(device, "nvmlDeviceGetEnforcedPowerLimit")
        return {
            "sm_mhz": _asked(device, "nvmlDeviceGetClockInfo", SM),
            "sm_mhz_at_most": _asked(device, "nvmlDeviceGetMaxClockInfo", SM),
            "memory_mhz": _asked(device, "nvmlDeviceGetClockInfo", MEMORY),
            "memory_mhz_at_most": _asked(device, "nvmlDeviceGetMaxClockInfo", MEMORY),
            "power_limit_w": None if watts is None else watts / 1000,
        }


def _asked(device: tuple[Any, Any] | None, call: str, *arguments: int) -> float | None:
    value = ctypes.c_uint()
    if device is None or getattr(device[0], call)(device[1], *arguments, ctypes.byref(value)) != 0:
        return None
    return float(value.value)


@contextmanager
def _device() -> Iterator[tuple[Any, Any] | None]:
    """The library and its handle of the GPU, found by its UUID because the two libraries count GPUs differently."""
    try:
        cuda, management = ctypes.CDLL(DRIVER), ctypes.CDLL(MANAGEMENT)
    except OSError:
        yield None
        return
    number, uuid, handle = ctypes.c_int(), (ctypes.c_ubyte * 16)(), ctypes.c_void_p()
    if (
        cuda.cuInit(0) != 0
        or cuda.cuDeviceGet(ctypes.byref(number), 0) != 0
        or cuda.cuDeviceGetUuid_v2(uuid, number) != 0
        or management.nvmlInit_v2() != 0
    ):
        yield None
        return
    try:
        text = bytes(uuid).hex()
        name = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        found = any(
            management.nvmlDeviceGetHandleByUUID(f"{kind}-{name}".encode(), ctypes.byref(handle)) == 0
            for kind in ("GPU", "MIG")  # the second is a part of a GPU
        )
        yield (management, handle) if found else None
    finally:
        management.nvmlShutdown()
