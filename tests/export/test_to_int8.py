"""Eight bits in the graph: in the chosen convolutions and nothing else, for three engines to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_SLICES
from mr2ct.certificate import hu_difference
from mr2ct.openvino_graph import read_graph
from mr2ct.openvino_library import openvino
from mr2ct.tensorrt_builder import BuildOptions, build
from mr2ct_export.calibration import observe
from mr2ct_export.rounding import quantised
from mr2ct_export.to_int8 import STEPS, Quantised, eligible, to_int8, weights_of
from mr2ct_export.to_onnx import OPSET, ExportError, to_onnx
from mr2ct_training.checkpoint import Checkpoint
from rtx_wheels import open_rtx

Array = NDArray[np.float32]
RESIDUAL = [f"residual.{block}.body.{n}" for block in range(9) for n in (1, 5)]


@pytest.fixture(scope="module")
def plain(trained: Checkpoint) -> onnx.ModelProto:
    return to_onnx(trained.mr_to_ct, PAPER_SLICES)


@pytest.fixture(scope="module")
def layers(trained: Checkpoint, plain: onnx.ModelProto) -> dict[str, Quantised]:
    """All that can be in int8, calibrated on a slice of another head than it was trained on."""
    assert trained.reference is not None
    seen = observe(trained.mr_to_ct, trained.reference[0].numpy(), list(eligible(plain)))
    weights = weights_of(plain)
    return {name: quantised(weights[name], seen[name], centred=flag) for name, flag in eligible(plain).items()}


@pytest.fixture(scope="module")
def residual(plain: onnx.ModelProto, layers: dict[str, Quantised]) -> onnx.ModelProto:
    """The convolutions of the residual blocks in int8."""
    return to_int8(plain, {name: layers[name] for name in RESIDUAL})


def run(graph: onnx.ModelProto, batch: Array) -> Array:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: Array = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return answer


def tensors(graph: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


def one_convolution(weights: Array) -> onnx.ModelProto:
    """y = InstanceNormalization(Conv(x)), by the name "layer"."""
    outputs, inputs = weights.shape[:2]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, None, None])
        for name, channels in (("x", inputs), ("y", outputs))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "layer.weight", "bias"], ["sum"], name="conv"),
        helper.make_node("InstanceNormalization", ["sum", "one", "no"], ["y"], name="norm", epsilon=1e-5),
    ]
    numbers = {
        "layer.weight": weights,
        "bias": np.arange(outputs, dtype=np.float32),
        "one": np.ones(outputs, np.float32),
        "no": np.zeros(outputs, np.float32),
    }
    kept = [numpy_helper.from_array(value, name) for name, value in numbers.items()]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def test_what_can_be_in_int8_is_all_between_several_channels_that_a_norm_follows(plain: onnx.ModelProto) -> None:
    assert eligible(plain) == {"down.0": False, "down.3": False, **dict.fromkeys(RESIDUAL, True)}


def test_the_chosen_convolutions_have_weights_in_int8_and_the_others_are_as_they_were(
    plain: onnx.ModelProto, residual: onnx.ModelProto
) -> None:
    before, after = tensors(plain), tensors(residual)
    for name in RESIDUAL:
        assert f"{name}.weight" not in after
        assert f"{name}.bias" not in after
        assert after[f"{name}.weight_int8"].dtype == np.int8
        assert after[f"{name}.weight_int8"].shape == before[f"{name}.weight"].shape
    others = [name for name in before if not name.startswith("residual.") and name in after]
    assert {f"{name}.weight" for name in ("entry.1", "down.0", "down.3", "up.0", "up.3", "exit.1")} <= set(others)
    for name in others:
        np.testing.assert_array_equal(before[name], after[name])


def test_activations_are_symmetric_and_weights_too_with_a_step_for_each_output(residual: onnx.ModelProto) -> None:
    found = tensors(residual)
    rounding = [node for node in residual.graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounding) == 18
    for node in rounding:
        assert found[node.input[1]] == 1
        assert found[node.input[2]] == 0
        assert found[node.input[2]].dtype == np.int8
    for name in RESIDUAL:
        weights, step = found[f"{name}.weight_int8"], found[f"{name}.weight_step"]
        assert np.abs(weights.astype(int)).max() == STEPS
        assert step.shape == weights.shape[:1]


def test_padding_is_done_in_eight_bits(residual: onnx.ModelProto) -> None:
    makers = {output: node for node in residual.graph.node for output in node.output}
    padded = [makers.get(node.input[0]) for node in residual.graph.node if node.op_type == "Pad"]
    assert [maker.op_type if maker else "" for maker in padded] == ["", *["DequantizeLinear"] * 18, "Relu"]


def test_the_given_graph_is_left_alone_and_no_layer_leaves_a_graph_that_answers_alike(
    plain: onnx.ModelProto, layers: dict[str, Quantised], trained: Checkpoint
) -> None:
    before = plain.SerializeToString(deterministic=True)
    to_int8(plain, layers)
    assert plain.SerializeToString(deterministic=True) == before
    assert trained.reference is not None
    one = trained.reference[0].numpy()[:1]
    np.testing.assert_array_equal(run(to_int8(plain, {}), one), run(plain, one))


def test_the_same_layers_give_the_same_bytes(plain: onnx.ModelProto, layers: dict[str, Quantised]) -> None:
    one, again = (to_int8(plain, layers).SerializeToString(deterministic=True) for _ in range(2))
    assert one == again


def test_numbers_that_eight_bits_hold_come_out_as_in_single_precision_whatever_the_centre() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-STEPS, STEPS + 1, (4, 3, 3, 3)).astype(np.float32)
    centre, step = np.array([10, -3, 0.5], np.float32), np.array([0.5, 2, 0.25], np.float32)
    x = centre.reshape(1, 3, 1, 1) + step.reshape(1, 3, 1, 1) * rng.integers(-STEPS, STEPS + 1, (2, 3, 12, 12))
    graph = one_convolution(weights / step.reshape(1, 3, 1, 1))
    layer = Quantised(centre, step, weights.astype(np.int8), np.ones(4, np.float32))
    given = x.astype(np.float32)
    np.testing.assert_allclose(run(to_int8(graph, {"layer": layer}), given), run(graph, given), atol=2e-5)


def test_values_beyond_the_steps_become_the_last_ones() -> None:
    weights = np.ones((2, 2, 1, 1), np.float32)
    layer = Quantised(np.zeros(2, np.float32), np.ones(2, np.float32), weights.astype(np.int8), np.ones(2, np.float32))
    graph = to_int8(one_convolution(weights), {"layer": layer})
    del graph.graph.node[-1]  # the norm
    graph.graph.output[0].name = "sum"
    for value, wanted in ((1000.0, STEPS), (-1000.0, -STEPS - 1)):
        assert (run(graph, np.full((1, 2, 12, 12), value, np.float32)) == 2 * wanted).all()


@pytest.mark.parametrize("name", ["exit.1", "up.0", "entry.1", "residual"])
def test_a_layer_that_cannot_be_in_int8_is_refused_with_those_that_can(
    name: str, plain: onnx.ModelProto, layers: dict[str, Quantised]
) -> None:
    with pytest.raises(ExportError, match=rf"^{name}: cannot be quantised so; can: down\.0, "):
        to_int8(plain, {name: layers["down.0"]})


def test_an_input_that_the_convolution_surrounds_with_zeros_cannot_be_centred(
    plain: onnx.ModelProto, layers: dict[str, Quantised]
) -> None:
    off_centre = replace(layers["down.0"], centre=np.ones_like(layers["down.0"].centre))
    with pytest.raises(ExportError, match=r"down\.0: cannot be quantised so"):
        to_int8(plain, {"down.0": off_centre})


def test_a_generator_trained_a_little_stays_near_itself(
    plain: onnx.ModelProto, residual: onnx.ModelProto, trained: Checkpoint
) -> None:
    assert trained.reference is not None
    mr, head = (part.numpy() for part in trained.reference)
    error = hu_difference(run(residual, mr), run(plain, mr), PAPER_CT_WINDOW_HU)[:, 0][head]
    assert 0 < error.mean() <= 1
    assert np.percentile(error, 99.9) <= 20


def test_openvino_computes_the_chosen_convolutions_in_eight_bits(residual: onnx.ModelProto) -> None:
    model = read_graph(residual.SerializeToString(), exact_norms=False)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ran = Counter(
        str(node.get_rt_info()["runtimePrecision"].astype(str))
        for node in compiled.get_runtime_model().get_ops()
        if str(node.get_rt_info()["layerType"].astype(str)) == "Convolution"
    )
    assert ran in ({"i8": 18, "f32": 4}, {"u8": 18, "f32": 4})  # signed where the CPU has products for it


def test_tensorrt_rtx_builds_an_engine_of_it(plain: onnx.ModelProto, layers: dict[str, Quantised]) -> None:
    graph = to_int8(plain, layers).SerializeToString()
    built = build(open_rtx(), graph, BuildOptions(max_batch=183))
    assert built.network.input.shape == (-1, 1, 256, 256)
    assert built.plan
