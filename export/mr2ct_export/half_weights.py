"""Weights in half precision on disk: a model folder half as large, whose graphs still compute in fp32.

The generator is rounded before anything is measured, so that everything is proved against PyTorch with these very
weights; nothing is lost afterwards.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mr2ct_training.checkpoint import Checkpoint

KERNEL = 4  # axes of a convolution's weight: outputs, inputs, rows, columns


def rounded(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with its generators' convolution weights rounded to the nearest that fp16 holds."""
    there, back = copy.deepcopy((checkpoint.mr_to_ct, checkpoint.ct_to_mr))
    for weight in (*there.parameters(), *(back.parameters() if back is not None else ())):
        if weight.ndim == KERNEL:
            weight.data = weight.data.half().float()
    training = {**checkpoint.training, "weights": "rounded to fp16"}
    return replace(checkpoint, mr_to_ct=there, ct_to_mr=back, training=training)


def with_half_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph in which fp32 weights that fp16 holds exactly are kept so, and cast when it is loaded."""
    packed = onnx.ModelProto()
    packed.CopyFrom(graph)
    casts = []
    for tensor in packed.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != KERNEL:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *packed.graph.node]
    del packed.graph.node[:]
    packed.graph.node.extend(nodes)
    onnx.checker.check_model(packed, full_check=True)
    return packed
