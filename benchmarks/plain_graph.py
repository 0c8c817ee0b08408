"""The fp32 graph of a model in standard ONNX, for engines that do not inline the functions of a graph."""

from __future__ import annotations

from pathlib import Path

from mr2ct.model import Model, graph_file

PLAIN = "plain.onnx"  # in the folder that all contenders are given


def write_plain(model: Model, folder: Path) -> None:
    """Write the graph with its functions inlined; the numbers stay the same."""
    import onnx
    from onnx import inliner

    plain = inliner.inline_local_functions(onnx.load_from_string(model.read(graph_file("fp32"))))
    onnx.save(plain, folder / PLAIN)
