"""Every call of the builder and the runner exists, with these arguments, in TensorRT 11's API and TensorRT-RTX's.

TensorRT's Python API (tensorrt-cu13-bindings) is a shared object that needs libnvinfer: gigabytes, and useless without
a GPU. Empty stand-ins, compiled here, let it load. Then its classes and signatures can be read; asked for a builder,
they give what TensorRT gives where it finds no GPU: none.

PyCUDA's names are held against PyCUDA where it is installed; it tells no signatures.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mr2ct import cuda_device, kept_kernels, tensorrt_backend, tensorrt_builder, tensorrt_slot, tensorrt_watch
from mr2ct.errors import DeviceError
from rtx_wheels import open_rtx

Classes = dict[str, str]

# What each file calls objects of TensorRT, and what these are: "" is the library itself.
LIBRARY = dict.fromkeys(("library", "flavour.library", "self._flavour.library"), "")
BUILDER = LIBRARY | {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "error": "ParserError",
    "tensor": "ITensor",
}
RUNNER = LIBRARY | {
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "self._engine": "ICudaEngine",
    "config": "IRuntimeConfig",
    "context": "IExecutionContext",
    "self._context": "IExecutionContext",
}
READ: dict[ModuleType, Classes] = {
    tensorrt_builder: BUILDER,
    tensorrt_watch: BUILDER,
    tensorrt_backend: RUNNER,
    tensorrt_slot: RUNNER,
    kept_kernels: {"config": "IRuntimeConfig", "self._kernels": "IRuntimeCache"},
}
# what is called of TensorRT-RTX alone: a file, and a function
RTX_ALONE = (kept_kernels, "_configured")

# The same for PyCUDA.
DRIVER = dict.fromkeys(("driver", "self.driver", "device.driver", "self._device.driver"), "")
QUEUES = {"copies": "Stream", "compute": "Stream", "scratch": "DeviceAllocation"}
OF_QUEUES = {f"{queues}.{name}": kind for queues in ("queues", "self._queues") for name, kind in QUEUES.items()}
EVENTS = dict.fromkeys(("begun", "ended", "self._loaded", "self._computed", "self._stored"), "Event")
PYCUDA: dict[ModuleType, Classes] = {
    cuda_device: DRIVER | {"self._context": "Context", "allocation": "PagelockedHostAllocation"},
    tensorrt_backend: DRIVER | OF_QUEUES | EVENTS | {"scratch": "DeviceAllocation"},
    tensorrt_slot: DRIVER
    | OF_QUEUES
    | EVENTS
    | dict.fromkeys(("allocation", "self._device_in", "self._device_out"), "DeviceAllocation"),
}

FLOOR = 25  # uses found in the two files of the builder; far fewer would mean that this test reads past them
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)

# prints the signature of each "Class.member" that it is given, null for one that does not exist
DESCRIBE = """
import json, sys
from mr2ct.tensorrt_flavour import open_flavour
library, told = open_flavour(sys.argv[1]).library, {}
for name in sys.argv[2:]:
    member = library
    for part in name.split("."):
        member = getattr(member, part, None)
    told[name] = None if member is None else getattr(member, "__doc__", None) or ""
print(json.dumps(told))
"""
BUILD = """
from mr2ct.errors import DeviceError
from mr2ct.tensorrt_builder import BuildOptions, build
from mr2ct.tensorrt_flavour import open_flavour
flavour = open_flavour("tensorrt")
print(flavour.title, flavour.builds_on_gpu)
try:
    build(flavour, b"", BuildOptions(max_batch=183, version_compatible=True, hardware_compatible=True))
except DeviceError as error:
    print(error.exit_code, error)
