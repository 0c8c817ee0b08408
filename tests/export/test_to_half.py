"""Half precision: the convolutions and nothing else, and close enough once a generator is trained."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_SLICES
from mr2ct.certificate import hu_difference
from mr2ct.model import open_model
from mr2ct_export.folder import Exported, export
from mr2ct_export.reference import answered
from mr2ct_export.to_half import CONVOLUTIONS, to_half
from mr2ct_export.to_onnx import ExportError, to_onnx
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import Generator

FP16 = "mr_to_ct.fp16.onnx"


@pytest.fixture(scope="module")
def plain(trained: Checkpoint) -> onnx.ModelProto:
    return to_onnx(trained.mr_to_ct, PAPER_SLICES)


@pytest.fixture(scope="module")
def half(plain: onnx.ModelProto) -> onnx.ModelProto:
    return to_half(plain)


@pytest.fixture(scope="module")
def kinds(half: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor of the graph, by the ONNX rules."""
    inferred = onnx.shape_inference.infer_shapes(half, check_type=True, strict_mode=True).graph
    entries = [*inferred.input, *inferred.output, *inferred.value_info]
    return {entry.name: entry.type.tensor_type.elem_type for entry in entries} | {
        tensor.name: tensor.data_type for tensor in inferred.initializer
    }


def nodes(graph: onnx.ModelProto, *operators: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type in operators]


