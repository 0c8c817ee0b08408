"""Half precision in the graph: convolutions in fp16, everything that sums or squares in fp32.

TensorRT 11 has no fp16 builder flag any more: a network's types are what its graph says. Each convolution gets fp16
weights and stands between two Casts; input, output, InstanceNorm, residual sums and tanh stay fp32. InstanceNorm's
statistics in fp16 are where half-precision CycleGANs go wrong: https://github.com/microsoft/onnxruntime/issues/10079
The convolution that reads the image stays in fp32, too, 0.4 % of the work: near -1, where bone and air are, fp16 has
steps of half a thousandth, and what is lost there is in every layer behind (LOG.md: p99.9 of 6.0 and 1.2 HU).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mr2ct_export.to_onnx import ExportError

CONVOLUTIONS = ("Conv", "ConvTranspose")


def to_half(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an fp32 graph with its convolutions in fp16. Raises ExportError when a weight does not fit in fp16."""
    half = onnx.ModelProto()
    half.CopyFrom(graph)
    weights = {tensor.name: tensor for tensor in half.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in half.graph.node:
        if node.op_type not in CONVOLUTIONS or _reads_an_image(node, weights):
            nodes.append(node)
            continue
        for name in node.input[1:]:
            _halve(weights[name])
        source, result = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{source}_half_for_{node.name}", f"{result}_half"
        nodes.append(_cast(source, node.input[0], TensorProto.FLOAT16))
        nodes.append(node)
        nodes.append(_cast(node.output[0], result, TensorProto.FLOAT))
    del half.graph.node[:], half.graph.value_info[:]  # the intermediate types have changed; the checker infers them
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


def with_kept_casts(half: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an fp16 graph in which onnxruntime's CPU rounds where a GPU does; for proving, not for running.

    Without fp16 kernels it convolves in fp32 and drops the Casts on both sides: the rounding of activations, and their
    overflow beyond 65504, would go unseen (1.0 HU told where it is 1.5). A Transpose that changes nothing, on each side
    of a convolution, keeps the Casts (seen with onnxruntime 1.32).
    """
    kept = onnx.ModelProto()
    kept.CopyFrom(half)
    nodes: list[onnx.NodeProto] = []
    for node in kept.graph.node:
        if node.op_type not in CONVOLUTIONS:
            nodes.append(node)
            continue
        source, result = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{source}_kept", f"{result}_kept"
        nodes += [_unchanged(source, node.input[0]), node, _unchanged(node.output[0], result)]
    del kept.graph.node[:]
    kept.graph.node.extend(nodes)
    return kept


def _reads_an_image(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Of one channel; a transposed convolution's weight has its own channels first, and none of them reads an image."""
    return node.op_type == "Conv" and weights[node.input[1]].dims[1] == 1


def _unchanged(source: str, result: str) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [result], name=f"keep_{result}", perm=[0, 1, 2, 3])


def _halve(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        return
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        raise ExportError(f"{tensor.name}: a weight of {largest:g} does not fit in fp16; this generator stays fp32")
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))


def _cast(source: str, result: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], name=f"cast_{result}", to=to)
