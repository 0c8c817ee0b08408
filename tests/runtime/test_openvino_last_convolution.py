"""A convolution to one channel answers alike when it is taken apart, whatever stands before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.card import PAPER_SLICES
from mr2ct.openvino_graph import read_graph
from mr2ct.openvino_last_convolution import split_convolutions_to_one_channel
from mr2ct.openvino_library import openvino
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.generator import GeneratorConfig, untrained

Array = NDArray[np.float32]
INPUTS = 5  # channels
ROUNDING = 1e-4  # of answers up to 60


def one_convolution(
    rows: int, columns: int, size: tuple[int | None, int | None], reflected: list[int] | None = None, **attributes: Any
) -> openvino.Model:
    """y = Conv(Pad(x)) of INPUTS channels to one.  size: of x.  reflected: pixels at the top, left, bottom, right."""
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS, *size]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, None, None]),
    ]
    kernel = np.random.default_rng(0).normal(0, 1, (1, INPUTS, rows, columns)).astype(np.float32)
    weights = [numpy_helper.from_array(kernel, "w")]
    nodes = [helper.make_node("Conv", ["x" if reflected is None else "padded", "w"], ["y"], **attributes)]
    if reflected is not None:
        around = np.array([0, 0, *reflected[:2], 0, 0, *reflected[2:]], np.int64)
        weights.append(numpy_helper.from_array(around, "around"))
        nodes.insert(0, helper.make_node("Pad", ["x", "around"], ["padded"], mode="reflect"))
    made = helper.make_graph(nodes, "one", ends[:1], ends[1:], weights)
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return read_graph(whole.SerializeToString(), exact_norms=True)


def answer(model: openvino.Model, x: Array) -> Array:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    result: Array = openvino.Core().compile_model(model, "CPU", settings)([x])[0]
    return result.copy()


def kernels(model: openvino.Model) -> list[list[int]]:
    """The shapes of all convolutions' weights."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    return [list(node.input_value(1).get_shape()) for node in nodes]


def paddings(model: openvino.Model) -> list[list[int]]:
    """(channels, rows, columns) of what comes out of each."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "Pad"]
    return [[size.get_length() for size in list(node.get_output_partial_shape(0))[1:]] for node in nodes]


def noise(rows: int, columns: int, count: int = 2) -> Array:
    return np.random.default_rng(1).normal(0, 1, (count, INPUTS, rows, columns)).astype(np.float32)


@pytest.mark.parametrize("size", [(40, 40), (40, 41), (9, 64), (33, 28)], ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (3, 5), (5, 3)])
def test_it_answers_alike_with_the_reflection_taken_apart_too(rows: int, columns: int, size: tuple[int, int]) -> None:
    pads = [rows // 2, columns // 2] * 2
    whole, split = (one_convolution(rows, columns, size, pads) for _ in range(2))
    split_convolutions_to_one_channel(split)
    assert not any(shape == [INPUTS, size[0] + 2 * pads[0], size[1] + 2 * pads[1]] for shape in paddings(split))
    np.testing.assert_allclose(answer(split, noise(*size)), answer(whole, noise(*size)), atol=ROUNDING)


@pytest.mark.parametrize("size", [(40, 40), (40, 41), (7, 8)], ids=str)
@pytest.mark.parametrize("pads", [None, [3, 3, 3, 3], [2, 3, 2, 3], [3, 4, 3, 2], [0, 1, 0, 0]], ids=str)
def test_it_answers_alike_whatever_lies_around_the_image(pads: list[int] | None, size: tuple[int, int]) -> None:
    whole, split = (one_convolution(7, 7, size, pads) for _ in range(2))
    split_convolutions_to_one_channel(split)
    assert len(kernels(split)) > 1
    np.testing.assert_allclose(answer(split, noise(*size)), answer(whole, noise(*size)), atol=ROUNDING)


@pytest.mark.parametrize(("rows", "columns"), [(4, 6), (3, 4), (4, 3), (3, 1), (2, 1)])
def test_a_kernel_without_a_middle_or_of_one_column_answers_alike(rows: int, columns: int) -> None:
    reflected = [rows // 2, columns // 2] * 2
    whole, split = (one_convolution(rows, columns, (32, 33), reflected) for _ in range(2))
    split_convolutions_to_one_channel(split)
    np.testing.assert_allclose(answer(split, noise(32, 33)), answer(whole, noise(32, 33)), atol=ROUNDING)


def test_a_generator_answers_alike_and_its_last_features_are_not_copied() -> None:
    plain = to_onnx(untrained(GeneratorConfig(width=8, blocks=2), seed=0), PAPER_SLICES)
    content = with_exact_norms(plain, OPSET).SerializeToString()
    whole, split = (read_graph(content, exact_norms=True) for _ in range(2))
    split_convolutions_to_one_channel(split)
    assert [7 * 2, 8, 1, 8] in kernels(split)
    assert [2, 7 * 2, 7, 1] in kernels(split)
    assert [8, 262, 262] in paddings(whole)
    assert [8, 262, 262] not in paddings(split)
    x = np.full((1, 1, 256, 256), -1, np.float32)
    x[:, :, 90:160, 90:160] = np.random.default_rng(0).normal(0.2, 0.3, (70, 70))
    np.testing.assert_allclose(answer(split, x), answer(whole, x), atol=1e-5)


@pytest.mark.parametrize("attributes", [{"pads": [2, 2, 2, 2]}, {"strides": [2, 2]}, {"dilations": [2, 2]}], ids=str)
def test_a_convolution_with_zeros_around_strides_or_holes_is_left_in_one(attributes: dict[str, list[int]]) -> None:
    model = one_convolution(5, 5, (40, 40), **attributes)
    split_convolutions_to_one_channel(model)
    assert kernels(model) == [[1, INPUTS, 5, 5]]


def test_a_convolution_of_images_of_any_size_is_left_in_one() -> None:
    model = one_convolution(5, 5, (None, None))
    split_convolutions_to_one_channel(model)
    assert kernels(model) == [[1, INPUTS, 5, 5]]
