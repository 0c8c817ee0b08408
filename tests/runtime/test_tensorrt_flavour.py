"""TensorRT loads by either of its names, or says what is missing and how to get it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mr2ct.errors import DeviceError
from mr2ct.tensorrt_flavour import FLAVOURS, open_flavour
from rtx_wheels import open_rtx

# prints what became of it, on one line
OPEN = """
from mr2ct.errors import DeviceError
from mr2ct.tensorrt_flavour import open_flavour
try:
    flavour = open_flavour({name!r})
    print("opened", flavour.name, flavour.title, flavour.builds_on_gpu, getattr(flavour.library, "__file__", ""))
except DeviceError as error:
    print("refused", error.exit_code, error)
"""


def run(code: str, *folders: Path) -> str:
    """What a fresh Python prints that finds these folders' packages before all others."""
    paths = [*map(str, folders), *map(os.path.abspath, sys.path)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def opened(name: str, *folders: Path, before: str = "") -> str:
    (line,) = run(before + OPEN.format(name=name), *folders).splitlines()
    return line


def package(folder: Path, name: str, code: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    return folder


def without(*modules: str) -> str:
    return "import sys\n" + "".join(f"sys.modules[{module!r}] = None\n" for module in modules)


def test_tensorrt_rtx_loads_on_a_machine_without_a_gpu() -> None:
    flavour = open_rtx()
    assert flavour.name == "tensorrt-rtx"
    assert flavour.version.startswith("1.")
    assert flavour.title == f"TensorRT-RTX {flavour.version}"
    assert not flavour.builds_on_gpu
    logger = flavour.library.Logger(flavour.library.Logger.ERROR)
    assert flavour.library.Builder(logger).create_builder_config() is not None


def test_it_is_loaded_once() -> None:
    assert open_rtx().library is open_rtx().library


def test_loading_brings_no_other_engine_and_leaves_the_installation_and_the_environment_alone() -> None:
    open_rtx()
    spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if spec is None or spec.origin is None:
        pytest.skip("this TensorRT-RTX comes without the wheels")
    folder = Path(spec.origin).parent
    before = sorted(path.name for path in folder.iterdir())
    code = "import os, sys\nbefore = dict(os.environ)\n" + OPEN.format(name="tensorrt-rtx")
    code += "print('onnxruntime' in sys.modules, 'torch' in sys.modules, dict(os.environ) == before)"
    assert run(code).splitlines()[-1] == "False False True"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_what_only_knows_of_engines_loads_none() -> None:
    code = """
import sys, mr2ct.engine_cache, mr2ct.tensorrt_builder, mr2ct.tensorrt_flavour
print([name for name in sys.modules if name.startswith(("tensorrt", "onnxruntime", "torch", "pycuda"))])
"""
    assert run(code) == "[]\n"


@pytest.mark.parametrize("name", FLAVOURS)
def test_a_missing_one_is_told_with_the_remedy(name: str) -> None:
    line = opened(name, before=without("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"))
    assert line.startswith("refused 5 needs TensorRT")
    assert line.endswith(f"pip install 'mr2ct[{name}]'")


def test_the_api_without_its_libraries_is_told_with_the_remedy(tmp_path: Path) -> None:
    open_rtx()
    package(tmp_path, "onnxruntime_ep_nv_tensorrt_rtx", "")
    line = opened("tensorrt-rtx", tmp_path, before=without("tensorrt_rtx"))
    assert line.startswith("refused 5 needs TensorRT-RTX")
    assert f"{tmp_path / 'onnxruntime_ep_nv_tensorrt_rtx'}: no libcudart" in line
    assert "pip install 'mr2ct[tensorrt-rtx]'" in line


def test_an_api_and_libraries_of_two_versions_are_refused(tmp_path: Path) -> None:
    open_rtx()
    spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if spec is None or spec.origin is None:
        pytest.skip("this TensorRT-RTX comes without the wheels")
    package(tmp_path, "onnxruntime_ep_nv_tensorrt_rtx", "")
    for library in Path(spec.origin).parent.glob("lib*.so.*.*"):
        name = library.name.partition(".so.")[0]
        link = library.name if name == "libcudart" else f"{name}.so.1.6.0"
        (tmp_path / "onnxruntime_ep_nv_tensorrt_rtx" / link).symlink_to(library)
    line = opened("tensorrt-rtx", tmp_path, before=without("tensorrt_rtx"))
    assert line.startswith("refused 5 needs TensorRT-RTX (tensorrt_rtx_bindings 1.7")
    assert "beside libtensorrt_rtx 1.6.0" in line


@pytest.mark.parametrize("version", ["8.6.1", "10.7.0.23", "12.0.0", "1.7.1.116", "unknown"])
def test_tensorrt_of_another_age_is_refused(version: str, tmp_path: Path) -> None:
    package(tmp_path, "tensorrt", f"__version__ = {version!r}")
    line = opened("tensorrt", tmp_path)
    assert line.startswith(f"refused 5 TensorRT {version} is here, mr2ct takes 10.8 or later, below 12")
    assert "pip install 'mr2ct[tensorrt]'" in line


def test_a_folder_of_that_name_is_no_tensorrt(tmp_path: Path) -> None:
    (tmp_path / "tensorrt").mkdir()
    assert opened("tensorrt", tmp_path).startswith("refused 5 TensorRT without a version is here, mr2ct takes 10.8")


@pytest.mark.parametrize("version", ["10.8.0.43", "10.16.1", "11.4.0.106"])
def test_tensorrt_of_our_age_is_taken_and_builds_on_its_gpu(version: str, tmp_path: Path) -> None:
    package(tmp_path, "tensorrt", f"__version__ = {version!r}")
    assert opened("tensorrt", tmp_path).startswith(f"opened tensorrt TensorRT {version} True {tmp_path}")


def test_an_installation_from_nvidia_is_preferred_to_the_wheels(tmp_path: Path) -> None:
    package(tmp_path, "tensorrt_rtx", "__version__ = '1.9.0'")
    assert opened("tensorrt-rtx", tmp_path).startswith(
        f"opened tensorrt-rtx TensorRT-RTX 1.9.0 False {tmp_path / 'tensorrt_rtx'}"
    )


def test_an_installation_from_nvidia_that_does_not_load_leaves_it_to_the_wheels(tmp_path: Path) -> None:
    version = open_rtx().version
    package(tmp_path, "tensorrt_rtx", "raise ImportError('libtensorrt_rtx.so.1: cannot open shared object file')")
    assert opened("tensorrt-rtx", tmp_path).startswith(f"opened tensorrt-rtx TensorRT-RTX {version} False")


def test_the_other_one_is_refused_in_the_same_process(tmp_path: Path) -> None:
    open_rtx()
    package(tmp_path, "tensorrt", "__version__ = '11.4.0'")
    with pytest.raises(DeviceError, match="TensorRT-RTX is loaded already, and TensorRT needs a process of its own"):
        open_flavour("tensorrt")
    line = opened("tensorrt-rtx", tmp_path, before="import tensorrt\n")
    assert line == "refused 5 TensorRT is loaded already, and TensorRT-RTX needs a process of its own"
