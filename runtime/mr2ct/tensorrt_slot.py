"""Buffers of one piece of a batch, and the execution context that is bound to them; see mr2ct.overlapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.cuda_device import CudaDevice
from mr2ct.errors import DeviceError


@dataclass(frozen=True)
class Queues:
    """What the slots of a backend share: two CUDA streams, and the memory that contexts compute in.

    One piece computes at a time, so that all contexts can use the same scratch (DeviceAllocation), of scratch_bytes.
    """

    copies: Any
    compute: Any
    scratch: Any
    scratch_bytes: int


class TensorrtSlot:
    """One of two slots. Its buffers never move, so that a CUDA graph of its context stays good.

    To be made, used and closed while the device's context is current.
    """

    def __init__(
        self, device: CudaDevice, context: Any, ends: tuple[str, str], shape: tuple[int, int, int, int], queues: Queues
    ) -> None:
        """context: an IExecutionContext without memory of its own.  ends: names of input and output.

        shape: of the largest piece. Raises pycuda.driver.MemoryError when the GPU is full; nothing is held then.
        """
        driver = device.driver
        self._device, self._context, self._queues, self._shape = device, context, queues, shape
        self._input = ends[0]
        size = int(np.prod(shape)) * np.dtype(np.float32).itemsize
        held: list[Any] = []
        try:
            held += [driver.mem_alloc(size)]
            held += [driver.mem_alloc(size)]
            self._host_in = device.pinned(shape)
            self._host_out = device.pinned(shape)
        except BaseException:
            for allocation in held:
                allocation.free()
            raise
        self._device_in, self._device_out = held
        context.set_tensor_address(ends[0], int(self._device_in))
        context.set_tensor_address(ends[1], int(self._device_out))
        untimed = driver.event_flags.DISABLE_TIMING
        self._loaded, self._computed, self._stored = (driver.Event(untimed) for _ in range(3))
        self._count = 0

    def load(self, piece: NDArray[np.float32]) -> None:
        """See mr2ct.overlapping.Slot; piece: (n, 1, rows, columns)."""
        if len(piece) != self._count:
            self._resize(len(piece))
        self._host_in[: self._count] = piece
        self._device.driver.memcpy_htod_async(self._device_in, self._host_in[: self._count], self._queues.copies)
        self._loaded.record(self._queues.copies)

    def compute(self) -> None:
        """See mr2ct.overlapping.Slot. Raises DeviceError when TensorRT refuses; its log says why."""
        self._queues.compute.wait_for_event(self._loaded)
        if not self._context.execute_async_v3(self._queues.compute.handle):
            raise DeviceError(f"TensorRT did not take {self._count} slices")
        self._computed.record(self._queues.compute)

    def store(self) -> None:
        """See mr2ct.overlapping.Slot."""
        self._queues.copies.wait_for_event(self._computed)
        self._device.driver.memcpy_dtoh_async(self._host_out[: self._count], self._device_out, self._queues.copies)
        self._stored.record(self._queues.copies)

    def take(self) -> NDArray[np.float32]:
        """See mr2ct.overlapping.Slot."""
        self._stored.synchronize()
        return self._host_out[: self._count]

    def close(self) -> None:
        """Give the buffers back; nothing may be queued any more."""
        self._context = None
        self._device_in.free()
        self._device_out.free()
        self._device.free_pinned(self._host_in)
        self._device.free_pinned(self._host_out)

    def _resize(self, count: int) -> None:
        """Another number of slices: another shape, and another use of the scratch."""
        needed = scratch_for(self._context, self._input, (count, *self._shape[1:]))
        if needed > self._queues.scratch_bytes:
            raise DeviceError(f"{count} slices need {needed} bytes of scratch, {self._queues.scratch_bytes} are held")
        self._context.set_device_memory(int(self._queues.scratch), self._queues.scratch_bytes)
        self._count = count


def scratch_for(context: Any, name: str, shape: tuple[int, int, int, int]) -> int:
    """Bytes of GPU memory that a context computes an input of this shape in."""
    if not context.set_input_shape(name, shape):
        raise DeviceError(f"TensorRT does not take an input of {shape}")
    return int(context.update_device_memory_size_for_shapes())
