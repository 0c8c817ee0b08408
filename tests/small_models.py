"""Model folders with tiny graphs of known behaviour, for tests that need no trained network."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.card import PAPER_SLICES, Card, Certificate, FileFacts, FixedWindow
from mr2ct.certificate import BUDGETS_HU
from mr2ct.cycle_card import CycleCertificate, CycleFacts
from mr2ct.cycle_certificate import BUDGETS_PERCENT
from mr2ct.model import CARD, REFERENCE, Model, graph_file, open_model

SHAPE: list[str | int] = ["batch", 1, PAPER_SLICES.rows, PAPER_SLICES.columns]


def identity_graph() -> onnx.ModelProto:
    """synthetic_ct = mr."""
    return _graph([helper.make_node("Identity", ["mr"], ["synthetic_ct"])])


def shifted_graph(by: float) -> onnx.ModelProto:
    """synthetic_ct = mr + by."""
    shift = numpy_helper.from_array(np.array(by, np.float32), "by")
    return _graph([helper.make_node("Add", ["mr", "by"], ["synthetic_ct"])], [shift])


def affine_graph(times: float, plus: float, ends: tuple[str, str] = ("mr", "synthetic_ct")) -> onnx.ModelProto:
    """output = input * times + plus."""
    named = {"times": times, "plus": plus}
    weights = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in named.items()]
    nodes = [helper.make_node("Mul", [ends[0], "times"], ["scaled"])]
    return _graph([*nodes, helper.make_node("Add", ["scaled", "plus"], [ends[1]])], weights, ends)


def _graph(
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto] | None = None,
    names: tuple[str, str] = ("mr", "synthetic_ct"),
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in names]
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
    way_back: dict[str, onnx.ModelProto] | None = None,
    **card: Any,
) -> Model:
    """Write and open a model folder: by default the identity in fp32, MR 0..2000 to HU -600..1400, so HU = MR - 600.

    reference: the arrays of reference.npz, None for those that the identity answers without error.  way_back: graphs of
    ct_to_mr, which card's cycle has to speak for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {"fp32": identity_graph()} if graphs is None else graphs
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **(identity_reference() if reference is None else reference))
    contents = {REFERENCE: arrays.getvalue()}
    for precision, graph in graphs.items():
        contents[graph_file(precision)] = graph if isinstance(graph, bytes) else graph.SerializeToString()
    for precision, graph in (way_back or {}).items():
        contents[graph_file(precision, "ct_to_mr")] = graph.SerializeToString()
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


BACK = graph_file("fp32", "ct_to_mr")


def cycle_facts(limit: float = 5.0, **changes: Any) -> CycleFacts:
    """Of a passing ct_to_mr in fp32, with that limit in percent."""
    proved = CycleCertificate(
        file=BACK,
        precision="fp32",
        engine="a test",
        slices=2,
        voxels=1,
        mean_percent=0.0,
        p99_9_percent=0.0,
        max_percent=0.0,
        budget_percent=BUDGETS_PERCENT["fp32"],
    )
    facts = CycleFacts(
        2, 1, mean_percent=2.0, sd_percent=1.0, p95_percent=4.0, limit_percent=limit, certificates=(proved,)
    )
    return replace(facts, **changes)


def halving_model(folder: Path, off: float = 0.0, **card: Any) -> Model:
    """synthetic_ct = mr / 2 and cycled_mr = 2 * synthetic_ct + off: off is the cycle's error, the same everywhere.

    In the network's numbers, of which the model's MR from 0 to 2000 has two.
    """
    mr, head = (identity_reference()[name] for name in ("mr", "head"))
    reference = {"mr": mr, "synthetic_ct": mr / 2, "head": head, "cycled_mr": mr + np.float32(off)}
    back = affine_graph(2.0, off, ("synthetic_ct", "cycled_mr"))
    fields = {"cycle": cycle_facts(), "reference": reference, "way_back": {"fp32": back}, **card}
    return write_model(folder, {"fp32": affine_graph(0.5, 0.0)}, **fields)
