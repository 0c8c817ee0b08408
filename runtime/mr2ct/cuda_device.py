"""The first NVIDIA GPU through PyCUDA, in the context that every CUDA library of a process shares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DeviceError


class CudaDevice:
    """The GPU that CUDA counts as 0. To be closed in the thread that opened it: PyCUDA's contexts are a thread's own.

    driver: the module pycuda.driver, with its names for CUDA's driver API: https://documen.tician.de/pycuda/driver.html
    """

    def __init__(self) -> None:
        """Raises DeviceError when PyCUDA is missing or finds no GPU."""
        self.driver = driver = load_pycuda()
        with self.telling("the start"):
            driver.init()
            self._context = driver.Device(0).retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context the thread's current one for a block, and put back what was, whatever happens."""
        self._context.push()
        try:
            yield
        finally:
            self.driver.Context.pop()

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn PyCUDA's errors of a block into a DeviceError that says what failed."""
        try:
            yield
        except self.driver.Error as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DeviceError(f"NVIDIA GPU: {what} failed ({reason})") from error

    def free_bytes(self) -> int:
        """Bytes of the GPU's memory that nobody holds now."""
        return int(self.driver.mem_get_info()[0])

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Host memory that the GPU copies from and to by itself, as float32. To be given back with free_pinned."""
        array: NDArray[np.float32] = self.driver.pagelocked_empty(shape, np.float32)
        return array

    def free_pinned(self, array: NDArray[np.float32]) -> None:
        """Give pinned memory back; the array is not to be touched again."""
        allocation: Any = array.base
        allocation.free()

    def close(self) -> None:
        """Let go of the context; it ends when no other library holds it."""
        self._context.detach()


def load_pycuda() -> Any:
    """The module pycuda.driver. Raises DeviceError when it is missing or does not load."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it then raises
            import pycuda.driver
    except ModuleNotFoundError as error:
        raise DeviceError(f"needs PyCUDA ({error}): pip install 'mr2ct[pycuda]'") from error
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise DeviceError(
            f"PyCUDA does not load here ({reason}); is the driver older than the CUDA it was compiled with? update the "
            "driver, or pip install --no-cache-dir --force-reinstall pycuda"
        ) from error
    return pycuda.driver
