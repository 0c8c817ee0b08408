"""mr2ct-export's engines: TensorRT plans of a model's graph, kept in the user's cache, listed and cleared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

# What needs onnx or an engine is imported where it runs: -h and --engines come at once.


def check_engine(name: str) -> None:
    """Raise DeviceError when no engine of a flavour could be built here."""
    from mr2ct.gpu import first_gpu
    from mr2ct.tensorrt_flavour import open_flavour

    if open_flavour(name).builds_on_gpu:
        first_gpu()


def build_engine(name: str, folder: Path, precision: str) -> None:
    """Build the engine of a flavour (see mr2ct.tensorrt_flavour) for a graph of a model folder, and tell of it.

    Raises ModelError when the model has no such graph or TensorRT cannot read it, DeviceError when the flavour is
    missing or cannot build here, OutputError when the engine cannot be kept.
    """
    from tqdm import tqdm

    from mr2ct.engine import engine_facts
    from mr2ct.engine_cache import EngineCache
    from mr2ct.errors import ModelError
    from mr2ct.model import graph_file, open_model
    from mr2ct.tensorrt_builder import OPT_BATCH, BuildOptions, Built, build
    from mr2ct.tensorrt_flavour import open_flavour

    flavour, model, file = open_flavour(name), open_model(folder), graph_file(precision)
    if precision not in model.precisions:
        raise ModelError(f"{folder}: no engine, for {file} was not written")
    most = model.card.max_batch
    options = BuildOptions(max_batch=most, opt_batch=min(OPT_BATCH, most))
    with tqdm(desc=flavour.title, leave=False, disable=None) as bar:

        def show(phase: str, done: int, steps: int) -> None:
            bar.set_postfix_str(phase, refresh=False)
            bar.total = steps
            bar.update(done - bar.n)

        def make(timings: bytes) -> Built:
            return build(flavour, _without_functions(model.read(file)), options, show, timings=timings)

        facts = engine_facts(flavour, model.card.files[file].sha256, options)
        engine, _ = EngineCache().take_or_build(facts, make, _note)
    click.echo(f"  {file}  {_told(engine)}")
    click.echo(f"engine: {engine.plan_file}")


def list_engines(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """The option --engines: every engine of the cache, a line each."""
    from mr2ct.engine_cache import EngineCache

    if not asked or context.resilient_parsing:
        return
    cache = EngineCache()
    engines = cache.engines()
    for engine in engines:
        click.echo(f"{engine.key[:12]}  {_told(engine)}  graph {engine.facts.onnx_sha256[:12]}")
    click.echo(f"{_count(len(engines))} in {cache.folder}")
    context.exit()


def clear_engines(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """The option --clear-engines: remove every engine of the cache."""
    from mr2ct.engine_cache import EngineCache
    from mr2ct.errors import OutputError

    if not asked or context.resilient_parsing:
        return
    cache = EngineCache()
    try:
        count = cache.clear()
    except OutputError as error:
        click.echo(f"mr2ct-export: {error}", err=True)
        context.exit(1)
    click.echo(f"{_count(count)} removed from {cache.folder}")
    context.exit()


def _without_functions(graph: bytes) -> bytes:
    """A graph with its functions written out.

    TensorRT's parser goes by the name of a node and not by its domain: it takes mr2ct.InstanceNormalization for ONNX's
    own, and then misses its scale (seen with TensorRT-RTX 1.7.1).
    """
    import onnx
    import onnx.inliner

    model = onnx.load_from_string(graph)
    if not model.functions:
        return graph
    written_out: bytes = onnx.inliner.inline_local_functions(model).SerializeToString(deterministic=True)
    return written_out


def _told(engine: Any) -> str:
    facts = engine.facts
    return (
        f"{engine.size / 1e6:.1f} MB  {facts.flavour} {facts.version}  {facts.profile}  GPU {facts.gpu}  "
        f"built in {engine.seconds:.1f} s"
    )


def _count(engines: int) -> str:
    return f"{engines} engine{'' if engines == 1 else 's'}"


def _note(line: str) -> None:
    click.echo(f"note: {line}", err=True)
