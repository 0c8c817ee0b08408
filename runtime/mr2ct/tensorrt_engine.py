"""The TensorRT engine of a model's graph: from the user's cache, or built now and kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from mr2ct.engine import Engine, engine_facts
from mr2ct.engine_cache import EngineCache
from mr2ct.errors import ModelError
from mr2ct.model import Model, graph_file
from mr2ct.tensorrt_builder import OPT_BATCH, BuildOptions, Built, build
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_watch import Report


def engine_of(flavour: Flavour, model: Model, precision: str, say: Callable[[str], None]) -> tuple[Engine, bytes]:
    """The engine of a model's graph for this machine, and its plan. A build shows a bar on a terminal.

    say: is told in a line what is done and why.
    Raises ModelError when the model has no such graph or TensorRT cannot read it, DeviceError when the flavour cannot
    build here, OutputError when the engine cannot be kept; see EngineCache.take_or_build.
    """
    file = graph_file(precision, model.way)
    if precision not in model.precisions:
        raise ModelError(f"{model.folder}: no engine, for it has no {file}")
    most = model.card.max_batch
    options = BuildOptions(max_batch=most, opt_batch=min(OPT_BATCH, most))

    def make(timings: bytes) -> Built:
        with _bar(flavour.title) as show:
            return build(flavour, model.read(file), options, show, timings=timings)

    facts = engine_facts(flavour, model.card.files[file].sha256, options)
    return EngineCache().take_or_build(facts, make, say)


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    with tqdm(desc=title, leave=False, disable=None) as bar:

        def show(phase: str, done: int, steps: int) -> None:
            bar.set_postfix_str(phase, refresh=False)
            bar.total = steps
            bar.update(done - bar.n)

        yield show
