"""The real TensorRT-RTX, for tests that build engines: its wheels run on a Linux machine without a GPU."""

from __future__ import annotations

import importlib.util

import pytest

from mr2ct.tensorrt_flavour import Flavour, open_flavour


def open_rtx() -> Flavour:
    """TensorRT-RTX. Skips the test where its wheels are not installed; where they are, they have to load."""
    if importlib.util.find_spec("tensorrt_rtx_bindings") is None and importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("TensorRT-RTX is not installed: pip install 'mr2ct[tensorrt-rtx]', on Linux with x86_64")
    return open_flavour("tensorrt-rtx")
