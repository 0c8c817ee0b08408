"""An onnxruntime session whose input and output stay where it computes, instead of being allocated at each call."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

KEPT = 2  # shapes: a volume's calls are of one, and the last of another


class BoundSession:
    """Runs a session over buffers of its own on a device, a pair for each of the shapes that were last asked for."""

    def __init__(self, session: onnxruntime.InferenceSession, ends: tuple[str, str], device: str) -> None:
        """ends: names of input and output.  device: onnxruntime's name of the memory, "cuda" or "cpu"."""
        self._session, self._ends, self._device = session, ends, device
        self._pairs: dict[
            tuple[int, ...], tuple[onnxruntime.IOBinding, onnxruntime.OrtValue, onnxruntime.OrtValue]
        ] = {}

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, ...) float32 to the same shape, a new array."""
        batch = np.ascontiguousarray(batch, np.float32)  # update_inplace would take the bytes of any other type
        pair = self._pairs.pop(batch.shape, None)
        if pair is None:
            while len(self._pairs) >= KEPT:
                del self._pairs[next(iter(self._pairs))]
            pair = self._bind(batch.shape)
        self._pairs[batch.shape] = pair  # the last of them: those used longest ago go first
        binding, given, answer = pair
        given.update_inplace(batch)
        self._session.run_with_iobinding(binding)
        taken: NDArray[np.float32] = answer.numpy()
        return taken.copy() if self._device == "cpu" else taken  # in the CPU's memory it is the buffer itself

    def _bind(self, shape: tuple[int, ...]) -> tuple[onnxruntime.IOBinding, onnxruntime.OrtValue, onnxruntime.OrtValue]:
        given, answer = (
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, self._device, 0)
            for _ in range(2)
        )
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._ends[0], given)
        binding.bind_ortvalue_output(self._ends[1], answer)
        return binding, given, answer
