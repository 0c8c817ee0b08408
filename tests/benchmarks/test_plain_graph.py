"""What other engines are given is the model's graph, with nothing in it that is mr2ct's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mr2ct.card import FixedWindow
from mr2ct.model import open_model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from mr2ct_export.folder import export
from mr2ct_export.packed_weights import Packing, rounded
from mr2ct_export.reference import answered
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained
from plain_graph import PLAIN, write_plain


@pytest.mark.parametrize("packing", ["fp32", "fp16", "int8"])
def test_it_has_weights_in_fp32_and_the_same_answer(packing: Packing, tmp_path: Path) -> None:
    generator = untrained(GeneratorConfig(width=8, blocks=1), seed=0)
    kept = rounded(Checkpoint(generator, FixedWindow(0, 3500), training={"state": "untrained"}), packing)
    slices = np.random.default_rng(0).uniform(-1, 1, (2, 1, 256, 256)).astype(np.float32)
    reference = answered(slices, np.ones((2, 256, 256), bool), kept.mr_to_ct)
    export(kept, reference, tmp_path / "model", fp16=False, weights=packing)
    model = open_model(tmp_path / "model")
    write_plain(model, tmp_path)
    graph = onnx.load(tmp_path / PLAIN).graph
    assert not {"DequantizeLinear", "Cast"} & {node.op_type for node in graph.node}
    weights = [tensor for tensor in graph.initializer if len(tensor.dims) == 4]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT}
    plain = onnxruntime.InferenceSession(tmp_path / PLAIN, providers=["CPUExecutionProvider"])
    (answer,) = plain.run(None, {plain.get_inputs()[0].name: slices[:1]})
    own = OnnxruntimeBackend(model, "mr_to_ct.fp32.onnx", "cpu").run(slices[:1])
    np.testing.assert_allclose(answer, own, atol=1e-5)
