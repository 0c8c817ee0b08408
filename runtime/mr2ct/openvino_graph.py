"""A graph of a model as OpenVINO reads it, and what is done to it so that a CPU runs it exactly, or fast.

Precision is written into the graph, between Converts: OpenVINO keeps to it. Asked to choose by itself, with
INFERENCE_PRECISION_HINT bf16, it rounds the residual sums and the last layers too; a trained generator is then 1.3 HU
from PyTorch on average instead of 0.5 (benchmarks/LOG.md).
"""

from __future__ import annotations

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


def split_convolutions_to_one_channel(model: openvino.Model) -> None:
    """Take convolutions with a single channel of output apart, in place: the kernel's rows, then the sum over them.

    A CPU computes 16 channels of output at once, and would throw 15 away: the last convolution, 0.4 % of a generator's
    arithmetic, takes 45 ms of its 700 on one busy core, and in two parts 14 to 20.
    """
    for node in _convolutions(model):
        kernel = _weights(node)  # (outputs, inputs, rows, columns)
        if kernel is None or len(kernel) != 1 or kernel.shape[2] == 1:
            continue
        _, _, rows, _ = kernel.shape
        attributes = [node.get_attributes()[name] for name in ("strides", "pads_begin", "pads_end", "dilations")]
        if attributes != [[1, 1], [0, 0], [0, 0], [1, 1]]:
            continue
        each_row = np.ascontiguousarray(kernel[0].transpose(1, 0, 2)[:, :, np.newaxis])  # (rows, inputs, 1, columns)
        one_below_the_other = np.eye(rows, dtype=np.float32)[np.newaxis, :, :, np.newaxis]  # (1, rows, rows, 1)
        by_rows = operators.convolution(node.input_value(0), each_row, *attributes)
        summed = operators.convolution(by_rows, one_below_the_other, *attributes)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(summed.output(0))
    model.validate_nodes_and_infer_types()


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
    for convolution in _convolutions(model):
        kernel = _weights(convolution)
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
    yield from _convolutions(model, "ConvolutionBackpropData")[:-1]


def _only_follower(node: openvino.Node) -> openvino.Node | None:
    """The bias, norm or ReLU behind a node."""
    targets = [target.get_node() for target in node.output(0).get_target_inputs()]
    if len(targets) != 1:
        return None
    (after,) = targets
    kind = after.get_type_name()
    bias = kind == "Add" and any(end.get_node().get_type_name() == "Constant" for end in after.input_values())
    return after if bias or kind in ("MVN", "Relu") else None


def _convolutions(model: openvino.Model, kind: str = "Convolution") -> list[openvino.Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == kind]


def _weights(convolution: openvino.Node) -> NDArray[np.float32] | None:
    """(outputs, inputs, rows, columns) of a convolution in fp32, None for one that is quantised.

    Of a transposed one (inputs, outputs, rows, columns).
    """
    source = convolution.input_value(1).get_node()
    return source.data if source.get_type_name() == "Constant" else None
