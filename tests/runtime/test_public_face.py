"""`import mr2ct` is light, and shows what it has and no more."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mr2ct

HEAVY = {"torch", "onnxruntime", "onnx", "openvino", "tensorrt", "matplotlib", "scipy", "pydicom", "pynetdicom"}


def _python(code: str, folder: Path) -> str:
    """What a fresh Python prints that finds the same packages as this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("module", ["mr2ct", "mr2ct.cli"])
def test_importing_it_loads_no_engine_and_no_workshop(module: str, tmp_path: Path) -> None:
    loaded = set(json.loads(_python(f"import json, sys, {module}; print(json.dumps(list(sys.modules)))", tmp_path)))
    assert module in loaded
    assert not loaded & HEAVY


def test_importing_it_prints_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert _python("import mr2ct, mr2ct.cli", tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_public_is_what_is_exported() -> None:
    shown = {
        name
        for name, member in vars(mr2ct).items()
        if not name.startswith("_") and not isinstance(member, ModuleType)  # submodules hang there by themselves
    }
    assert shown == set(mr2ct.__all__)


def test_the_public_face_is_small_and_sorted() -> None:
    assert len(mr2ct.__all__) <= 10
    assert list(mr2ct.__all__) == sorted(mr2ct.__all__)
    assert len(set(mr2ct.__all__)) == len(mr2ct.__all__)


def test_a_star_import_brings_the_public_face(tmp_path: Path) -> None:
    code = "before = set(globals()); from mr2ct import *; print(*sorted(set(globals()) - before - {'before'}))"
    assert _python(code, tmp_path).split() == list(mr2ct.__all__)


@pytest.mark.parametrize("name", mr2ct.__all__)
def test_everything_public_is_documented_with_its_own_words(name: str) -> None:
    member = getattr(mr2ct, name)
    own = inspect.cleandoc(member.__doc__ or "")
    assert own
    assert not own.startswith(f"{name}(")  # what @dataclass writes where nobody did
    if inspect.isclass(member):
        for inner_name, inner in vars(member).items():
            if not inner_name.startswith("_") and (inspect.isfunction(inner) or isinstance(inner, property)):
                assert inner.__doc__, f"{name}.{inner_name}"


def test_the_package_says_that_it_is_no_medical_device() -> None:
    assert "not a medical device" in (mr2ct.__doc__ or "")


def test_it_tells_its_version() -> None:
    assert all(part.isdigit() for part in mr2ct.__version__.split("."))


def test_it_says_that_it_is_typed() -> None:
    assert (Path(mr2ct.__file__).parent / "py.typed").is_file()
