"""A graph of a model as OpenVINO reads it, and what its operations are."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.eight_bits import UNPACK
from mr2ct.openvino_library import ConversionExtension, openvino, operators

# The model's own function, by the names it has had; OpenVINO 2026.4 does not inline functions of a graph.
DOMAIN, NORMS = "mr2ct", ("InstanceNormalizationByRows", "InstanceNormalization")
ROWS, COLUMNS = 2, 3  # axes of (batch, channel, row, column)
# The beginning of an ONNX entry key = "location", of a weight that lies in another file.
IN_ANOTHER_FILE = b"\n\x08location"
FLOAT = openvino.Type.f32


def read_graph(content: bytes, *, exact_norms: bool) -> openvino.Model:
    """An ONNX graph, from its bytes. exact_norms: the norms spelled out, as the function in the graph does.

    Otherwise they are OpenVINO's own, several times as fast. These sum a channel's 65,536 pixels one behind the other,
    which costs up to 0.9 HU in a trained generator: more than fp32 may have, and less than bf16 costs by itself.
    Raises ValueError for a graph with weights in other files, and whatever OpenVINO does when it cannot read it.
    """
    if IN_ANOTHER_FILE in content:  # OpenVINO would look for it in the working directory, where nothing was checked
        raise ValueError("it keeps weights in another file; export it with its weights inside")
    core = openvino.Core()
    for name in NORMS:
        core.add_extension(ConversionExtension(name, DOMAIN, _exact_norm if exact_norms else _own_norm))
    model: openvino.Model = core.read_model(model=content)
    _unpack(model)
    return model


def _unpack(model: openvino.Model) -> None:
    """Turn weights that are kept in eight bits into fp32, once, in place: OpenVINO would do it for every slice."""
    for node in model.get_ordered_ops():
        if node.get_friendly_name().endswith(UNPACK):  # whole numbers, converted, times the steps of each channel
            whole, step = (_constant(end.get_node()) for end in node.input_values())
            weights = whole.astype(np.float32) * step.reshape(node.input_value(1).get_shape())
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(operators.constant(weights).output(0))


def _constant(node: openvino.Node) -> NDArray[Any]:
    """What is converted or reshaped to get there."""
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    numbers: NDArray[Any] = node.data
    return numbers


def _exact_norm(node: Any) -> list[openvino.Output]:
    x, epsilon = node.get_input(0), np.float32(node.get_attribute("epsilon"))
    centred = operators.subtract(x, _mean_by_rows(x))
    variance = _mean_by_rows(operators.multiply(centred, centred))
    deviation = operators.sqrt(operators.add(variance, operators.constant(epsilon)))
    outputs: list[openvino.Output] = operators.divide(centred, deviation).outputs()
    return outputs


def _mean_by_rows(x: Any) -> Any:
    """OpenVINO makes one sum of the two, and takes it exactly enough: 0.01 HU trained, 0.08 untrained over even air."""
    return operators.reduce_mean(operators.reduce_mean(x, [COLUMNS], keep_dims=True), [ROWS], keep_dims=True)


def _own_norm(node: Any) -> list[openvino.Output]:
    epsilon = node.get_attribute("epsilon")
    norm = operators.mvn(node.get_input(0), [ROWS, COLUMNS], True, epsilon, "inside_sqrt")
    outputs: list[openvino.Output] = norm.outputs()
    return outputs


def fingerprint(model: openvino.Model) -> str:
    """sha256 of a graph's operations, with their types, shapes and settings, in order; not of its weights.

    Together with the sha256 of the file that the weights are from, it says what runs: a certificate of a graph that was
    rewritten otherwise, or not at all, is not this graph's.
    """
    told = hashlib.sha256()
    for node in model.get_ordered_ops():
        ends = [f"{end.get_element_type().get_type_name()}{end.get_partial_shape()}" for end in node.outputs()]
        settings = "" if node.get_type_name() == "Constant" else sorted(node.get_attributes().items())
        told.update(f"{node.get_type_name()} {ends} {settings}\n".encode())
    return told.hexdigest()


def convolutions(model: openvino.Model, kind: str = "Convolution") -> list[openvino.Node]:
    """Those of a kind, in the graph's order."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() == kind]


def weights_of(convolution: openvino.Node) -> NDArray[np.float32] | None:
    """(outputs, inputs, rows, columns) of a convolution in fp32, None for one that is quantised.

    Of a transposed one (inputs, outputs, rows, columns).
    """
    source = convolution.input_value(1).get_node()
    if source.get_type_name() == "Convert":  # kept in half precision
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant":
        return None
    weights: NDArray[np.float32] = source.data.astype(np.float32)
    return weights
