"""Tests on a GPU, each device in a process of its own: TensorRT and TensorRT-RTX cannot share one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mr2ct.errors import DeviceError
from mr2ct.gpu import first_gpu

ON_A_GPU = Path(__file__).parent / "runtime" / "on_a_gpu.py"
DEVICE = "MR2CT_TEST_DEVICE"  # the environment variable that tells on_a_gpu.py what to test
PATIENCE_S = 900


def passes_alone(device: str) -> None:
    """Run the tests of on_a_gpu.py for a device. Skips, with the reason, where all of them do."""
    try:
        first_gpu()
    except DeviceError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--tb=short", "-p", "no:cacheprovider", str(ON_A_GPU)]
    command += ["-W", "default"]  # what TensorRT and PyCUDA warn of is theirs
    done = subprocess.run(
        command,
        env={**os.environ, DEVICE: device, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        cwd=ON_A_GPU.parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    if re.search(r"^\d+ passed", done.stdout, re.MULTILINE) is None:
        pytest.skip(next((line for line in done.stdout.splitlines() if line.startswith("SKIPPED")), done.stdout))
