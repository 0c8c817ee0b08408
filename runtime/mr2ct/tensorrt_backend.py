"""TensorRT: an engine's plan on the GPU, copies hidden behind its computations. Memory and streams are PyCUDA's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.cuda_device import CudaDevice
from mr2ct.errors import DeviceError
from mr2ct.gpu import Gpu
from mr2ct.kept_kernels import KeptKernels
from mr2ct.model import Model
from mr2ct.overlapping import overlapped
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_slot import Queues, TensorrtSlot, scratch_for
from mr2ct.tensorrt_watch import LogLine, first_error, logger

# GPU memory that is left alone: for the display, for kernels' code, for what the driver adds to an allocation.
RESERVE_BYTES = 256 << 20
SMALLEST_SCRATCH = 256  # bytes; a context wants an address, also for a graph that needs none
WARM_UPS = 2  # passes of a whole volume: kernels are compiled and loaded in the first, graphs captured in the second


class TensorrtBackend:
    """A plan in two execution contexts on the first GPU; see mr2ct.backend.Backend.

    A call takes any number of slices up to the card's max_batch and works on `step` at once, in two slots, so that
    copies and the host's work on one piece run while another computes (mr2ct.overlapping). What is queued is waited for
    at the end of a call, also of one that an error or Ctrl-C ended.

    gpu_seconds: of the last call, from the first copy up to the last copy down, by CUDA events.
    """

    def __init__(
        self,
        model: Model,
        flavour: Flavour,
        plan: bytes,
        gpu: Gpu,
        say: Callable[[str], None],
        *,
        step: int | None = None,
        kernels: KeptKernels | None = None,
        cuda_graphs: bool = True,
    ) -> None:
        """step: slices at once, None for what the engine is tuned for; less where memory is short, which say is told.

        kernels: where TensorRT-RTX keeps what it compiled for this GPU.  cuda_graphs: let it launch whole graphs.
        Raises DeviceError without PyCUDA or a GPU, when the plan does not load, or a slice is too much for its memory.
        """
        if step is not None and step < 1:
            raise DeviceError(f"{step} slices at once; give at least 1")
        card = model.card
        self.description = f"{flavour.title}, {gpu.name}"
        self.batch = self._max_batch = card.max_batch
        self._ends = (card.input_name, card.output_name)
        self._shape = (1, card.slices.rows, card.slices.columns)
        self.gpu_seconds = 0.0
        self._flavour, self._log = flavour, list[LogLine]()
        self._slots: list[TensorrtSlot] = []
        self._queues: Queues | None = None
        self._contexts: list[Any] = []
        self._runtime: Any = None
        self._engine: Any = None
        self._config: Any = None
        self._kernels = kernels
        self._device: CudaDevice | None = CudaDevice()
        try:
            with self._device.current(), self._device.telling("the start of the engine"):
                self._open(plan, cuda_graphs)
                self.step = self._allocate(step, say)
            blank = np.full((self._max_batch, *self._shape), -1, np.float32)
            for _ in range(WARM_UPS):
                self.run(blank)
            if kernels is not None:
                kernels.keep(say)
        except BaseException:
            self.close()
            raise

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run. Raises DeviceError when the engine or the GPU fails."""
        if not 1 <= len(batch) <= self._max_batch:
            raise DeviceError(f"{len(batch)} slices at once; this model takes 1 to {self._max_batch}")
        if batch.shape[1:] != self._shape:
            raise DeviceError(f"slices of {batch.shape[1:]}; this model takes {self._shape}")
        device, queues = self._device, self._queues
        if device is None or queues is None:
            raise DeviceError(f"{self.description}: closed already")
        self._log.clear()
        with device.current(), device.telling(f"a run of {len(batch)} slices"):
            begun, ended = device.driver.Event(), device.driver.Event()
            try:
                begun.record(queues.copies)
                answer = overlapped(self._slots, batch, self.step)
                ended.record(queues.copies)
            except DeviceError as error:
                reason = first_error(self._log)
                raise DeviceError(f"{self.description}: {error}{f' ({reason})' if reason else ''}") from error
            finally:
                queues.compute.synchronize()
                queues.copies.synchronize()
            self.gpu_seconds = float(ended.time_since(begun)) / 1e3
        return answer

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""
        device, self._device = self._device, None
        if device is None:
            return
        with device.current(), device.telling("the end of the engine"):
            while self._slots:  # nothing may be left of them when the context goes
                self._slots.pop().close()
            if self._queues is not None:
                self._queues.scratch.free()
            self._queues = None
            self._contexts.clear()
            if self._kernels is not None:
                self._kernels.let_go()
            self._config = self._engine = self._runtime = None  # each was made by the next
        device.close()

    def _open(self, plan: bytes, cuda_graphs: bool) -> None:
        """Load the plan, and make a context without memory for each slot."""
        library = self._flavour.library
        self._voice = logger(library, self._log)  # to be kept: TensorRT only points to it
        try:
            runtime = library.Runtime(self._voice)
        except (TypeError, RuntimeError) as error:  # pybind11's words for a null pointer from C++
            raise DeviceError(f"{self._flavour.title} does not start ({self._reason()})") from error
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceError(
                f"{self._flavour.title} does not load its engine on {self.description.rpartition(', ')[2]} "
                f"({self._reason()}); mr2ct-export --clear-engines, and it is built again"
            )
        self._runtime, self._engine = runtime, engine
        asked = library.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self._flavour.builds_on_gpu:  # it compiles here, for the shapes it meets
            asked = self._config = self._configured(asked, cuda_graphs)
        for _ in range(2):
            context = engine.create_execution_context(asked)
            if context is None:
                raise DeviceError(f"{self._flavour.title} makes no execution context ({self._reason()})")
            self._contexts.append(context)

    def _configured(self, strategy: Any, cuda_graphs: bool) -> Any:
        """An IRuntimeConfig of TensorRT-RTX, of which contexts are made; TensorRT has one too, but only since 10.11."""
        library, config = self._flavour.library, self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        eager = library.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        if cuda_graphs:
            config.cuda_graph_strategy = library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if self._kernels is not None:
            self._kernels.attach(config)
        return config

    def _allocate(self, step: int | None, say: Callable[[str], None]) -> int:
        """Fill the slots, for as many slices as fit; returns how many that is."""
        device = self._device
        assert device is not None
        tuned = int(self._engine.get_tensor_profile_shape(self._ends[0], 0)[1][0])
        wanted = min(self._max_batch, tuned if step is None else step)
        free = device.free_bytes() - RESERVE_BYTES
        for fewer in halves(wanted):
            scratch = max(scratch_for(self._contexts[0], self._ends[0], (fewer, *self._shape)), SMALLEST_SCRATCH)
            needed = scratch + 4 * fewer * int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
            if needed <= free and self._fill(fewer, scratch):
                if fewer < wanted:
                    say(f"{fewer} slices at once instead of {wanted}: only {_gigabytes(free)} of GPU memory are free")
                return fewer
        raise DeviceError(
            f"{self.description}: one slice needs {_gigabytes(needed)} of GPU memory, {_gigabytes(free)} are free; end "
            "what else runs on the GPU, or take --device cpu"
        )

    def _fill(self, step: int, scratch_bytes: int) -> bool:
        """Allocate all for pieces of step slices; False, and nothing held, when the GPU is fuller than it says."""
        device = self._device
        assert device is not None
        driver = device.driver
        try:
            scratch = driver.mem_alloc(scratch_bytes)
        except driver.MemoryError:
            return False
        self._queues = Queues(driver.Stream(), driver.Stream(), scratch, scratch_bytes)
        try:
            for context in self._contexts:
                self._slots.append(TensorrtSlot(device, context, self._ends, (step, *self._shape), self._queues))
        except driver.MemoryError:
            while self._slots:
                self._slots.pop().close()
            scratch.free()
            self._queues = None
            return False
        return True

    def _reason(self) -> str:
        return first_error(self._log) or "it does not say why"


def halves(number: int) -> Iterator[int]:
    """16, 8, 4, 2, 1."""
    while number >= 1:
        yield number
        number //= 2


def _gigabytes(count: int) -> str:
    return f"{max(count, 0) / 1e9:.2f} GB"
