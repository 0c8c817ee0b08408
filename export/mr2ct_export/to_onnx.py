"""A generator becomes an ONNX graph in fp32."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import nn

from mr2ct.card import SliceGrid

OPSET = 20  # what torch 2.13 writes by itself; onnxruntime >= 1.17, OpenVINO and TensorRT >= 10 read it
MAX_BATCH = 183  # the paper's volume in one call
INPUT, OUTPUT = "mr", "synthetic_ct"


class ExportError(RuntimeError):
    """The graph is not what it has to be; one line."""


def to_onnx(generator: nn.Module, slices: SliceGrid, ends: tuple[str, str] = (INPUT, OUTPUT)) -> onnx.ModelProto:
    """The generator as a graph: "mr" (batch, 1, rows, columns) float32 to "synthetic_ct", batch from 1 to MAX_BATCH.

    ends: other names of its input and output.
    Raises ExportError when the exporter fails, or when InstanceNorm did not arrive as InstanceNormalization: taken
    apart into BatchNorm or into means and square roots it runs slower, and in half precision overflows.
    """
    example = torch.zeros(2, 1, slices.rows, slices.columns)
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                generator.eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=ends[:1],
                output_names=ends[1:],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},),
                verbose=False,
            )
    except Exception as error:  # the exporter's, of many lines; Ctrl-C while it imports its parts becomes one of them
        if _was_stopped(error):
            raise KeyboardInterrupt from error
        raise ExportError(
            f"torch {torch.__version__} could not export the generator ({type(error).__name__})"
        ) from error
    assert program is not None  # only without dynamo
    graph = program.model_proto
    _forget_the_machine(graph)
    onnx.checker.check_model(graph, full_check=True)
    found, wanted = operators(graph), _operators_of(generator)
    if any(found[name] != count for name, count in wanted.items()):
        raise ExportError(f"the exporter wrote {dict(found)} where the generator has {dict(wanted)}; use torch 2.13")
    return graph


def _was_stopped(error: BaseException | None) -> bool:
    """Whether a KeyboardInterrupt is behind an error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """torch 2.13's exporter warns of its own deprecated calls and of torchvision; what it writes is checked instead."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def operators(graph: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each operator a graph has."""
    return Counter(node.op_type for node in graph.graph.node)


def _operators_of(generator: nn.Module) -> Counter[str]:
    names = {nn.Conv2d: "Conv", nn.ConvTranspose2d: "ConvTranspose", nn.InstanceNorm2d: "InstanceNormalization"}
    return Counter(names[type(module)] for module in generator.modules() if type(module) in names)


def _forget_the_machine(graph: onnx.ModelProto) -> None:
    """Drop the exporter's notes (stack traces with local paths), so that the same weights give the same bytes."""
    entries = [graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    for entry in [*entries, *graph.graph.initializer]:
        del entry.metadata_props[:]
        if hasattr(entry, "doc_string"):
            entry.doc_string = ""