def with_a_weight(graph: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    """A copy of the graph where the first number of a weight is another."""
    altered = onnx.ModelProto()
    altered.CopyFrom(graph)
    (tensor,) = (t for t in altered.graph.initializer if t.name == name)
    weights = onnx.numpy_helper.to_array(tensor).copy()
    weights.flat[0] = value
    tensor.CopyFrom(onnx.numpy_helper.from_array(weights, name))
    return altered


def with_really_half_convolutions(network: Generator) -> Generator:
    """The network as a GPU runs the half graph: inputs, weights and outputs are float16, but for the image's."""

    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(one.half() for one in inputs)

    def after(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output.float()

    halved = copy.deepcopy(network)
    for module in halved.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.in_channels > 1:
            module.half()
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after)
    return halved


def test_all_convolutions_but_the_one_of_the_image_run_in_half_weights_and_biases_included(
    half: onnx.ModelProto, kinds: dict[str, int]
) -> None:
    convolutions = nodes(half, *CONVOLUTIONS)
    assert len(convolutions) == 24
    for place, node in enumerate(convolutions):
        assert len(node.input) == 3
        wanted = TensorProto.FLOAT if place == 0 else TensorProto.FLOAT16
        assert {kinds[name] for name in (*node.input, *node.output)} == {wanted}


def test_everything_that_sums_or_squares_stays_in_single_precision(
    half: onnx.ModelProto, kinds: dict[str, int]
) -> None:
    for operator, count in (("InstanceNormalization", 23), ("Add", 9), ("Tanh", 1)):
        found = nodes(half, operator)
        assert len(found) == count
        for node in found:
            assert {kinds[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT}, node.name


def test_input_and_output_stay_in_single_precision(half: onnx.ModelProto) -> None:
    for (end,), name in ((half.graph.input, "mr"), (half.graph.output, "synthetic_ct")):
        assert end.name == name
        assert end.type.tensor_type.elem_type == TensorProto.FLOAT


def test_there_are_46_casts_two_around_each_of_these_convolutions(half: onnx.ModelProto) -> None:
    casts = Counter(node.attribute[0].i for node in nodes(half, "Cast"))
    assert casts == {TensorProto.FLOAT16: 23, TensorProto.FLOAT: 23}


def test_the_weights_are_the_single_precision_ones_rounded(plain: onnx.ModelProto, half: onnx.ModelProto) -> None:
    before, after = (
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
        for graph in (plain, half)
    )
    assert before.keys() == after.keys()
    halved = {name for node in nodes(half, *CONVOLUTIONS)[1:] for name in node.input[1:]}
    for name, values in before.items():
        wanted = values.astype(np.float16) if name in halved else values
        assert after[name].dtype == wanted.dtype
        np.testing.assert_array_equal(after[name], wanted)


def test_the_file_is_half_as_large(trained_export: Exported) -> None:
    sizes = {name: facts.bytes for name, facts in trained_export.card.files.items()}
    assert sizes[FP16] < 0.6 * sizes["mr_to_ct.fp32.onnx"]


def test_the_given_graph_is_left_alone(plain: onnx.ModelProto) -> None:
    before = plain.SerializeToString(deterministic=True)
    to_half(plain)
    assert plain.SerializeToString(deterministic=True) == before


def test_a_generator_trained_a_little_passes_in_half_precision(trained_export: Exported) -> None:
    assert trained_export.refused == ()
    certificate = trained_export.card.certificate(FP16)
    assert certificate is not None
    assert 0 < certificate.mean_hu <= 0.25
    assert certificate.p99_9_hu <= 5


def test_a_generator_trained_a_little_passes_where_convolutions_really_compute_in_half(
    trained: Checkpoint, trained_export: Exported, trained_folder: Path
) -> None:
    assert trained_export.card.files
    reference = open_model(trained_folder).reference()
    mr, wanted, head = reference.mr[:1], reference.synthetic_ct[:1], reference.head[:1]
    answer = answered(mr, head, with_really_half_convolutions(trained.mr_to_ct)).synthetic_ct
    error = hu_difference(answer, wanted, PAPER_CT_WINDOW_HU)[:, 0][head]
    assert 0 < error.mean() <= 0.25
    assert np.percentile(error, 99.9) <= 5


def test_a_generator_whose_half_convolutions_overflow_is_refused(trained: Checkpoint, tmp_path: Path) -> None:
    network = copy.deepcopy(trained.mr_to_ct)
    convolution = network.residual[0].get_submodule("body.1")
    assert isinstance(convolution, nn.Conv2d)
    with torch.no_grad():  # InstanceNorm takes the factor out again; the weights themselves fit
        convolution.weight *= 30_000 / convolution.weight.abs().max()
    largest: list[float] = []
    convolution.register_forward_hook(lambda _, __, output: largest.append(float(output.abs().max())))
    assert trained.reference is not None
    mr, head = (part.numpy()[:1] for part in trained.reference)
    reference = answered(mr, head, network)
    if not (max(largest) > 65504 and np.isfinite(reference.synthetic_ct).all()):
        pytest.fail("the generator does not do what this test is about", pytrace=False)
    loud = Checkpoint(mr_to_ct=network, mr_window=trained.mr_window)
    assert len(export(loud, reference, tmp_path / "model", fp16=True).refused) == 1


@pytest.mark.parametrize("value", [1e5, -1e5, np.inf, np.nan])
def test_a_weight_that_half_precision_cannot_hold_is_refused_and_named(value: float, plain: onnx.ModelProto) -> None:
    with pytest.raises(ExportError, match=r"residual\.4\.body\.5\.weight: .* does not fit in fp16") as refused:
        to_half(with_a_weight(plain, "residual.4.body.5.weight", value))
    assert "\n" not in str(refused.value)


def test_the_largest_number_of_half_precision_still_fits(plain: onnx.ModelProto) -> None:
    half = to_half(with_a_weight(plain, "exit.1.bias", 65504))
    (bias,) = (t for t in half.graph.initializer if t.name == "exit.1.bias")
    assert onnx.numpy_helper.to_array(bias)[0] == 65504


def test_a_weight_that_two_convolutions_share_is_halved_for_both(plain: onnx.ModelProto) -> None:
    sharing = onnx.ModelProto()
    sharing.CopyFrom(plain)
    _, one, other, *_ = nodes(sharing, "Conv")[2:]
    other.input[1] = one.input[1]
    half = to_half(sharing)  # the checker would not pass mixed types
    assert len(nodes(half, *CONVOLUTIONS)) == 24
