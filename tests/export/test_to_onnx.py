"""The graph is the generator, whole, and nothing of the machine it was made on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_SLICES
from mr2ct.certificate import hu_difference
from mr2ct.choosing import Choice, choose_backend
from mr2ct.model import Model, Reference, open_model
from mr2ct_export.exact_norm import EXACT_NORM
from mr2ct_export.folder import Exported
from mr2ct_export.to_onnx import MAX_BATCH, ExportError, to_onnx
from mr2ct_training.checkpoint import Checkpoint

CHECKOUT = Path(__file__).resolve().parents[2]
TORCH = Path(torch.__file__).resolve().parent


@pytest.fixture(scope="module")
def model(full_size_export: Exported, full_size_folder: Path) -> Model:
    assert full_size_export.card.files
    return open_model(full_size_folder)


@pytest.fixture(scope="module")
def graph(model: Model) -> onnx.ModelProto:
    return onnx.load_from_string(model.read("mr_to_ct.fp32.onnx"))


@pytest.fixture(scope="module")
def engines(model: Model, trained_export: Exported, trained_folder: Path) -> dict[str, Choice]:
    assert trained_export.card.files
    models = {"full size": model, "trained": open_model(trained_folder)}
    return {name: choose_backend(opened, "cpu", "fp32") for name, opened in models.items()}


def test_every_layer_arrives_as_one_node_of_its_kind(graph: onnx.ModelProto) -> None:
    found = Counter(node.op_type for node in graph.graph.node)
    assert found[EXACT_NORM] == 23
    assert found["Conv"] == 22
    assert found["ConvTranspose"] == 2
    assert found["Tanh"] == 1
    assert found["BatchNormalization"] == 0


def test_the_graph_holds_the_generator_s_weights_to_the_last_bit(graph: onnx.ModelProto, full_size: Checkpoint) -> None:
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    weights = {name: w for name, w in full_size.mr_to_ct.state_dict().items() if name.endswith("weight")}
    assert len(weights) == 24
    for name, weight in weights.items():
        np.testing.assert_array_equal(held[name], weight.numpy())


def test_names_opset_and_sizes_are_the_card_s(graph: onnx.ModelProto, model: Model) -> None:
    card = model.card
    assert {entry.domain: entry.version for entry in graph.opset_import}[""] == card.opset
    for (end,), name in ((graph.graph.input, card.input_name), (graph.graph.output, card.output_name)):
        assert end.name == name
        assert end.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        batch, *sizes = end.type.tensor_type.shape.dim
        assert batch.dim_param == "batch"
        assert [size.dim_value for size in sizes] == [1, card.slices.rows, card.slices.columns]
    assert card.max_batch == MAX_BATCH == 183


@pytest.mark.parametrize(("name", "batch"), [("full size", 2), ("trained", 2), ("trained", 5)])
def test_a_slice_is_answered_alike_alone_and_in_a_batch(
    name: str, batch: int, engines: dict[str, Choice], full_size_reference: Reference
) -> None:
    mr = full_size_reference.mr
    slices = np.concatenate([mr, mr[:, :, ::-1], mr[:1, :, :, ::-1]])[:batch]  # all different
    engine = engines[name].backend
    alone = np.concatenate([engine.run(slices[n : n + 1]) for n in range(batch)])
    together = engine.run(slices)
    assert hu_difference(together, alone, PAPER_CT_WINDOW_HU).max() < 0.01
    assert hu_difference(alone[:1], alone[1:2], PAPER_CT_WINDOW_HU).max() > 1


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(model: Model) -> None:
    content = model.read("mr_to_ct.fp32.onnx")
    for place in (Path.home(), CHECKOUT, CHECKOUT.parent, TORCH, Path("site-packages"), Path("mr2ct_training")):
        assert str(place).encode() not in content, place


def test_the_graph_keeps_no_stack_traces(graph: onnx.ModelProto) -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(graph)
    for tensor in bare.graph.initializer:  # 45 MB of random weights hold any three letters
        tensor.ClearField("raw_data")
    text = bare.SerializeToString()
    assert b"InstanceNormalization" in text
    for trace in (b".py", b"File ", b"line ", b"forward", b"Traceback"):
        assert trace not in text, trace


class Unfolded(nn.Module):
    """A generator that hides an InstanceNorm from the exporter's InstanceNormalization."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.InstanceNorm2d(1)

    def forward(self, slices: Tensor) -> Tensor:
        """Computes the norm by hand."""
        features: Tensor = self.convolution(slices)
        return (features - features.mean((2, 3), keepdim=True)) / features.std((2, 3), keepdim=True)


def test_an_instance_norm_that_was_taken_apart_is_refused() -> None:
    with pytest.raises(ExportError, match=r"InstanceNormalization.*1") as refused:
        to_onnx(Unfolded(), PAPER_SLICES)
    assert "\n" not in str(refused.value)


class Unexportable(nn.Module):
    """A network whose graph depends on the values of its input."""

    def forward(self, slices: Tensor) -> Tensor:
        """Half of them or all of them."""
        return slices / 2 if slices.sum() > 0 else slices


def test_a_network_that_torch_cannot_export_is_refused_in_one_line() -> None:
    with pytest.raises(ExportError, match=r"torch .* could not export") as refused:
        to_onnx(Unexportable(), PAPER_SLICES)
    assert "\n" not in str(refused.value)


def test_ctrl_c_that_comes_out_of_the_exporter_as_an_error_of_its_own_is_still_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("module 'torch._dynamo' has no attribute 'exc'")  # seen with torch 2.13

    monkeypatch.setattr(torch.onnx, "export", stopped)
    with pytest.raises(KeyboardInterrupt):
        to_onnx(nn.Identity(), PAPER_SLICES)
