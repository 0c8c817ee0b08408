"""A folder of half the size computes the same as one with the same weights in fp32."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

from mr2ct.card import PAPER_SLICES, FixedWindow
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.half_weights import rounded, with_half_weights
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained


def small() -> Checkpoint:
    generator = untrained(GeneratorConfig(width=8, blocks=1), seed=0).eval()
    return Checkpoint(generator, FixedWindow(0, 3500), training={"state": "untrained"})


def answer(graph: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    slices = np.random.default_rng(0).uniform(-1, 1, (1, 1, 256, 256)).astype(np.float32)
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: slices})[0]
    return result


def test_the_graph_is_half_as_large_and_its_answer_the_same_to_the_last_bit() -> None:
    whole = with_exact_norms(to_onnx(rounded(small()).mr_to_ct, PAPER_SLICES), OPSET)
    half = with_half_weights(whole)
    assert half.ByteSize() < 0.6 * whole.ByteSize()
    assert np.array_equal(answer(half), answer(whole))


def test_weights_that_half_precision_does_not_hold_stay_as_they_are() -> None:
    whole = with_exact_norms(to_onnx(small().mr_to_ct, PAPER_SLICES), OPSET)
    assert with_half_weights(whole) == whole


def test_rounding_is_told_and_leaves_the_checkpoint_alone() -> None:
    before = small()
    weights = [weight.clone() for weight in before.mr_to_ct.parameters()]
    after = rounded(before)
    assert all(torch.equal(one, other) for one, other in zip(weights, before.mr_to_ct.parameters(), strict=True))
    changes = [
        (one - other).abs().max().item()
        for one, other in zip(before.mr_to_ct.parameters(), after.mr_to_ct.parameters(), strict=True)
    ]
    assert 0 < max(changes) < 1e-4
    assert after.training == {"state": "untrained", "weights": "rounded to fp16"}
