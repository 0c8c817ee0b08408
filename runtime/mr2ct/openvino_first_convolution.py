"""The convolution that reads the image, kept exact where OpenVINO computes in bfloat16.

Bfloat16 has eight bits: of an MR in [-1, 1] it keeps no more than its grey values, and what is lost there is in every
layer behind. Two things keep it:

- The image comes as two parts that bfloat16 holds, x = high + low, and so do the weights; the products high high +
  low high + high low are one convolution of three channels, summed in fp32. What is left out, low low, is 2**-17.
- Air, -1, becomes 0. That adds a constant to each channel of output, because the padding is a reflection, and
  InstanceNorm takes it out again. Left in, it is large beside what the norm makes of a slice that is mostly air.

Together they cost a fiftieth of a slice's time; 30 slices of three heads: mean 1.04 to 0.60 HU, 99.9th percentile 36
to 14 HU (benchmarks/LOG.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.openvino_graph import convolutions, weights_of
from mr2ct.openvino_library import openvino, operators

AIR = np.float32(-1)
CHANNELS = 1  # axis of (batch, channel, row, column)

Array = NDArray[np.float32]


def read_in_parts(model: openvino.Model) -> openvino.Model | None:
    """The graph, changed in place, with an input of three channels, as in_parts gives them, in place of its image.

    None for a graph that does not begin with a reflection, a convolution in fp32 and a norm; it is as it was.
    """
    (image,) = model.get_parameters()
    batch, channels, rows, columns = (size.get_length() for size in image.get_partial_shape())
    first = next(iter(convolutions(model)), None)
    kernel = None if first is None else weights_of(first)
    if first is None or kernel is None or channels != 1 or kernel.shape[CHANNELS] != 1 or not _takes_a_constant(first):
        return None
    parts = operators.parameter([batch, 3, rows, columns], np.float32, name=image.get_friendly_name())
    for target in image.output(0).get_target_inputs():
        target.replace_source_output(parts.output(0))
    high = to_bfloat16(kernel)
    exact = np.concatenate([high, high, to_bfloat16(kernel - high)], axis=CHANNELS)
    first.input(1).replace_source_output(operators.constant(exact).output(0))
    rewritten = openvino.Model(model.get_results(), [parts], model.get_friendly_name())
    rewritten.validate_nodes_and_infer_types()
    return rewritten


def in_parts(image: Array) -> Array:
    """(N, 1, rows, columns) in [-1, 1] as (N, 3, rows, columns): high, low, high; high + low is the image over air."""
    parts = np.empty((len(image), 3, *image.shape[2:]), np.float32)
    over_air = image - AIR
    high = to_bfloat16(over_air)
    parts[:, :1] = parts[:, 2:] = high
    np.subtract(over_air, high, out=parts[:, 1:2])
    return parts


def to_bfloat16(values: Array) -> Array:
    """The nearest bfloat16, ties to even, as float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return nearest


def _takes_a_constant(convolution: openvino.Node) -> bool:
    """Whether adding a constant to its input changes nothing behind the norm that follows it."""
    before, pads = convolution.input_value(0).get_node(), convolution.get_attributes()
    if before.get_type_name() != "Pad" or before.get_attributes()["pad_mode"] != "reflect":
        return False
    node = convolution
    while node.get_type_name() != "MVN":
        readers = [target.get_node() for target in node.output(0).get_target_inputs()]
        behind = [reader for reader in readers if reader.get_type_name() in ("Add", "MVN")]  # a bias, the norm
        if len(behind) != 1:
            return False
        (node,) = behind
    return not any([*pads["pads_begin"], *pads["pads_end"]])
