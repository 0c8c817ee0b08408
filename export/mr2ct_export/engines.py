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
    from mr2ct.model import graph_file, open_model
    from mr2ct.tensorrt_engine import engine_of
    from mr2ct.tensorrt_flavour import open_flavour

    flavour, model = open_flavour(name), open_model(folder)
    engine, _ = engine_of(flavour, model, precision, _note)
    click.echo(f"  {graph_file(precision)}  {_told(engine)}")
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
