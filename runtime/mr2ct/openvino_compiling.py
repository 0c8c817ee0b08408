"""A model's graph compiled by OpenVINO: read, checked against the card, rewritten; or taken as it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mr2ct import openvino_first_convolution, openvino_graph, openvino_last_convolution
from mr2ct.cpu import this_cpu
from mr2ct.errors import ModelError
from mr2ct.model import Model
from mr2ct.openvino_first_convolution import read_in_parts
from mr2ct.openvino_graph import FLOAT, fingerprint, read_graph
from mr2ct.openvino_kept import Kept, keep, place_of, read_kept
from mr2ct.openvino_last_convolution import split_convolutions_to_one_channel
from mr2ct.openvino_library import openvino
from mr2ct.stoppable import run_stoppable

DEVICE = "CPU"
SOURCES = (__file__, openvino_graph.__file__, openvino_first_convolution.__file__, openvino_last_convolution.__file__)


@dataclass(frozen=True)
class Compiled:
    """graph: ready to run, of one slice.  what: it is."""

    graph: openvino.CompiledModel
    what: Kept


def compiled(
    core: openvino.Core,
    model: Model,
    file: str,
    *,
    precision: str,
    rounding: str,
    settings: dict[str, str],
    say: Callable[[str], None],
) -> Compiled:
    """A graph of a model, compiled now and kept, or as it was kept.

    precision: "fp32", "bf16", "int8".  rounding: "f32" or "bf16", what is not quantised is computed in.  settings: of
    OpenVINO.  say: is told in a line what cannot be kept.  Raises ModelError when the graph is not what the card
    promises, and whatever OpenVINO does when it cannot compile it.
    """
    card, content = model.card, model.read(file)
    facts = {
        "onnx": card.files[file].sha256,
        "ends": [card.input_name, card.output_name, card.slices.rows, card.slices.columns, card.max_batch],
        "precision": precision,
        "settings": settings,
        "openvino": str(openvino.__version__),
        "cpu": str(this_cpu()),
        "rewriting": _sources(),
    }
    place = place_of(facts)
    kept = read_kept(place, say)
    if kept is not None:
        try:
            return Compiled(core.import_model(kept.content, DEVICE, settings), Kept(kept.made_of, kept.in_parts))
        except Exception as error:  # OpenVINO has no base exception of its own
            say(f"{place}: OpenVINO cannot load it ({str(error).strip().splitlines()[-1]}); compiling it again")
    graph = run_stoppable(lambda: read_graph(content, exact_norms=precision == "fp32"), lambda: None)
    _refuse_foreign(graph, model, file)
    graph.reshape([1, 1, card.slices.rows, card.slices.columns])
    in_three = read_in_parts(graph) if rounding == "bf16" else None
    graph = in_three or graph
    if rounding == "f32":
        split_convolutions_to_one_channel(graph)
    made_of = f"{card.files[file].sha256} {rounding} {fingerprint(graph)}"
    what = Kept(hashlib.sha256(made_of.encode()).hexdigest(), in_three is not None)
    ready = core.compile_model(graph, DEVICE, settings)
    keep(place, what, ready.export_model().getvalue(), say)
    return Compiled(ready, what)


@cache
def _sources() -> str:
    """sha256 of the code that rewrites graphs: what other code rewrote is not this graph."""
    return hashlib.sha256(b"".join(Path(source).read_bytes() for source in SOURCES)).hexdigest()


def _refuse_foreign(graph: openvino.Model, model: Model, file: str) -> None:
    """Raise ModelError unless the graph's input and output are what the card promises."""
    card = model.card
    shape = [1, card.slices.rows, card.slices.columns]
    for kind, found, name in (("input", graph.inputs, card.input_name), ("output", graph.outputs, card.output_name)):
        if len(found) != 1 or name not in found[0].names or not _fits(found[0], shape, card.max_batch):
            told = ", ".join(
                f"{'/'.join(sorted(end.names))} {end.element_type.get_type_name()} {end.partial_shape}" for end in found
            )
            raise ModelError(f"{model.folder / file}: {kind} {told} is not the card's {name}, float, batch x {shape}")


def _fits(end: openvino.Output, shape: list[int], max_batch: int) -> bool:
    """Whether an input or output is float32, of this shape less the batch, and takes every batch up to max_batch."""
    found: Any = end.partial_shape
    if end.element_type != FLOAT or found.rank.is_dynamic or len(found) != 1 + len(shape):
        return False
    sizes = [-1 if size.is_dynamic else size.get_length() for size in found]
    return sizes[1:] == shape and (sizes[0] == -1 or sizes[0] == max_batch == 1)
