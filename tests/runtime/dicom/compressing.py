"""Compressed series for the tests: dcmtk's encoders, and numbers worth a codec."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from mr2ct.grid import Grid
from runtime.volumes import grid_of

GRID = grid_of((24, 20, 3), (0.9, 1.1, 1.3), (-90.5, 81.25, -7.0), np.eye(3))
ENCODERS = {  # dcmtk's
    "JPEG Lossless, first order": ["dcmcjpeg", "+e1"],
    "JPEG Lossless": ["dcmcjpeg", "+el"],
    "JPEG-LS": ["dcmcjpls"],
    "RLE": ["dcmcrle"],
    "deflated": ["dcmconv", "+td"],
    "implicit": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "explicit": ["dcmconv", "+te"],
    "undefined lengths": ["dcmconv", "-e"],
}
Voxels = np.ndarray[Any, np.dtype[Any]]


def bits(stored: int, signed: bool, grid: Grid = GRID) -> Voxels:
    """(k, j, i) numbers over the whole range of some bits, smooth enough to be worth a codec."""
    k, j, i = np.indices(grid.shape)
    wave = np.sin(i / 5) * np.cos(j / 4) + 0.3 * np.sin(k + j * i)
    unit = (wave - wave.min()) / (wave.max() - wave.min())
    low = -(1 << (stored - 1)) if signed else 0
    values: Voxels = (
        (low + unit * ((1 << stored) - 1)).round().astype(f"{'i' if signed else 'u'}{1 if stored <= 8 else 2}")
    )
    return values


def stored_as(stored: int) -> Callable[[Dataset, int], None]:
    """Says that only some lower bits count; the others are set, to show whether they do."""

    def change(header: Dataset, _k: int) -> None:
        header.BitsStored, header.HighBit = stored, stored - 1

    return change


def encoded(command: list[str], source: Path, target: Path) -> Path:
    """A folder of dcmtk's versions of the files of another."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}: apt-get install dcmtk")
    target.mkdir()
    for path in source.iterdir():
        subprocess.run([*command, str(path), str(target / path.name)], check=True, capture_output=True, timeout=20)
    return target
