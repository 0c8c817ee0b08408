"""onnxruntime: on the CPU, or on an NVIDIA GPU through its CUDA provider or TensorRT-RTX's."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, graph_file

try:
    import onnxruntime
except ImportError as error:
    raise DeviceError(
        f"needs onnxruntime ({error}): pip install 'mr2ct[cpu]', or 'mr2ct[gpu]' for an NVIDIA GPU"
    ) from error

from mr2ct.onnxruntime_binding import BoundSession
from mr2ct.onnxruntime_rtx import PROVIDER, add_rtx

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "onnxruntime-rtx": PROVIDER}
WHERE = {"cpu": "CPU", "cuda": "CUDA", "onnxruntime-rtx": "TensorRT-RTX"}
# Slices a call. CPU: 0.27 s a slice at 1, 2 and 4 alike, but 0.44, 0.66 and 1.0 GB (full generator, 2 AVX-512 cores).
# GPU: to be measured; 8 slices of fp16 activations are about 1 GB.
BATCH = {"cpu": 1, "cuda": 8, "onnxruntime-rtx": 16}
# On by default, and 10 bits of mantissa for what is asked in fp32.
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#use_tf32
NO_TF32 = {"use_tf32": "0"}
FATAL_ONLY = 4  # onnxruntime's severity: what goes wrong is raised, so nothing needs printing


class OnnxruntimeBackend:
    """One graph of a model in an onnxruntime session on one device; see mr2ct.backend.Backend."""

    def __init__(self, model: Model, file: str, device: str, *, threads: int | None = None) -> None:
        """device: a key of PROVIDERS.  threads: cores of the CPU to use, None for all.

        Raises DeviceError when the device is not here, ModelError when the graph is not ours.
        """
        _refuse_both_packages()
        provider = PROVIDERS[device]
        if device == "cuda" and not has_cuda():
            raise DeviceError(
                f"{device}: onnxruntime {onnxruntime.__version__} was built without it; with an NVIDIA GPU: "
                "pip uninstall onnxruntime, then pip install 'mr2ct[gpu]'"
            )
        graph = model.read(file)
        self._max_batch = model.card.max_batch
        self.batch = min(BATCH[device], self._max_batch)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = FATAL_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        # The graph comes from bytes, so that what was checked is what runs. Weights that it keeps in other files may
        # only lie in the model folder, where every file was checked too; by default the working directory is searched.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(model.folder.resolve())
        )
        if file != graph_file("int8"):  # weights in eight bits become fp32 once, and not for every slice
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            if device == "cuda":
                onnxruntime.preload_dlls()  # CUDA and cuDNN from the wheels that mr2ct[gpu] brings
            if device == "onnxruntime-rtx":
                add_rtx(options, model.card, self.batch)
            named = None if device == "onnxruntime-rtx" else [provider]  # a plugin's is in the options
            # else onnxruntime goes over to the CPU when the GPU fails, and only prints that it did
            self._session = onnxruntime.InferenceSession(
                graph,
                options,
                providers=named,
                provider_options=[NO_TF32] if device == "cuda" else None,
                enable_fallback=0,
            )
            self._session.disable_fallback()  # the same for onnxruntime < 1.24, which has no enable_fallback
        except Exception as error:  # onnxruntime has no base exception of its own
            reason = _first_line(error)
            if isinstance(error, DeviceError):
                raise
            if device != "cpu":
                raise DeviceError(f"{device}: onnxruntime could not start on the GPU ({reason})") from error
            raise ModelError(f"{model.folder / file}: onnxruntime cannot load it ({reason})") from error
        if self._session.get_providers()[0] != provider:
            raise DeviceError(f"{device}: onnxruntime {onnxruntime.__version__} took the CPU; is a GPU driver there?")
        self._input, self._output = _names(self._session, model, file)
        self._bound = BoundSession(self._session, (self._input, self._output), "cuda") if device == "cuda" else None
        self.description = f"onnxruntime {onnxruntime.__version__}, {WHERE[device]}"

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run. Raises DeviceError when the engine fails, out of memory for one."""
        if not 1 <= len(batch) <= self._max_batch:
            raise DeviceError(f"{len(batch)} slices at once; this model takes 1 to {self._max_batch}")
        if self._session is None:
            raise DeviceError(f"{self.description}: closed already")
        try:
            if self._bound is not None:
                return self._bound.run(batch)
            (answer,) = self._session.run([self._output], {self._input: batch})
        except Exception as error:  # onnxruntime has no base exception of its own
            reason = _first_line(error)
            raise DeviceError(
                f"{self.description}: failed on {len(batch)} slices ({reason}); a smaller --batch needs less memory"
            ) from error
        result: NDArray[np.float32] = answer
        return result

    def close(self) -> None:
        """See mr2ct.backend.Backend.close: onnxruntime gives back what it holds when the session goes."""
        self._bound = self._session = None


def has_cuda() -> bool:
    """Whether this onnxruntime was built with CUDA; there may still be no GPU."""
    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__  # MemoryError says nothing


def _refuse_both_packages() -> None:
    """onnxruntime and onnxruntime-gpu install the same module: whichever came last overwrote half of the other."""
    try:
        cpu, gpu = version("onnxruntime"), version("onnxruntime-gpu")
    except PackageNotFoundError:
        return
    raise DeviceError(
        f"onnxruntime {cpu} and onnxruntime-gpu {gpu} are both installed and overwrite each other: "
        "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'mr2ct[gpu]' or 'mr2ct[cpu]'"
    )


def _names(session: onnxruntime.InferenceSession, model: Model, file: str) -> tuple[str, str]:
    """The graph's input and output, once they are seen to be what the card promises."""
    card = model.card
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = [1, card.slices.rows, card.slices.columns]
    for kind, found, name in (("input", inputs, card.input_name), ("output", outputs, card.output_name)):
        if [entry.name for entry in found] != [name] or not _fits(found[0], shape, card.max_batch):
            told = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in found)
            raise ModelError(f"{model.folder / file}: {kind} {told} is not the card's {name}, float, batch x {shape}")
    return card.input_name, card.output_name


def _fits(entry: onnxruntime.NodeArg, shape: list[int], max_batch: int) -> bool:
    """Whether an input or output is float32, of this shape less the batch, and takes every batch up to max_batch."""
    if entry.type != "tensor(float)" or entry.shape[1:] != shape:
        return False
    return not isinstance(entry.shape[0], int) or entry.shape[0] == max_batch == 1
