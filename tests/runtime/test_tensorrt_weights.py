"""TensorRT is given the weights themselves, however a graph keeps them: by the real parser and builder, on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from mr2ct.card import PAPER_SLICES, FixedWindow
from mr2ct.tensorrt_builder import NO_FOLDER, BuildOptions, build
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_weights import unpack
from mr2ct_export.packed_weights import rounded, with_packed_weights
from mr2ct_export.to_half import to_half
from mr2ct_export.to_onnx import to_onnx
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import Generator, GeneratorConfig, untrained
from rtx_wheels import open_rtx

Precision = Callable[[onnx.ModelProto], onnx.ModelProto]
WHOLE = BuildOptions(max_batch=183)


def as_it_is(graph: onnx.ModelProto) -> onnx.ModelProto:
    return graph


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    return open_rtx()


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A narrow one, of weights that eight bits hold."""
    whole = untrained(GeneratorConfig(width=8, blocks=1), seed=0).eval()
    return rounded(Checkpoint(whole, FixedWindow(0, 1)), "int8").mr_to_ct


def kernels(library: Any, network: Any) -> dict[str, np.ndarray]:
    """The weights of every convolution that are constants, by the names of the layers."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(0).name: layer for layer in layers}
    found = {}
    for layer in layers:
        if layer.type in (library.LayerType.CONVOLUTION, library.LayerType.DECONVOLUTION):
            maker = makers[layer.get_input(1).name]
            if maker.type == library.LayerType.CONSTANT:
                maker.__class__ = library.IConstantLayer
                found[layer.name] = np.array(maker.weights).reshape(tuple(maker.shape))
    return found


@pytest.mark.parametrize(("precision", "kind"), [(as_it_is, np.float32), (to_half, np.float16)], ids=["fp32", "fp16"])
def test_every_convolution_has_its_weights_as_constants_of_the_graphs_type(
    precision: Precision, kind: type[np.generic], rtx: Flavour, generator: Generator
) -> None:
    library, voice = rtx.library, rtx.library.Logger(rtx.library.Logger.ERROR)
    network = library.Builder(voice).create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, voice)
    graph = with_packed_weights(precision(to_onnx(generator, PAPER_SLICES)), "int8")
    assert parser.parse(graph.SerializeToString(), NO_FOLDER)
    assert not kernels(library, network)
    kept = unpack(library, network)
    found = kernels(library, network)
    expected = [weight.detach().numpy() for weight in generator.parameters() if weight.ndim == 4]
    assert len(found) == len(kept) == len(expected)
    for one, other in zip(found.values(), expected, strict=True):
        assert np.array_equal(one, other)
    assert [one.dtype for one in found.values()] == [np.float32, *[np.dtype(kind)] * (len(expected) - 1)]


@pytest.mark.parametrize("precision", [as_it_is, to_half], ids=["fp32", "fp16"])
def test_the_plan_is_as_large_as_that_of_the_same_weights_kept_whole(
    precision: Precision, rtx: Flavour, generator: Generator
) -> None:
    whole = precision(to_onnx(generator, PAPER_SLICES))
    packed = with_packed_weights(whole, "int8")
    assert packed.ByteSize() < 0.6 * whole.ByteSize()
    plans = [build(rtx, graph.SerializeToString(), WHOLE).plan for graph in (whole, packed)]
    assert len(plans[1]) == pytest.approx(len(plans[0]), rel=0.02)


def test_a_node_that_only_has_the_name_is_left_as_it_is(rtx: Flavour) -> None:
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["mr", "step", "zero"], ["whole"], name="mr.whole"),
        onnx.helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["synthetic_ct"], name="mr.unpacked"),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 1, 256, 256])
        for name in ("mr", "synthetic_ct")
    ]
    numbers = [
        onnx.numpy_helper.from_array(np.array(0.01, np.float32), "step"),
        onnx.numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    graph = onnx.helper.make_graph(nodes, "small", ends[:1], ends[1:], numbers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    assert build(rtx, model.SerializeToString(), WHOLE).plan
