"""TensorRT under either of its names: `tensorrt` for data-centre GPUs, `tensorrt_rtx` for RTX workstations.

Both have one Python API (NetworkDefinition, OnnxParser, BuilderConfig, Runtime). What differs is when an engine meets
its GPU: TensorRT times its kernels on it while it builds; TensorRT-RTX builds a plan for every RTX GPU from Ampere on,
on a machine without any, and its runtime compiles the rest on the user's GPU.
https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html

PyPI carries TensorRT-RTX in two halves: its Python API (tensorrt-rtx-cu13-bindings) and its libraries, inside of
onnxruntime-ep-nv-tensorrt-rtx-cu13. Versions of the two must match, so mr2ct[tensorrt-rtx] pins both.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mr2ct.errors import DeviceError

FLAVOURS = ("tensorrt", "tensorrt-rtx")
TITLES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
# From, and up to but not including. TensorRT 10.8: the first for Blackwell. TensorRT-RTX 1.7: what was tried.
VERSIONS = {"tensorrt": ((10, 8), (12,)), "tensorrt-rtx": ((1, 7), (2,))}
LOADED = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}  # the module that tells
LIBRARIES_PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
LIBRARIES = ("libcudart", "libtensorrt_rtx", "libtensorrt_onnxparser_rtx")  # each needs those before it


@dataclass(frozen=True)
class Flavour:
    """A TensorRT that is loaded.

    name: one of FLAVOURS.  version: its own, "1.7.1.116".  library: the Python module with its API.
    """

    name: str
    version: str
    library: Any

    @property
    def title(self) -> str:
        """Product and version, for people."""
        return f"{TITLES[self.name]} {self.version}"

    @property
    def builds_on_gpu(self) -> bool:
        """Whether an engine is tuned on the GPU it is for.

        Only then does a build need a GPU, is there a timing cache to keep, and can an engine be asked to fit other
        GPUs and versions: TensorRT-RTX's fit every RTX GPU anyway, and no other version.
        """
        return self.name == "tensorrt"


def open_flavour(name: str) -> Flavour:
    """Load a TensorRT by its name, one of FLAVOURS. Raises DeviceError when it is missing, broken or of another age.

    One of them a process: both define the same C symbols, so the second gets the first one's builder (seen with the API
    of TensorRT 11.4 after TensorRT-RTX 1.7.1).
    """
    for other in FLAVOURS:
        if other != name and sys.modules.get(LOADED[other]) is not None:
            raise DeviceError(f"{TITLES[other]} is loaded already, and {TITLES[name]} needs a process of its own")
    try:
        library = _tensorrt() if name == "tensorrt" else _tensorrt_rtx()
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DeviceError(f"needs {TITLES[name]} ({reason}): {_remedy(name)}") from error
    version = str(getattr(library, "__version__", "without a version"))  # a folder of that name imports too
    lowest, beyond = VERSIONS[name]
    if not lowest <= _numbers(version) < beyond:
        wanted = f"{'.'.join(map(str, lowest))} or later, below {'.'.join(map(str, beyond))}"
        raise DeviceError(f"{TITLES[name]} {version} is here, mr2ct takes {wanted}: {_remedy(name)}")
    return Flavour(name, version, library)


def _remedy(name: str) -> str:
    return f"pip install 'mr2ct[{name}]'"


def _tensorrt() -> Any:
    import tensorrt

    return tensorrt


def _tensorrt_rtx() -> Any:
    """An installation of TensorRT-RTX as NVIDIA delivers it where there is one, else the two wheels from PyPI."""
    try:
        import tensorrt_rtx
    except ImportError:
        return _tensorrt_rtx_from_wheels()
    return tensorrt_rtx


def _tensorrt_rtx_from_wheels() -> Any:
    # Found, not imported: importing it loads onnxruntime and writes links into site-packages (seen with 0.5.0).
    spec = importlib.util.find_spec(LIBRARIES_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"No module named {LIBRARIES_PACKAGE!r}")
    folder = Path(spec.submodule_search_locations[0])
    for name in LIBRARIES:
        library = _library(folder, name)
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    import tensorrt_rtx_bindings

    version, own = tensorrt_rtx_bindings.__version__, _library(folder, "libtensorrt_rtx").name.partition(".so.")[2]
    if _numbers(version)[:3] != _numbers(own)[:3]:
        raise ImportError(f"tensorrt_rtx_bindings {version} beside libtensorrt_rtx {own}")
    return tensorrt_rtx_bindings


def _library(folder: Path, name: str) -> Path:
    """The file of a library, by its full version: libtensorrt_rtx.so.1.7.1."""
    found = sorted(folder.glob(f"{name}.so.*.*"))
    if len(found) != 1:
        told = ", ".join(path.name for path in found) or f"no {name}"
        raise ImportError(f"{folder}: {told}")
    return found[0]


def _numbers(version: str) -> tuple[int, ...]:
    """ "10.13.0.35" -> (10, 13, 0, 35); what is no number ends it."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
