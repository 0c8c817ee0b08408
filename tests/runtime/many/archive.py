"""Small archives of drawn heads, and a model that maps one in some milliseconds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

import phantom
from mr2ct.card import SliceGrid
from mr2ct.cli import main
from mr2ct.many.manifest import MANIFEST, Entry, read_entries
from mr2ct.model import Model
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from small_models import write_model

GRID = phantom.grid_around((0, 0, 0), (47, 47, 36), (5.0, 5.0, 5.2), phantom.SAGITTAL)
SLICES = SliceGrid("sagittal", rows=64, columns=64, pixel_mm=3.915, spacing_mm=4.0)


@cache
def head(person: int = 0) -> Volume:
    """A person, smooth, int16."""
    mr = phantom.draw(GRID, phantom.Head(person=person), seed=person)[0]
    return Volume(np.rint(mr.voxels).astype(np.int16), GRID)


def put(path: Path, person: int = 0) -> Path:
    """Write a person's head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(head(person), path, overwrite=True)
    return path


def coarse_model(folder: Path, nodes: list[onnx.NodeProto] | None = None, **card: Any) -> Model:
    """HU = MR - 600 on coarse slices. nodes: of another graph from mr to synthetic_ct."""
    shape: list[str | int] = ["batch", 1, SLICES.rows, SLICES.columns]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("mr", "synthetic_ct")]
    nodes = nodes or [helper.make_node("Identity", ["mr"], ["synthetic_ct"])]
    graph = helper.make_graph(nodes, "coarse", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    mr = np.linspace(-1, 1, SLICES.rows * SLICES.columns, dtype=np.float32).reshape(1, 1, SLICES.rows, SLICES.columns)
    reference = {"mr": mr, "synthetic_ct": mr.copy(), "head": np.ones(mr[0].shape, bool)}
    return write_model(folder, {"fp32": model}, reference=reference, slices=SLICES, **card)


def run(*arguments: object) -> Result:
    """mr2ct-run, in this process."""
    return CliRunner().invoke(main, [*map(str, arguments), "--device", "cpu"])


COMMAND = [sys.executable, "-c", "from mr2ct.cli import main; main()"]


def start(*arguments: object, code: str = COMMAND[-1], device: str = "cpu", **given: Any) -> subprocess.Popen[str]:
    """mr2ct-run, in a process of its own. code: another program with the same arguments."""
    paths = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments), "--device", device],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **paths}, **given,
    )  # fmt: skip


def states(out: Path) -> dict[str, str]:
    """What became of each item."""
    return {id_: entry.state for id_, entry in read_entries(out).items()}


def lines(out: Path) -> list[dict[str, Any]]:
    """The manifest's lines, as JSON."""
    return [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]


def entry(out: Path, id_: str) -> Entry:
    """The last line of an item."""
    return read_entries(out)[id_]


def files(folder: Path) -> dict[str, tuple[str, int]]:
    """sha256 and time of every file but the manifest and its lock, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "manifest" not in path.name
    }


def names(folder: Path) -> list[str]:
    """The paths of those files."""
    return list(files(folder))
