"""Over the even air around a head, InstanceNorm's sums are taken so that little is lost."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_SLICES
from mr2ct.certificate import BUDGETS_HU, hu_difference
from mr2ct.model import Reference
from mr2ct.openvino_graph import read_graph
from mr2ct.openvino_library import openvino
from mr2ct.volume import Volume
from mr2ct_export.exact_norm import DOMAIN, EXACT_NORM, with_exact_norms
from mr2ct_export.reference import reference_from_volumes
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_export.untrained import untrained_checkpoint

FP32_HU = BUDGETS_HU["fp32"]["max_hu"]
UNTRAINED = untrained_checkpoint(16, seed=0)


@pytest.fixture(scope="module")
def plain() -> onnx.ModelProto:
    return to_onnx(UNTRAINED.mr_to_ct, PAPER_SLICES)


@pytest.fixture(scope="module")
def exact(plain: onnx.ModelProto) -> onnx.ModelProto:
    return with_exact_norms(plain, OPSET)


@pytest.fixture(scope="module")
def even(even_head_mr: Volume) -> Reference:
    """Slices with the same value everywhere around the head."""
    return reference_from_volumes([even_head_mr], PAPER_SLICES, UNTRAINED.mr_window, UNTRAINED.mr_to_ct, count=2)


def run(graph: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return answer


def error_hu(graph: onnx.ModelProto, reference: Reference) -> float:
    """The largest error inside the head."""
    difference = hu_difference(run(graph, reference.mr), reference.synthetic_ct, PAPER_CT_WINDOW_HU)
    return float(difference[:, 0][reference.head].max())


def one_norm() -> onnx.ModelProto:
    """y = InstanceNormalization(x) of one channel of 256 x 256 pixels."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, 256, 256]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(np.full(1, value, np.float32), name) for name, value in (("one", 1), ("no", 0))]
    node = helper.make_node("InstanceNormalization", ["x", "one", "no"], ["y"], epsilon=1e-5)
    graph = helper.make_graph([node], "norm", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def test_with_an_even_background_only_the_exact_norms_keep_the_graph_within_budget(
    plain: onnx.ModelProto, exact: onnx.ModelProto, even: Reference
) -> None:
    assert (even.mr == -1).mean() > 0.5
    before, after = error_hu(plain, even), error_hu(exact, even)
    assert before > FP32_HU
    assert after < FP32_HU
    assert after < before / 5


def test_in_openvino_too_only_the_exact_norms_keep_the_graph_within_budget(
    exact: onnx.ModelProto, even: Reference
) -> None:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    errors = []
    for exactly in (True, False):
        model = read_graph(exact.SerializeToString(), exact_norms=exactly)
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        difference = hu_difference(compiled([even.mr])[0], even.synthetic_ct, PAPER_CT_WINDOW_HU)
        errors.append(float(difference[:, 0][even.head].max()))
    assert errors[0] < FP32_HU < errors[1]


def test_one_exact_norm_is_nearer_to_the_truth_than_onnxruntime_s_own() -> None:
    x = np.full((1, 1, 256, 256), -1, np.float32)
    x[:, :, 90:160, 90:160] = np.random.default_rng(0).normal(0.2, 0.3, (70, 70))
    truth = x.astype(np.float64)
    truth = (truth - truth.mean()) / np.sqrt(truth.var() + 1e-5)
    norm = one_norm()
    kernels, exacts = (np.abs(run(graph, x) - truth).max() for graph in (norm, with_exact_norms(norm, OPSET)))
    assert exacts < 2e-5  # of values up to 6
    assert exacts < kernels / 10


def test_a_flat_slice_comes_out_as_zeros_and_not_as_nan() -> None:
    flat = np.full((1, 1, 256, 256), -1, np.float32)
    assert not run(with_exact_norms(one_norm(), OPSET), flat).any()


def test_epsilon_stays_the_one_of_the_network(exact: onnx.ModelProto) -> None:
    norms = [node for node in exact.graph.node if node.op_type == EXACT_NORM]
    epsilons = [attribute.f for node in norms for attribute in node.attribute if attribute.name == "epsilon"]
    assert epsilons == [np.float32(1e-5)] * 23


def test_every_norm_is_exact_and_the_given_graph_is_left_alone(plain: onnx.ModelProto, exact: onnx.ModelProto) -> None:
    domains = [node.domain for node in exact.graph.node if node.op_type == EXACT_NORM]
    assert domains == [DOMAIN] * 23
    assert {node.domain for node in plain.graph.node} == {""}
    assert not plain.functions


def test_the_function_inlines_into_plain_onnx_that_answers_alike(exact: onnx.ModelProto, even: Reference) -> None:
    inlined = onnx.inliner.inline_local_functions(exact)
    onnx.checker.check_model(inlined, full_check=True)
    assert not inlined.functions
    assert {node.domain for node in inlined.graph.node} == {""}
    difference = hu_difference(run(inlined, even.mr), run(exact, even.mr), PAPER_CT_WINDOW_HU)
    assert difference.max() < 0.01
