"""The normalisations of the fp32 graph, with their sums taken row by row.

onnxruntime's CPU kernel adds up the 65,536 pixels of a channel one behind the other in float32. Over the even air
around a head the rounding goes one way, 4e-4 of a standard deviation after the first InstanceNorm, and the layers
behind it make up to 3.6 HU of that. Sums over rows, then over the column of row sums, for the first norm leave 0.16 HU,
for the first two 0.06 HU, for all of them 0.02 HU, at no cost in time that can be measured (onnxruntime 1.32, untrained
generators, real heads; benchmarks/LOG.md).

The sums are spelled out in a function of the model's own, mr2ct.InstanceNormalizationByRows, which ONNX readers inline.
Its name is its own too: TensorRT's parser goes by the name of a node and not by its domain, takes any
InstanceNormalization for ONNX's, and then misses its scale (seen with TensorRT-RTX 1.7.1).
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from mr2ct_export.to_onnx import ExportError

DOMAIN = "mr2ct"
NORM, EXACT_NORM = "InstanceNormalization", "InstanceNormalizationByRows"

_BODY = """
<opset_import: ["" : {opset}], domain: "mr2ct">
InstanceNormalizationByRows <epsilon: float> (x) => (y)
{{
    along_row = Constant <value_ints = [3]> ()
    along_column = Constant <value_ints = [2]> ()
    row_means = ReduceMean <keepdims = 1> (x, along_row)
    mean = ReduceMean <keepdims = 1> (row_means, along_column)
    centred = Sub (x, mean)
    squares = Mul (centred, centred)
    row_variances = ReduceMean <keepdims = 1> (squares, along_row)
    variance = ReduceMean <keepdims = 1> (row_variances, along_column)
    smallest = Constant <value_float: float = @epsilon> ()
    raised = Add (variance, smallest)
    deviation = Sqrt (raised)
    y = Div (centred, deviation)
}}
"""


def with_exact_norms(graph: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy of a graph in which every InstanceNormalization is mr2ct.InstanceNormalizationByRows.

    Raises ExportError for a norm with an affine part (scale other than 1, bias other than 0), which the function lacks.
    """
    exact = onnx.ModelProto()
    exact.CopyFrom(graph)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in exact.graph.initializer}
    for node in exact.graph.node:
        if node.op_type == NORM:
            scale, bias = (weights[name] for name in node.input[1:])
            if not ((scale == 1).all() and (bias == 0).all()):
                raise ExportError(f"{node.name}: an InstanceNorm with scale or bias; generators have none")
            node.domain, node.op_type = DOMAIN, EXACT_NORM
            del node.input[1:]
    used = {name for node in exact.graph.node for name in node.input}
    kept = [tensor for tensor in exact.graph.initializer if tensor.name in used]
    del exact.graph.initializer[:]
    exact.graph.initializer.extend(kept)
    exact.functions.append(onnx.parser.parse_function(_BODY.format(opset=opset)))
    exact.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(exact, full_check=True)
    return exact
