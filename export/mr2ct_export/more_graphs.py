"""A model folder with more graphs, made of the weights in its fp32 graph; everything else of it stays as it is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import torch

from mr2ct.errors import ModelError
from mr2ct.model import CARD, Model, graph_file, open_model
from mr2ct_export.calibration import calibration_from_files
from mr2ct_export.folder import Exported, export, folder_or_nothing
from mr2ct_export.packed_weights import packing_of, unpacked
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import Generator, GeneratorConfig


def with_graphs(
    folder: Path,
    out: Path,
    *,
    fp16: bool,
    calibrations: Sequence[Path],
    int8_limit: float | None = None,
    overwrite: bool,
) -> Exported:
    """Write a copy of a model folder with an fp16 graph, an int8 one, or both; out may be the folder itself.

    calibrations: MRs to make the int8 graph by, none for no such graph.  int8_limit: HU, see calibration_from_files.
    A graph that is there already is made anew; one outside its budget is left out and named in `refused`. Raises
    ModelError when the folder is not as its card says, or its generator is none of mr2ct's; VolumeError when an MR
    cannot be used; ExportError, OutputError.
    """
    model = open_model(folder)
    card, reference = model.card, model.reference()
    generator = generator_of(model)
    checkpoint = Checkpoint(generator, card.mr_window, card.ct_window_hu, training=card.training, slices=card.slices)
    calibration = calibration_from_files(calibrations, card.slices, card.mr_window, reference.mr, int8_limit)
    with tempfile.TemporaryDirectory() as place, folder_or_nothing(out, overwrite=overwrite) as new:
        exported = export(
            checkpoint, reference, Path(place) / "model", fp16=fp16, int8=calibration, weights=packing_of(_graph(model))
        )
        made, wanted = exported.card, [graph_file("fp16")] * fp16 + [graph_file("int8")] * bool(calibrations)
        added = {name: facts for name, facts in made.files.items() if name in wanted}
        kept = {name: facts for name, facts in card.files.items() if name not in wanted}
        for name in kept:
            (new / name).write_bytes(model.read(name))
        for name in added:
            (new / name).write_bytes((Path(place) / "model" / name).read_bytes())
        card = replace(
            card,
            files={**kept, **added},
            certificates=(
                *(one for one in card.certificates if one.file in kept),
                *(one for one in made.certificates if one.file in added),
            ),
            quantisation=made.quantisation if calibrations else card.quantisation,
        )
        (new / CARD).write_text(card.to_json(), encoding="utf-8")
    return Exported(card, exported.refused)


def generator_of(model: Model) -> Generator:
    """The PyTorch generator that a model's fp32 graph was made of; the graph keeps the names of its weights.

    Raises ModelError when a weight is missing, but for biases: the exporter leaves out those that are all 0.
    """
    file = graph_file("fp32")
    tensors = unpacked(_graph(model))  # they were rounded before anything was measured: nothing is lost
    told = model.card.generator
    if "width" not in told:
        raise ModelError(f"{model.folder / CARD}: tells no width of a generator; it is no model of mr2ct's training")
    network = Generator(GeneratorConfig(width=told["width"], blocks=told.get("blocks", GeneratorConfig.blocks))).eval()
    weights = {
        name: torch.zeros_like(weight) if name.endswith(".bias") else weight
        for name, weight in network.state_dict().items()
    }
    missing = [name for name in weights if name not in tensors and not name.endswith(".bias")]
    if missing:
        raise ModelError(f"{model.folder / file}: no weight {missing[0]}; it is no graph of mr2ct's generator")
    found = {name: torch.from_numpy(tensors[name].copy()) for name in weights if name in tensors}
    network.load_state_dict({**weights, **found})
    return network


def _graph(model: Model) -> onnx.GraphProto:
    return onnx.load_from_string(model.read(graph_file("fp32"))).graph
