"""What is done to a graph for a CPU: it answers alike, and is rounded only where it was said to be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.openvino_graph import fingerprint, read_graph
from mr2ct.openvino_last_convolution import split_convolutions_to_one_channel
from mr2ct.openvino_library import openvino, operators
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.to_onnx import OPSET
from spelled_out_generator import spelled_out_generator

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def generator() -> bytes:
    return spelled_out_generator()


@pytest.fixture(scope="module")
def one_slice() -> Array:
    """Even air with something in the middle."""
    x = np.full((1, 1, 256, 256), -1, np.float32)
    x[:, :, 90:160, 90:160] = np.random.default_rng(0).normal(0.2, 0.3, (70, 70))
    return x


def answer(model: openvino.Model, x: Array) -> Array:
    """In the precision that the graph has, on one core."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    result: Array = openvino.Core().compile_model(model, "CPU", settings)([x])[0]
    return result.copy()


def one_norm(name: str = "InstanceNormalizationByRows") -> bytes:
    """y = mr2ct.<name>(x) of one channel of 256 x 256 pixels."""
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", 1, 256, 256]) for end in ("x", "y")]
    weights = [numpy_helper.from_array(np.full(1, value, np.float32), end) for end, value in (("one", 1), ("no", 0))]
    node = helper.make_node("InstanceNormalization", ["x", "one", "no"], ["y"], epsilon=1e-5)
    made = helper.make_graph([node], "norm", ends[:1], ends[1:], weights)
    exact = with_exact_norms(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), OPSET
    )
    exact.graph.node[0].op_type = exact.functions[0].name = name
    content: bytes = exact.SerializeToString()
    return content


@pytest.mark.parametrize("name", ["InstanceNormalizationByRows", "InstanceNormalization"])
def test_the_model_s_own_norm_is_a_norm_by_either_of_its_names(name: str, one_slice: Array) -> None:
    truth = one_slice.astype(np.float64)
    truth = (truth - truth.mean()) / np.sqrt(truth.var() + 1e-5)
    for exact in (True, False):
        difference = answer(read_graph(one_norm(name), exact_norms=exact), one_slice) - truth
        assert np.abs(difference).max() < 1e-4  # of values up to 6


def test_a_flat_slice_comes_out_as_zeros_and_not_as_nan() -> None:
    flat = np.full((1, 1, 256, 256), -1, np.float32)
    for exact in (True, False):
        assert np.abs(answer(read_graph(one_norm(), exact_norms=exact), flat)).max() < 1e-3


def test_exact_norms_are_not_made_openvino_s_own_again_when_the_graph_is_compiled(generator: bytes) -> None:
    compiled = openvino.Core().compile_model(read_graph(generator, exact_norms=True), "CPU")
    found = Counter(str(node.get_rt_info()["layerType"].astype(str)) for node in compiled.get_runtime_model().get_ops())
    assert found["MVN"] == 0
    assert found["Reduce"] >= 2 * 9  # a mean and a variance for each


def test_a_fingerprint_tells_a_rewritten_graph_from_the_one_it_was(generator: bytes) -> None:
    exact, own, again = (read_graph(generator, exact_norms=exact) for exact in (True, False, False))
    assert fingerprint(own) == fingerprint(again) != fingerprint(exact)
    split_convolutions_to_one_channel(again)
    assert fingerprint(again) != fingerprint(own)


def test_a_fingerprint_sees_a_setting_that_changes_no_shape() -> None:
    def padded(mode: str) -> openvino.Model:
        x = operators.parameter([1, 1, 8, 8], np.float32)
        return openvino.Model([operators.pad(x, [0, 0, 1, 1], [0, 0, 1, 1], mode)], [x], "padded")

    assert fingerprint(padded("reflect")) != fingerprint(padded("symmetric"))


def test_weights_in_another_file_are_seen_before_openvino_looks_for_them() -> None:
    weights = TensorProto()
    weights.name, weights.data_type, weights.data_location = "by", TensorProto.FLOAT, TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    graph = helper.make_graph([helper.make_node("Identity", ["by"], ["y"])], "small", [], [], [weights])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    with pytest.raises(ValueError, match="weights in another file"):
        read_graph(made.SerializeToString(), exact_norms=True)
