"""A folder of a half or a quarter of the size computes the same as one with the same weights in fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mr2ct.card import PAPER_SLICES, FixedWindow
from mr2ct.model import open_model
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.folder import export
from mr2ct_export.more_graphs import generator_of
from mr2ct_export.packed_weights import Packing, packing_of, rounded, unpacked, with_packed_weights
from mr2ct_export.reference import answered
from mr2ct_export.to_half import to_half
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained

PACKINGS: list[Packing] = ["fp16", "int8"]


def small() -> Checkpoint:
    generator = untrained(GeneratorConfig(width=8, blocks=1), seed=0).eval()
    return Checkpoint(generator, FixedWindow(0, 3500), training={"state": "untrained"})


def answer(graph: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # as onnxruntime_backend.py has it
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    slices = np.random.default_rng(0).uniform(-1, 1, (1, 1, 256, 256)).astype(np.float32)
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: slices})[0]
    return result


@pytest.mark.parametrize(("packing", "size"), [("fp16", 0.6), ("int8", 0.4)])
def test_the_graph_is_smaller_and_its_answer_the_same_to_the_last_bit(packing: Packing, size: float) -> None:
    network = rounded(small(), packing).mr_to_ct
    whole = with_exact_norms(to_onnx(network, PAPER_SLICES), OPSET)
    fewer = with_packed_weights(whole, packing)
    assert fewer.ByteSize() < size * whole.ByteSize()  # of so small a generator the nodes are a part
    assert np.array_equal(answer(fewer), answer(whole))
    assert packing_of(fewer.graph) == packing
    tensors = unpacked(fewer.graph)
    named = {name: weight for name, weight in network.state_dict().items() if weight.ndim == 4}
    assert all(np.array_equal(tensors[name], weight.numpy()) for name, weight in named.items())


@pytest.mark.parametrize("packing", PACKINGS)
def test_weights_that_it_does_not_hold_stay_as_they_are(packing: Packing) -> None:
    whole = with_exact_norms(to_onnx(small().mr_to_ct, PAPER_SLICES), OPSET)
    assert with_packed_weights(whole, packing) == whole
    assert packing_of(whole.graph) == "fp32"


@pytest.mark.parametrize(("packing", "furthest"), [("fp16", 1e-4), ("int8", 1e-3)])
def test_rounding_is_told_and_leaves_the_checkpoint_alone(packing: Packing, furthest: float) -> None:
    before = small()
    weights = [weight.clone() for weight in before.mr_to_ct.parameters()]
    after = rounded(before, packing)
    assert all(torch.equal(one, other) for one, other in zip(weights, before.mr_to_ct.parameters(), strict=True))
    changes = [
        (one - other).abs().max().item()
        for one, other in zip(before.mr_to_ct.parameters(), after.mr_to_ct.parameters(), strict=True)
    ]
    assert 0 < max(changes) < furthest
    assert after.training == {"state": "untrained", "weights": f"rounded to {packing}"}
    assert rounded(before, "fp32") is before


def test_the_fp16_graph_has_the_very_weights_of_eight_bits_in_the_same_bytes() -> None:
    network = rounded(small(), "int8").mr_to_ct
    assert all(torch.equal(one.half().float(), one) for one in network.parameters() if one.ndim == 4)
    single = to_onnx(network, PAPER_SLICES)
    half = to_half(single)
    fewer = with_packed_weights(half, "int8")
    assert fewer.ByteSize() < 0.6 * half.ByteSize()
    assert np.array_equal(answer(fewer), answer(half))
    bytes_of = [
        {one.name: one.raw_data for one in graph.graph.initializer if one.data_type == onnx.TensorProto.INT8}
        for graph in (fewer, with_packed_weights(single, "int8"))
    ]
    assert bytes_of[0] == bytes_of[1]
    assert len(bytes_of[0]) == sum(one.ndim == 4 for one in network.parameters())


def test_steps_that_fp16_does_not_hold_leave_a_weight_as_it_is() -> None:
    tiny = helper.make_graph(
        [helper.make_node("Conv", ["x", "w.weight"], ["y"])], "one",
        [helper.make_tensor_value_info("x", 10, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", 10, ["n", "c", "h", "w"])],
        [onnx.numpy_helper.from_array(np.full((1, 1, 1, 1), 2.0**-24, np.float16), "w.weight")],
    )  # fmt: skip
    model = helper.make_model(tiny, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    assert with_packed_weights(model, "int8") == model


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_folder_keeps_its_fp16_graph_as_its_fp32_one(packing: Packing, tmp_path: Path) -> None:
    kept = rounded(small(), packing)
    slices = np.random.default_rng(0).uniform(-1, 1, (1, 1, 256, 256)).astype(np.float32)
    reference = answered(slices, np.ones((1, 256, 256), bool), kept.mr_to_ct)
    card = export(kept, reference, tmp_path / "model", fp16=True, weights=packing).card
    assert {one.file: one.passed for one in card.certificates} == {
        "mr_to_ct.fp32.onnx": True,
        "mr_to_ct.fp16.onnx": True,
    }
    sizes = [card.files[name].bytes for name in ("mr_to_ct.fp16.onnx", "mr_to_ct.fp32.onnx")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.25)  # the nodes differ, a good part of so small a file


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), transposed=st.booleans(), exponents=st.tuples(*[st.integers(-12, 3)] * 3))
def test_eight_bits_are_found_again_whatever_the_weights(
    seed: int, transposed: bool, exponents: tuple[int, int, int]
) -> None:
    random = np.random.default_rng(seed)
    kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    layer = kind(3, 3, 3, bias=False)
    sizes = torch.tensor([2.0**e for e in exponents]).reshape((1, 3, 1, 1) if transposed else (3, 1, 1, 1))
    layer.weight.data = torch.from_numpy(random.standard_normal((3, 3, 3, 3)).astype(np.float32)) * sizes
    if random.random() < 0.2:
        layer.weight.data[:, 0] = 0
    one = torch.nn.Sequential(layer)
    weight = rounded(Checkpoint(one, FixedWindow(0, 1)), "int8").mr_to_ct.get_parameter("0.weight")
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose" if transposed else "Conv", ["x", "w.weight"], ["y"])], "one",
        [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", "c", "h", "w"])],
        [onnx.numpy_helper.from_array(weight.detach().numpy(), "w.weight")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    packed = with_packed_weights(model, "int8")
    assert packing_of(packed.graph) == "int8"
    assert np.array_equal(unpacked(packed.graph)["w.weight"], weight.detach().numpy())
    steps = layer.weight.detach().abs().amax((0, 2, 3) if transposed else (1, 2, 3)) / 127
    off = (weight - layer.weight).abs().amax((0, 2, 3) if transposed else (1, 2, 3))
    assert (off <= 0.57 * steps).all()  # half a step, which is up to an eighth larger than it would have to be


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_generator_comes_out_of_the_folder_as_it_went_in(packing: Packing, tmp_path: Path) -> None:
    kept = rounded(small(), packing)
    slices = np.random.default_rng(0).uniform(-1, 1, (3, 1, 256, 256)).astype(np.float32)
    reference = answered(slices, np.ones((3, 256, 256), bool), kept.mr_to_ct)
    export(kept, reference, tmp_path / "model", fp16=False, weights=packing)
    model = open_model(tmp_path / "model")
    found = generator_of(model).state_dict()
    assert all(
        torch.equal(found[name], weight) for name, weight in kept.mr_to_ct.state_dict().items() if weight.ndim == 4
    )
    assert model.card.training["weights"] == f"rounded to {packing}"
