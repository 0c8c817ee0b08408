"""The first two normalisations of the fp32 graph, with their sums taken row by row.

onnxruntime's CPU kernel adds up the 65,536 pixels of a channel one behind the other in float32. Over the even air
around a head the rounding goes one way, 4e-4 of a standard deviation after the first InstanceNorm, and the layers
behind it make up to 3.6 HU of that. Sums over rows, then over the column of row sums, for the first norm leave 0.16 HU,
for the first two 0.05 HU, for all twenty-three 0.03 HU; the first two cost no time that can be measured. (onnxruntime
1.32, untrained generators, the worst of two real heads.)

The sums are spelled out in a function of the model's own, mr2ct.InstanceNormalization, which ONNX readers inline.
"""

from __future__ import annotations

import onnx
from onnx import helper

DOMAIN = "mr2ct"
NORM = "InstanceNormalization"
EXACT_NORMS = 2  # those at 256 x 256 and 128 x 128 pixels, before the residual blocks

_BODY = """
<opset_import: ["" : {opset}], domain: "mr2ct">
InstanceNormalization <epsilon: float> (x) => (y)
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


def with_exact_norms(graph: onnx.ModelProto, opset: int, count: int = EXACT_NORMS) -> onnx.ModelProto:
    """A copy of a graph whose first count InstanceNormalizations (scale 1, bias 0) are mr2ct.InstanceNormalization."""
    exact = onnx.ModelProto()
    exact.CopyFrom(graph)
    for node in [node for node in exact.graph.node if node.op_type == NORM][:count]:
        node.domain = DOMAIN
        del node.input[1:]
    exact.functions.append(onnx.parser.parse_function(_BODY.format(opset=opset)))
    exact.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(exact, full_check=True)
    return exact