"""


def uses(read: dict[ModuleType, Classes], without: tuple[ModuleType | str, ...] = ()) -> dict[str, set[int]]:
    """What files use of a library, "OnnxParser.parse", and with how many arguments they call it.

    without: files and functions that are passed over.
    """
    found: dict[str, set[int]] = {}
    for module, classes in read.items():
        if module in without:
            continue
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        calls: dict[ast.AST, ast.Call] = {}
        for node in _nodes(tree, without):
            if isinstance(node, ast.Call):
                calls[node.func] = node
            name = _name(node, classes)
            if name is not None:
                found.setdefault(name, set())
                call = calls.get(node)
                if call is not None and not any(isinstance(given, ast.Starred) for given in call.args):
                    found[name].add(len(call.args) + len(call.keywords))
    return found


def _nodes(tree: ast.AST, without: tuple[ModuleType | str, ...]) -> Iterator[ast.AST]:
    """Every node, a call before what it calls, less the functions that are passed over."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name in without):
            yield from _nodes(node, without)


def _name(node: ast.AST, classes: Classes) -> str | None:
    """library.OnnxParserFlag.NATIVE_INSTANCENORM, flavour.library.Builder, parser.parse: as the library names it."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # driver.Device(0).name
            made = _name(node.func, classes)
            return None if made is None or "." in made else f"{made}.{parts[0]}"
    if not isinstance(node, ast.Name):
        return None
    parts.insert(0, node.id)
    for known in range(len(parts) - 1, 0, -1):
        of = classes.get(".".join(parts[:known]))
        if of == "":
            return ".".join(parts[known:])
        if of is not None:  # what lies further in is no longer the library's
            return f"{of}.{parts[known]}" if known == len(parts) - 1 else None
    return None


def arguments(signature: str) -> tuple[int, int] | None:
    """How many arguments a pybind11 signature takes at least and at most, less self; None where it tells none."""
    match = re.search(r"^(?:1\. )?\w+\((self: .*)\) ->", signature, re.MULTILINE)
    if match is None:
        return None
    given = re.findall(r"(?:^|, )(\w+): [^,=]+?( = [^,]+)?(?=,|$)", match[1])
    return sum(not default for _, default in given) - 1, len(given) - 1


def describe(flavour: str, names: list[str], folder: Path | None = None) -> dict[str, str | None]:
    told: dict[str, str | None] = json.loads(run(DESCRIBE, folder, flavour, *names))
    return told


def run(code: str, folder: Path | None, *given: str) -> str:
    """What a fresh Python prints that finds a folder's packages and libraries first."""
    paths = [*([] if folder is None else [str(folder)]), *map(os.path.abspath, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if folder is not None:
        environment["LD_LIBRARY_PATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", code, *given], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tensorrt_11(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `tensorrt` as its own wheel has it, around the real API, and empty libraries."""
    compiler = shutil.which("cc")
    if importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("no API of TensorRT here: pip install tensorrt-cu13-bindings, on Linux with x86_64")
    if compiler is None:
        pytest.skip("no C compiler (cc): TensorRT's libraries are stood in for by empty ones, compiled here")
    folder = tmp_path_factory.mktemp("tensorrt-11")
    code = "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS)
    for library in LIBRARIES:
        file = f"lib{library}.so.11"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{file}", "-xc", "-", "-o", str(folder / file)]
        subprocess.run(command, input=code, text=True, check=True)
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    )
    return folder


def assert_it_has_all_that_is_used(told: dict[str, str | None], used: dict[str, set[int]]) -> None:
    assert [name for name, signature in told.items() if signature is None] == []
    checked = 0
    for name, counts in used.items():
        takes = arguments(told[name] or "")
        if takes is not None:
            checked += len(counts)
            for count in counts:
                assert takes[0] <= count <= takes[1], f"{name} with {count}: {told[name]}"
    assert checked >= 10


# what TensorRT calls of ours, and with how many arguments
CALLED_BACK = {
    "ILogger.log": 2,
    "IProgressMonitor.phase_start": 3,
    "IProgressMonitor.step_complete": 2,
    "IProgressMonitor.phase_finish": 1,
}


def test_what_the_builder_uses_is_found_in_its_text() -> None:
    used = uses({module: READ[module] for module in (tensorrt_builder, tensorrt_watch)})
    assert len(used) >= FLOOR
    assert used["OnnxParser.parse"] == {2}
    assert used["IBuilderConfig.set_timing_cache"] == {2}
    assert "BuilderFlag.VERSION_COMPATIBLE" in used
    assert "NetworkDefinitionCreationFlag.STRONGLY_TYPED" in used


def test_what_the_runner_uses_is_found_in_its_text() -> None:
    both, rtx = uses(READ, without=RTX_ALONE), uses(READ)
    assert both["Runtime.deserialize_cuda_engine"] == both["ICudaEngine.create_execution_context"] == {1}
    assert both["IExecutionContext.set_device_memory"] == both["ICudaEngine.get_tensor_profile_shape"] == {2}
    assert both["IExecutionContext.execute_async_v3"] == {1}
    assert both["IExecutionContext.update_device_memory_size_for_shapes"] == {0}
    assert "ExecutionContextAllocationStrategy.USER_MANAGED" in both
    assert {name for name in rtx if name not in both and "." in name} == {
        "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE",
        "DynamicShapesKernelSpecializationStrategy.EAGER",
        "ICudaEngine.create_runtime_config",
        "IRuntimeCache.deserialize",
        "IRuntimeCache.serialize",
        "IRuntimeConfig.create_runtime_cache",
        "IRuntimeConfig.cuda_graph_strategy",
        "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
        "IRuntimeConfig.set_execution_context_allocation_strategy",
        "IRuntimeConfig.set_runtime_cache",
    }


def test_signatures_are_read_as_they_are_written() -> None:
    assert arguments("parse(self: a.OnnxParser, model: t.Buffer, path: str = None) -> bool\n\n  Parse: this") == (1, 2)
    assert arguments("serialize(self: a.ITimingCache) -> a.IHostMemory") == (0, 0)
    assert arguments("f(*args, **kwargs)\nOverloaded.\n\n1. f(self: a.B, network: a.N, config: a.C) -> a.H") == (2, 2)
    assert arguments("An enumeration.") is None


def test_tensorrt_11_has_all_that_is_used_of_it(tensorrt_11: Path) -> None:
    used = uses(READ, without=RTX_ALONE) | {name: {count} for name, count in CALLED_BACK.items()}
    assert_it_has_all_that_is_used(describe("tensorrt", sorted(used), tensorrt_11), used)


def test_tensorrt_rtx_has_all_that_is_used_of_it() -> None:
    open_rtx()
    used = uses(READ) | {name: {count} for name, count in CALLED_BACK.items()}
    assert_it_has_all_that_is_used(describe("tensorrt-rtx", sorted(used)), used)


def test_tensorrt_11_without_a_gpu_is_told_where_it_builds(tensorrt_11: Path) -> None:
    opened, refused = run(BUILD, tensorrt_11).splitlines()
    assert opened.startswith("TensorRT 11.")
    assert opened.endswith(" True")
    assert refused.startswith("5 TensorRT 11.")
    assert "cannot build here, it builds on the GPU the engine is for (" in refused


def test_what_is_used_of_pycuda_is_found_in_the_files_text() -> None:
    used = uses(PYCUDA)
    assert used["memcpy_htod_async"] == used["memcpy_dtoh_async"] == {3}
    assert used["Device.retain_primary_context"] == used["Event.synchronize"] == used["Stream.synchronize"] == {0}
    assert used["Stream.wait_for_event"] == used["Event.record"] == used["Event.time_since"] == {1}
    assert {"Stream.handle", "event_flags.DISABLE_TIMING", "MemoryError", "DeviceAllocation.free"} <= set(used)


def test_pycuda_has_all_that_is_used_of_it() -> None:
    try:
        driver = cuda_device.load_pycuda()
    except DeviceError as error:
        pytest.skip(str(error))
    missing = []
    for name in uses(PYCUDA):
        member = driver
        for part in name.split("."):
            member = getattr(member, part, None)
        if member is None:
            missing.append(name)
    assert missing == []
