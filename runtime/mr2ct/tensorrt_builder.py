"""An ONNX graph becomes a TensorRT plan: one profile, the precision of the graph, and every error told.

Networks are strongly typed: half precision lives in the graph. TensorRT 11 knows no other kind, 10 has a flag for it.
https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/advanced.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from mr2ct.errors import DeviceError, ModelError
from mr2ct.stoppable import run_stoppable
from mr2ct.tensorrt_flavour import Flavour
from mr2ct.tensorrt_watch import LogLine, Progress, Report, first_error, logger, shortened
from mr2ct.tensorrt_weights import unpack

OPT_BATCH = 16  # slices; to be measured on a GPU
DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
# The parser opens weights that a graph keeps in other files beside this path. Nobody has checked those files, and
# there can be none below a device.
NO_FOLDER = "/dev/null/graph.onnx"


@dataclass(frozen=True)
class BuildOptions:
    """What an engine is built for; every field is part of what the engine is.

    opt_batch: slices a call that TensorRT tunes for; max_batch: the most it takes, by the card; the least is 1.
    workspace_bytes: GPU memory that kernels may use beside the activations, None for all there is.
    version_compatible: later TensorRT versions can run it too.  hardware_compatible: other GPUs from Ampere on can.
    """

    max_batch: int
    opt_batch: int = OPT_BATCH
    workspace_bytes: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False


@dataclass(frozen=True)
class End:
    """An input or output as TensorRT sees it. shape: -1 where the batch is."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """What was read back from TensorRT. profile: the least, tuned-for and largest shape of the input."""

    input: End
    output: End
    layers: int
    profile: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Built:
    """A plan, and all that is known of its making. timings: the timing cache, b"" where the flavour keeps none."""

    plan: bytes
    network: Network
    seconds: float
    timings: bytes
    log: tuple[LogLine, ...]


def build(
    flavour: Flavour,
    graph: bytes,
    options: BuildOptions,
    progress: Report | None = None,
    log: list[LogLine] | None = None,
    *,
    timings: bytes = b"",
) -> Built:
    """Build a plan from the bytes of an ONNX graph "(batch, 1, rows, columns) float32 to the same".

    progress: called with phase, steps done and steps; an exception from it ends the build and comes out here, and so
    does Ctrl-C.  log: where to put TensorRT's log as it comes, so that it is there after a failure too.
    timings: the timing cache of an earlier build.
    Raises ModelError with every error of the parser, or when the graph is not ours or does not take the batches;
    DeviceError when the flavour cannot do what was asked, or the build fails.
    """
    library, log, started = flavour.library, [] if log is None else log, time.perf_counter()
    _refuse_impossible(flavour, options)
    watch, voice = Progress(progress), logger(library, log)
    builder = _builder(flavour, voice, log)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, voice)  # to be kept: the network's weights are the parser's
    _parse(flavour, parser, graph)
    kept = unpack(library, network)
    ends = _ends(flavour, network, options.max_batch)
    config = _config(flavour, builder, options)
    profile = _add_profile(builder, config, ends[0], options)
    _attach_timings(flavour, config, timings)
    config.progress_monitor = watch.monitor(library)
    plan = run_stoppable(lambda: builder.build_serialized_network(network, config), watch.stop)
    del kept  # until here TensorRT may look at them
    watch.raise_kept()
    if plan is None:
        raise DeviceError(_failure(flavour, options, log))
    return Built(
        plan=bytes(plan),
        network=Network(*ends, layers=network.num_layers, profile=profile),
        seconds=time.perf_counter() - started,
        timings=bytes(config.get_timing_cache().serialize()) if flavour.builds_on_gpu else b"",
        log=tuple(log),
    )


def _refuse_impossible(flavour: Flavour, options: BuildOptions) -> None:
    opt, most, workspace = options.opt_batch, options.max_batch, options.workspace_bytes
    if not 1 <= opt <= most:
        raise DeviceError(f"an engine tuned for {opt} slices at once; this model takes 1 to {most}")
    if workspace is not None and workspace < 1:
        raise DeviceError(f"a workspace of {workspace} bytes; give at least 1, or no limit")
    if not flavour.builds_on_gpu and options.version_compatible:
        raise DeviceError(f"{flavour.title} builds no engines for other versions; build again with each")
    if not flavour.builds_on_gpu and options.hardware_compatible:
        raise DeviceError(
            f"{flavour.title} knows no such option; its engines fit every RTX GPU from Ampere on as they are"
        )


def _builder(flavour: Flavour, voice: Any, log: list[LogLine]) -> Any:
    try:
        return flavour.library.Builder(voice)
    except (TypeError, RuntimeError) as error:  # pybind11's words for a null pointer from C++
        reason = first_error(log) or str(error).partition("\n")[0]
        needs = "it builds on the GPU the engine is for" if flavour.builds_on_gpu else "its libraries do not start"
        raise DeviceError(f"{flavour.title}: cannot build here, {needs} ({reason})") from error


def _parse(flavour: Flavour, parser: Any, graph: bytes) -> None:
    parser.set_flag(flavour.library.OnnxParserFlag.NATIVE_INSTANCENORM)  # TensorRT's own layer, no plugin
    if not parser.parse(graph, NO_FOLDER):
        errors = [_told(parser.get_error(index)) for index in range(parser.num_errors)]
        raise ModelError(f"{flavour.title} cannot read the graph: {'; '.join(errors) or 'it does not say why'}")


def _told(error: Any) -> str:
    node = f"node {error.node()} {error.node_operator()} {error.node_name()}: " if error.node() >= 0 else ""
    return f"{node}{shortened(error.desc())} ({error.code().name})"


def _ends(flavour: Flavour, network: Any, max_batch: int) -> tuple[End, End]:
    """The one input and the one output. Raises ModelError unless they are images of one shape in any batch."""
    inputs = [_end(network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [_end(network.get_output(index)) for index in range(network.num_outputs)]
    batches = (-1, 1) if max_batch == 1 else (-1,)
    fits = len(inputs) == len(outputs) == 1 and inputs[0].shape == outputs[0].shape
    for end in (*inputs, *outputs):
        fits &= end.dtype == "float32" and len(end.shape) == 4 and end.shape[0] in batches and min(end.shape[1:]) > 0
    if not fits:
        seen = [", ".join(f"{end.name} {end.dtype} {list(end.shape)}" for end in side) for side in (inputs, outputs)]
        raise ModelError(
            f"{flavour.title} sees {seen[0] or 'no input'} to {seen[1] or 'no output'} in the graph; a model takes "
            f"float32 [batch, 1, rows, columns] to the same, of batches from 1 to {max_batch}"
        )
    return inputs[0], outputs[0]


def _end(tensor: Any) -> End:
    return End(tensor.name, DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower()), tuple(tensor.shape))


def _config(flavour: Flavour, builder: Any, options: BuildOptions) -> Any:
    library, config = flavour.library, builder.create_builder_config()
    # On by default, and 10 bits of mantissa. Half-precision convolutions have as many and are not its business.
    config.clear_flag(library.BuilderFlag.TF32)
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.version_compatible:
        config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = library.HardwareCompatibilityLevel.AMPERE_PLUS
    return config


def _add_profile(builder: Any, config: Any, end: End, options: BuildOptions) -> tuple[tuple[int, ...], ...]:
    """One optimisation profile; what TensorRT then holds is what is returned."""
    profile = builder.create_optimization_profile()
    profile.set_shape(end.name, *((n, *end.shape[1:]) for n in (1, options.opt_batch, options.max_batch)))
    config.add_optimization_profile(profile)
    return tuple(tuple(shape) for shape in profile.get_shape(end.name))


def _attach_timings(flavour: Flavour, config: Any, timings: bytes) -> None:
    """Timing caches are no-ops in TensorRT-RTX, and deprecated since its 1.2."""
    if flavour.builds_on_gpu and not config.set_timing_cache(config.create_timing_cache(timings), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)  # of another GPU: begin a new one


def _failure(flavour: Flavour, options: BuildOptions, log: list[LogLine]) -> str:
    reason = first_error(log) or "it does not say why"
    if options.workspace_bytes is not None and "workspace" in reason.lower():
        return f"{flavour.title}: {options.workspace_bytes} bytes of workspace are too few ({reason}); give more"
    return f"{flavour.title} could not build the engine ({reason})"
