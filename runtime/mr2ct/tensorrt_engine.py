"""The TensorRT engine of a model's graph: from the user's cache, or built now and kept there."""

from __future__ import annotations

from collections.abc import Callable

from mr2ct.engine import Engine, engine_facts
from mr2ct.engine_cache import EngineCache
from mr2ct.errors import ModelError
from mr2ct.model import Model, graph_file
from mr2ct.tensorrt_builder import OPT_BATCH, BuildOptions, Built, build
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_watch import Report


def engine_of(
    flavour: Flavour, model: Model, precision: str, say: Callable[[str], None], progress: Report | None = None
) -> tuple[Engine, bytes]:
    """The engine of a model's graph for this machine, and its plan.

    say: is told in a line what is done and why.  progress: called with phase, steps done and steps of a build.
    Raises ModelError when the model has no such graph or TensorRT cannot read it, DeviceError when the flavour cannot
    build here, OutputError when the engine cannot be kept; see EngineCache.take_or_build.
    """
    file = graph_file(precision)
    if precision not in model.precisions:
        raise ModelError(f"{model.folder}: no engine, for it has no {file}")
    most = model.card.max_batch
    options = BuildOptions(max_batch=most, opt_batch=min(OPT_BATCH, most))

    def make(timings: bytes) -> Built:
        return build(flavour, model.read(file), options, progress, timings=timings)

    facts = engine_facts(flavour, model.card.files[file].sha256, options)
    return EngineCache().take_or_build(facts, make, say)
