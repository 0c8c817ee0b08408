"""Model folders with tiny graphs of known behaviour, for tests that need no trained network."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.card import PAPER_SLICES, Card, Certificate, FileFacts, FixedWindow
from mr2ct.certificate import BUDGETS_HU
from mr2ct.model import CARD, REFERENCE, Model, graph_file, open_model

SHAPE: list[str | int] = ["batch", 1, PAPER_SLICES.rows, PAPER_SLICES.columns]


def identity_graph() -> onnx.ModelProto:
    """synthetic_ct = mr."""
    return _graph([helper.make_node("Identity", ["mr"], ["synthetic_ct"])])


def shifted_graph(by: float) -> onnx.ModelProto:
    """synthetic_ct = mr + by."""
    shift = numpy_helper.from_array(np.array(by, np.float32), "by")
    return _graph([helper.make_node("Add", ["mr", "by"], ["synthetic_ct"])], [shift])


def _graph(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto] | None = None) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("mr", "synthetic_ct")]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def certificate(precision: str = "fp32", **errors: float) -> Certificate:
    """A passing certificate, unless errors say otherwise."""
    measured = {"mean_hu": 0.0, "p99_9_hu": 0.0, "max_hu": 0.0, **errors}
    return Certificate(
        file=graph_file(precision),
        precision=precision,
        engine="a test",
        slices=1,
        voxels=1,
        budget_hu=BUDGETS_HU[precision],
        **measured,
    )


def identity_reference() -> dict[str, NDArray[Any]]:
    """Arrays of a reference.npz that the identity graph answers without error."""
    mr = np.linspace(-1, 1, 2 * 256 * 256, dtype=np.float32).reshape(2, 1, 256, 256)
    head = np.zeros((2, 256, 256), dtype=bool)
    head[:, 60:200, 50:210] = True
    return {"mr": mr, "synthetic_ct": mr.copy(), "head": head}


def write_model(
    folder: Path,
    graphs: dict[str, onnx.ModelProto | bytes] | None = None,
    certificates: tuple[Certificate, ...] | None = None,
    reference: dict[str, NDArray[Any]] | None = None,
    **card: Any,
) -> Model:
    """Write and open a model folder: by default the identity in fp32, MR 0..2000 to HU -600..1400, so HU = MR - 600.

    reference: the arrays of reference.npz, None for those that the identity answers without error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {"fp32": identity_graph()} if graphs is None else graphs
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **(identity_reference() if reference is None else reference))
    contents = {REFERENCE: arrays.getvalue()}
    for precision, graph in graphs.items():
        contents[graph_file(precision)] = graph if isinstance(graph, bytes) else graph.SerializeToString()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    fields: dict[str, Any] = {
        "name": "identity",
        "version": "1",
        "description": "HU = MR - 600",
        "authors": "mr2ct",
        "data_source": "none",
        "generator": {"architecture": "identity"},
        "training": {"state": "trained"},
        "slices": PAPER_SLICES,
        "mr_window": FixedWindow(0.0, 2000.0),
        "ct_window_hu": (-600.0, 1400.0),
        "opset": 20,
        "max_batch": 183,
        "files": {name: FileFacts(hashlib.sha256(c).hexdigest(), len(c)) for name, c in contents.items()},
        "certificates": tuple(certificate(p) for p in graphs) if certificates is None else certificates,
    }
    (folder / CARD).write_text(Card(**{**fields, **card}).to_json())
    return open_model(folder)
