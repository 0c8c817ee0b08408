"""Weights in fewer bits on disk: a model folder of half or a quarter of the size, whose graphs still compute in fp32.

The generator is rounded before anything is measured, so that everything is proved against PyTorch with these very
weights; nothing is lost afterwards. In eight bits a weight is a whole number of its channel's steps. Steps have four
significant bits, so that each product has the eleven of fp16 at most: the fp16 graph holds the same weights.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.eight_bits import UNPACK
from mr2ct.eight_bits import unpacked as _unpacked
from mr2ct_training.checkpoint import Checkpoint

KERNEL = 4  # axes of a convolution's weight: outputs, inputs, rows, columns; of a transposed one: inputs, outputs, ...
STEPS = 127  # of int8 to each side of zero
STEP_BITS = 4
HALF, EIGHT, STEP = ".half", ".int8", ".step"  # end the names of what is kept instead of a weight

Packing = Literal["fp32", "fp16", "int8"]
Numbers = NDArray[np.float32]


def rounded(checkpoint: Checkpoint, packing: Packing) -> Checkpoint:
    """The checkpoint with its generators' convolution weights rounded to the nearest that a packing holds."""
    if packing == "fp32":
        return checkpoint
    there, back = copy.deepcopy((checkpoint.mr_to_ct, checkpoint.ct_to_mr))
    for network in (there, *(() if back is None else (back,))):
        transposed = {id(one.weight) for one in network.modules() if isinstance(one, torch.nn.ConvTranspose2d)}
        for weight in network.parameters():
            if weight.ndim == KERNEL:
                values = weight.detach().numpy()
                if packing == "fp16":
                    nearest = _half(values).astype(np.float32)
                else:
                    step = _least_step(values, outputs=int(id(weight) in transposed))
                    nearest = np.rint(values / step) * step
                weight.data = torch.from_numpy(nearest)
    training = {**checkpoint.training, "weights": f"rounded to {packing}"}
    return replace(checkpoint, mr_to_ct=there, ct_to_mr=back, training=training)


def with_packed_weights(graph: onnx.ModelProto, packing: Packing) -> onnx.ModelProto:
    """A copy of a graph in which the weights that a packing holds exactly are kept so, and unpacked on loading.

    Weights of an fp16 graph that eight bits hold are the same bytes there as in the fp32 graph; only steps differ.
    """
    packed = onnx.ModelProto()
    packed.CopyFrom(graph)
    transposed = {node.input[1] for node in packed.graph.node if node.op_type == "ConvTranspose"}
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for tensor in packed.graph.initializer:
        kept = None
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16) and len(tensor.dims) == KERNEL:
            kept = _packed(tensor, packing, outputs=int(tensor.name in transposed))
        if kept is None:
            tensors.append(tensor)
        else:
            nodes += kept[0]
            tensors += kept[1]
    nodes += packed.graph.node
    del packed.graph.node[:], packed.graph.initializer[:]
    packed.graph.node.extend(nodes)
    packed.graph.initializer.extend(tensors)
    onnx.checker.check_model(packed, full_check=True)
    return packed


def unpacked(graph: onnx.GraphProto) -> dict[str, Numbers]:
    """The floating-point tensors of a graph by the names they have unpacked, float32."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    found: dict[str, Numbers] = {}
    for node in graph.node:
        if node.name.endswith(UNPACK):
            whole, step = (numpy_helper.to_array(tensors[name]) for name in node.input)
            found[node.output[0]] = _unpacked(whole, step, axis=node.attribute[0].i)
    for name, tensor in tensors.items():
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16) and not name.endswith(STEP):
            found[name.removesuffix(HALF)] = numpy_helper.to_array(tensor).astype(np.float32)
    return found


def packing_of(graph: onnx.GraphProto) -> Packing:
    """How the weights of a graph are kept."""
    endings = {tensor.name[tensor.name.rfind(".") :] for tensor in graph.initializer}
    return "int8" if EIGHT in endings else "fp16" if HALF in endings else "fp32"


def _packed(
    tensor: onnx.TensorProto, packing: Packing, outputs: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]] | None:
    """The nodes that unpack a weight and what they unpack; None where the packing does not hold it."""
    name, kept = tensor.name, numpy_helper.to_array(tensor)
    values = kept.astype(np.float32)
    if packing == "fp16" and kept.dtype == np.float32:
        half = _half(values)
        if np.array_equal(half.astype(np.float32), values):
            cast = helper.make_node("Cast", [name + HALF], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
            return [cast], [numpy_helper.from_array(half, name + HALF)]
    if packing == "int8":
        step = _least_step(values, outputs)
        # a channel's largest weight may have been rounded down, to which a smaller step would reach
        step = np.where(_is_whole(values, step, outputs), step, _rounded_up(step * np.float32(1.01)))
        typed = step.astype(kept.dtype)  # what comes out is of the steps' type
        if _is_whole(values, step, outputs).all() and np.array_equal(typed.astype(np.float32), step):
            whole = numpy_helper.from_array(np.rint(values / step).astype(np.int8), name + EIGHT)
            steps = numpy_helper.from_array(typed.ravel(), name + STEP)
            ends, unpack = [name + EIGHT, name + STEP], name + UNPACK  # DequantizeLinear: TensorRT casts no int8
            return [helper.make_node("DequantizeLinear", ends, [name], name=unpack, axis=outputs)], [whole, steps]
    return None


def _least_step(values: Numbers, outputs: int) -> Numbers:
    """The least step by which 127 reach every weight of a channel of output, (outputs, 1, 1, 1) or (1, outputs, 1, 1).

    outputs: the axis of these channels.
    """
    axes = tuple(axis for axis in range(KERNEL) if axis != outputs)
    most = np.abs(values).max(axis=axes, keepdims=True)
    return _rounded_up(np.where(most > 0, most / STEPS, 1).astype(np.float32))


def _is_whole(values: Numbers, step: Numbers, outputs: int) -> NDArray[np.bool_]:
    """Of each channel of output whether all its weights are whole steps, in the shape of step."""
    whole = np.rint(values / step)
    axes = tuple(axis for axis in range(KERNEL) if axis != outputs)
    fits: NDArray[np.bool_] = ((whole * step == values) & (np.abs(whole) <= STEPS)).all(axis=axes, keepdims=True)
    return fits


def _rounded_up(steps: Numbers) -> Numbers:
    """To STEP_BITS significant bits."""
    mantissa, exponent = np.frexp(steps)
    up: Numbers = np.ldexp(np.ceil(mantissa * 2**STEP_BITS) / 2**STEP_BITS, exponent).astype(np.float32)
    return up


def _half(values: Numbers) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)
