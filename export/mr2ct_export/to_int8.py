"""Eight bits in the graph: chosen convolutions between QuantizeLinear and DequantizeLinear, all else in fp32.

Activations are symmetric int8 with zero point 0, weights symmetric int8 with a scale for each channel of output: what
OpenVINO, onnxruntime and TensorRT all multiply in eight bits. Two things make them exact enough for a generator:

- Each channel of input is centred and scaled before it is rounded, and the weights carry the scale. What centring takes
  away adds a constant to each channel of output, because the padding is a reflection, and InstanceNorm takes that
  out again; so does it with the bias, which is left out.
- Weights are rounded one after the other, and each rounding error is made up for by those that follow (rounding.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mr2ct_export.exact_norm import NORM
from mr2ct_export.to_onnx import ExportError

WEIGHT = ".weight"
STEPS = 127  # of int8 to each side of zero; -128 would make it lopsided


@dataclass(frozen=True)
class Quantised:
    """A convolution in eight bits. An input x is rounded as (x - centre) / step, for each of its channels.

    centre, step: (inputs,) float32.  weights: (outputs, inputs, rows, columns) int8, of inputs in steps.
    weight_step: (outputs,) float32.
    """

    centre: NDArray[np.float32]
    step: NDArray[np.float32]
    weights: NDArray[np.int8]
    weight_step: NDArray[np.float32]


def eligible(graph: onnx.ModelProto) -> dict[str, bool]:
    """The convolutions that can be quantised, by the name of their weight less ".weight", in the graph's order.

    Those between several channels that an InstanceNorm follows. The value: whether inputs may be centred, which they
    may where the convolution itself adds no zeros around them.
    """
    followers: dict[str, list[str]] = {}
    for node in graph.graph.node:
        for name in node.input:
            followers.setdefault(name, []).append(node.op_type)
    shapes = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    return {
        node.input[1].removesuffix(WEIGHT): not any(_pads(node))
        for node in graph.graph.node
        if node.op_type == "Conv" and followers[node.output[0]] == [NORM] and 1 not in shapes[node.input[1]][:2]
    }


def weights_of(graph: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """The weights of an fp32 graph's convolutions, by the names that eligible gives."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    return {name: numpy_helper.to_array(tensors[name + WEIGHT]) for name in eligible(graph)}


def to_int8(graph: onnx.ModelProto, layers: Mapping[str, Quantised]) -> onnx.ModelProto:
    """A copy of an fp32 graph with some of its convolutions in int8. layers: by the names that eligible gives.

    Raises ExportError for a layer that cannot be quantised so.
    """
    centred = eligible(graph)
    for name, layer in layers.items():
        if name not in centred or (layer.centre.any() and not centred[name]):
            raise ExportError(f"{name}: cannot be quantised so; can: {', '.join(centred)}")
    quantised = onnx.ModelProto()
    quantised.CopyFrom(graph)
    makers = {output: node for node in quantised.graph.node for output in node.output}
    before: dict[str, list[onnx.NodeProto]] = {}  # by the name of the node they come before
    replaced: list[onnx.TensorProto] = []
    for node in quantised.graph.node:
        if node.op_type != "Conv" or node.input[1].removesuffix(WEIGHT) not in layers:
            continue
        name = node.input[1].removesuffix(WEIGHT)
        layer = layers[name]
        maker = makers.get(node.input[0])
        first = maker if maker is not None and maker.op_type == "Pad" else node  # a quarter of the bytes to pad
        nodes, tensors = _rounding(name, layer, first.input[0])
        first.input[0] = nodes[-1].output[0]
        before[first.name] = [*before.get(first.name, []), *nodes]
        weights = helper.make_node(
            "DequantizeLinear", [f"{name}.weight_int8", f"{name}.weight_step"], [f"{name}.weight_rounded"],
            name=f"{name}.weight", axis=0,
        )  # fmt: skip
        before[node.name] = [*before.get(node.name, []), weights]
        del node.input[1:]
        node.input.append(weights.output[0])
        replaced += tensors
    nodes = [one for node in quantised.graph.node for one in (*before.get(node.name, []), node)]
    del quantised.graph.node[:], quantised.graph.value_info[:]
    quantised.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in quantised.graph.initializer if tensor.name in used]
    del quantised.graph.initializer[:]
    quantised.graph.initializer.extend([*kept, *replaced])
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


def _rounding(name: str, layer: Quantised, source: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes that round a layer's input, and all of the layer's numbers."""
    each = (1, -1, 1, 1)  # (batch, channel, row, column)
    numbers: dict[str, NDArray[Any]] = {
        "centre": layer.centre.reshape(each),
        "steps": (1 / layer.step).astype(np.float32).reshape(each),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.int8),
        "weight_int8": layer.weights,
        "weight_step": layer.weight_step,
    }
    if not layer.centre.any():
        del numbers["centre"]
    nodes = []
    for operator, result, *others in (
        ("Sub", "centred", "centre"),
        ("Mul", "in_steps", "steps"),
        ("QuantizeLinear", "int8", "one", "zero"),
        ("DequantizeLinear", "rounded", "one", "zero"),
    ):
        if set(others) <= set(numbers):
            inputs = [source, *(f"{name}.{other}" for other in others)]
            nodes.append(helper.make_node(operator, inputs, [f"{name}.{result}"], name=f"{name}.{result}"))
            source = f"{name}.{result}"
    return nodes, [numpy_helper.from_array(value, f"{name}.{key}") for key, value in numbers.items()]


def _pads(convolution: onnx.NodeProto) -> list[int]:
    return next((list(entry.ints) for entry in convolution.attribute if entry.name == "pads"), [])
