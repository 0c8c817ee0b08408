"""A network that behaves as a trained generator does in half precision, without PyTorch, and slices to give it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from small_models import SHAPE


def generator(*, half: bool) -> onnx.ModelProto:
    """A narrow generator of few layers, in fp32 or with its convolutions in fp16, whose weights are always the same."""
    luck, width = np.random.default_rng(0), 8
    layers: list[tuple[str, tuple[int, int, int, int], dict[str, Any]]] = [
        ("Conv", (width, 1, 7, 7), {"pads": [3] * 4}),
        ("Conv", (2 * width, width, 3, 3), {"pads": [1] * 4, "strides": [2, 2]}),
        ("Conv", (2 * width, 2 * width, 3, 3), {"pads": [1] * 4}),
        ("ConvTranspose", (2 * width, width, 3, 3), {"pads": [1] * 4, "strides": [2, 2], "output_padding": [1, 1]}),
        ("Conv", (1, width, 7, 7), {"pads": [3] * 4}),
    ]
    nodes: list[onnx.NodeProto] = []
    weights: list[TensorProto] = []

    def add(kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [result], name=f"make_{result}", **attributes))
        return result

    def constant(name: str, values: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    x = "mr"
    for index, (kind, shape, attributes) in enumerate(layers):
        channels = shape[1 if kind == "ConvTranspose" else 0]
        last = index == len(layers) - 1
        scale = (0.1 if last else 1.0) / np.sqrt(np.prod(shape) / channels)  # the output is far from -1 and 1
        kernel = luck.normal(0, scale, shape).astype(np.float32)
        if half:
            x = add("Cast", [x], f"half_{index}", to=TensorProto.FLOAT16)
        kernel_name = constant(f"kernel_{index}", kernel.astype(np.float16) if half else kernel)
        x = add(kind, [x, kernel_name], f"sum_{index}", **attributes)
        if half:
            x = add("Cast", [x], f"single_{index}", to=TensorProto.FLOAT)
        if not last:
            ones = constant(f"scale_{index}", np.ones(channels, np.float32))
            zeros = constant(f"shift_{index}", np.zeros(channels, np.float32))
            x = add("InstanceNormalization", [x, ones, zeros], f"norm_{index}")
            x = add("Relu", [x], f"relu_{index}")
    add("Tanh", [x], "synthetic_ct")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("mr", "synthetic_ct")]
    graph = helper.make_graph(nodes, "generator", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def smooth(count: int) -> NDArray[np.float32]:
    """Slices in [-1, 1], all different, that are as smooth as anatomy."""
    knots = np.random.default_rng(1).uniform(-1, 1, (count, 1, 17, 17)).astype(np.float32)
    place = np.linspace(0, 16, 256)
    left = np.minimum(place.astype(int), 15)
    right = (place - left).astype(np.float32)
    rows = knots[:, :, left] * (1 - right)[:, np.newaxis] + knots[:, :, left + 1] * right[:, np.newaxis]
    return np.ascontiguousarray(rows[..., left] * (1 - right) + rows[..., left + 1] * right)
