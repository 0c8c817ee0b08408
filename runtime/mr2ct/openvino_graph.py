"""A graph of a model as OpenVINO reads it, and what is done to it so that a CPU runs it exactly, or fast.

Precision is written into the graph, between Converts: OpenVINO keeps to it. Asked to choose by itself, with
INFERENCE_PRECISION_HINT bf16, it rounds the residual sums and the last layers too; a trained generator is then 1.3 HU
from PyTorch on average instead of 0.5 (benchmarks/LOG.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.openvino_library import ConversionExtension, openvino, operators

# The model's own function, by the names it has had; OpenVINO 2026.4 does not inline functions of a graph.
DOMAIN, NORMS = "mr2ct", ("InstanceNormalizationByRows", "InstanceNormalization")
ROWS, COLUMNS = 2, 3  # axes of (batch, channel, row, column)
# The beginning of an ONNX entry key = "location", of a weight that lies in another file.
IN_ANOTHER_FILE = b"\n\x08location"
FLOAT, BFLOAT = openvino.Type.f32, openvino.Type.bf16


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
    return model


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


def narrow(model: openvino.Model) -> None:
    """Put the inner convolutions of an fp32 graph into bfloat16, in place, with the norms between them.

    What reads or writes an image, the last transposed convolution and the residual sums stay as they are, and so does
    what is quantised: these are the places where rounding costs most (benchmarks/LOG.md).
    """
    inside = {node.get_friendly_name() for node in _inner(model)}
    for node in model.get_ordered_ops():
        if node.get_friendly_name() not in inside:
            continue
        targets = node.output(0).get_target_inputs()
        for end in node.inputs():
            if end.get_source_output().get_element_type() == FLOAT:
                end.replace_source_output(operators.convert(end.get_source_output(), BFLOAT).output(0))
        node.validate_and_infer_types()
        outside = [target for target in targets if target.get_node().get_friendly_name() not in inside]
        if outside:
            back = operators.convert(node.output(0), FLOAT).output(0)
            for target in outside:
                target.replace_source_output(back)
    model.validate_nodes_and_infer_types()


def _inner(model: openvino.Model) -> Iterator[openvino.Node]:
    """The convolutions between several channels, the padding before each, and bias, norm and ReLU behind it.

    Of the transposed ones all but the last, by themselves: what follows one goes into the next, which is in fp32. In
    bf16 the first adds 0.2 HU to a mean error of 0.5 and the last 0.4, for the same time saved.
    """
    for convolution in convolutions(model):
        kernel = weights_of(convolution)
        if kernel is None or 1 in kernel.shape[:2]:
            continue
        yield convolution
        padding = convolution.input_value(0).get_node()
        if padding.get_type_name() == "Pad":
            yield padding
        node = convolution
        while (after := _only_follower(node)) is not None:
            yield after
            node = after
    yield from convolutions(model, "ConvolutionBackpropData")[:-1]


def _only_follower(node: openvino.Node) -> openvino.Node | None:
    """The bias, norm or ReLU behind a node."""
    targets = [target.get_node() for target in node.output(0).get_target_inputs()]
    if len(targets) != 1:
        return None
    (after,) = targets
    kind = after.get_type_name()
    bias = kind == "Add" and any(end.get_node().get_type_name() == "Constant" for end in after.input_values())
    return after if bias or kind in ("MVN", "Relu") else None


def convolutions(model: openvino.Model, kind: str = "Convolution") -> list[openvino.Node]:
    """Those of a kind, in the graph's order."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() == kind]


def weights_of(convolution: openvino.Node) -> NDArray[np.float32] | None:
    """(outputs, inputs, rows, columns) of a convolution in fp32, None for one that is quantised.

    Of a transposed one (inputs, outputs, rows, columns).
    """
    source = convolution.input_value(1).get_node()
    return source.data if source.get_type_name() == "Constant" else None
