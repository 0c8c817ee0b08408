"""The convolution that reads the image, kept exact where OpenVINO computes in bfloat16.

Bfloat16 has eight bits: of an MR in [-1, 1] it keeps no more than its grey values, and what is lost there is in every
layer behind. So the image comes as two parts that bfloat16 holds, x = high + low, and so do the weights; the products
high high + low high + high low are one convolution of three channels, summed in fp32. What is left out, low low, is
2**-17 of the whole. It costs a fiftieth of a slice's time, and takes 0.18 of 0.61 HU away (benchmarks/LOG.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.openvino_graph import convolutions, weights_of
from mr2ct.openvino_library import openvino, operators

STEPS = 128  # to each side of zero; -1, -127/128, ... 1 have eight bits
CHANNELS = 1  # axis of (batch, channel, row, column)

Array = NDArray[np.float32]


def read_in_parts(model: openvino.Model) -> openvino.Model | None:
    """The graph, changed in place, with an input of three channels, as in_parts gives them, in place of its image.

    None for a graph that does not begin with a convolution of its image, padded or not, in fp32; it is as it was.
    """
    (image,) = model.get_parameters()
    batch, channels, rows, columns = (size.get_length() for size in image.get_partial_shape())
    first = next(iter(convolutions(model)), None)
    kernel = None if first is None else weights_of(first)
    if first is None or kernel is None or channels != 1 or kernel.shape[CHANNELS] != 1:
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
    """(N, 1, rows, columns) in [-1, 1] as (N, 3, rows, columns): high, low, high; high + low is the image, exactly."""
    parts = np.empty((len(image), 3, *image.shape[2:]), np.float32)
    high, low, again = parts[:, :1], parts[:, 1:2], parts[:, 2:]
    np.rint(np.multiply(image, np.float32(STEPS), out=high), out=high)
    np.multiply(high, np.float32(1 / STEPS), out=high)
    np.subtract(image, high, out=low)
    again[...] = high
    return parts


def to_bfloat16(values: Array) -> Array:
    """The nearest bfloat16, ties to even, as float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return nearest
