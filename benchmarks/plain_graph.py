"""The fp32 graph of a model in standard ONNX, for engines that do not inline the functions of a graph."""

from __future__ import annotations

from pathlib import Path

from mr2ct.model import Model, graph_file

PLAIN = "plain.onnx"  # in the folder that all contenders are given


def write_plain(model: Model, folder: Path) -> None:
    """Write the graph with its functions inlined and its weights in fp32; the numbers stay the same.

    So nobody else's engine unpacks weights for every slice, or takes them for those of an int8 graph.
    """
    import onnx
    from onnx import inliner, numpy_helper

    from mr2ct_export.packed_weights import unpacked

    plain = inliner.inline_local_functions(onnx.load_from_string(model.read(graph_file("fp32"))))
    weights = unpacked(plain.graph)
    unpacking = [node for node in plain.graph.node if node.output[0] in weights]
    packed = {name for node in unpacking for name in node.input}
    nodes = [node for node in plain.graph.node if node.output[0] not in weights]
    tensors = [tensor for tensor in plain.graph.initializer if tensor.name not in packed]
    tensors += [numpy_helper.from_array(weights[node.output[0]], node.output[0]) for node in unpacking]
    del plain.graph.node[:], plain.graph.initializer[:]
    plain.graph.node.extend(nodes)
    plain.graph.initializer.extend(tensors)
    onnx.checker.check_model(plain, full_check=True)
    onnx.save(plain, folder / PLAIN)
