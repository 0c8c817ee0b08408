"""Weights that a graph keeps in eight bits become constants of TensorRT's network, like those of any other graph.

Left as they are, each would be what a layer makes while the engine runs, or half of a quantised convolution: TensorRT
would choose among other kernels than for weights that it knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.eight_bits import UNPACK, unpacked


def unpack(library: Any, network: Any) -> list[NDArray[Any]]:
    """Put constants in the place of what unpacks weights, in a network as TensorRT's parser made it of a graph.

    library: the Python module of the flavour.  Returns the weights, which the caller keeps until the engine is built:
    TensorRT only points at them.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(0).name: layer for layer in layers if layer.num_outputs == 1}
    constants: dict[str, Any] = {}  # by the name of what they replace
    kept = []
    for layer in layers:
        if layer.type != library.LayerType.DEQUANTIZE or not layer.name.endswith(UNPACK):
            continue
        sources = [makers.get(layer.get_input(index).name) for index in range(2)]
        if not all(source is not None and source.type == library.LayerType.CONSTANT for source in sources):
            continue  # a graph that is not of mr2ct-export has such a name for something else
        result = layer.get_output(0)
        whole, step = (_numbers(library, source) for source in sources)
        layer.__class__ = library.IDequantizeLayer
        half = result.dtype == library.DataType.HALF
        weights = unpacked(whole.reshape(tuple(result.shape)), step, layer.axis)
        kept.append(np.ascontiguousarray(weights.astype(np.float16 if half else np.float32)))
        constant = network.add_constant(result.shape, library.Weights(kept[-1]))
        constant.name = f"{layer.name}.constant"
        constants[result.name] = constant.get_output(0)
    for layer in layers:
        for index in range(layer.num_inputs):
            source = layer.get_input(index)
            if source is not None and source.name in constants:
                layer.set_input(index, constants[source.name])
    return kept


def _numbers(library: Any, constant: Any) -> NDArray[Any]:
    """A copy of a constant layer's numbers. Python is given every layer of a network as one of no kind."""
    constant.__class__ = library.IConstantLayer
    return np.array(constant.weights)
