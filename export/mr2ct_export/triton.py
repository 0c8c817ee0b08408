"""A model folder as models of a Triton repository, each graph one of its own, written whole or not at all.

    REPO/head-t1-fp32/config.pbtxt          what Triton is told of it
    REPO/head-t1-fp32/1/model.onnx          the graph, byte for byte; or model.plan, a TensorRT engine of it
    REPO/head-t1-fp32/warmup/reference_mr   a slice to start with

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mr2ct.errors import DeviceError, ModelError, OutputError
from mr2ct.model import Model, graph_file
from mr2ct.triton_model import CARD_SHA256, PLAN_SHA256, parameters_of, served_name

try:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2
except (ImportError, RuntimeError) as error:  # RuntimeError: tritonclient without [grpc]
    raise DeviceError(f"--triton needs tritonclient ({error}): pip install 'mr2ct[triton]'") from error

# Slices that Triton may put together; several requests of 8, see mr2ct.triton_backend. Not the card's 183: a GPU would
# need memory for all of them at once, and an engine of TensorRT is tuned for 16.
MAX_BATCH, PREFERRED = 16, (8, 16)
# That a request waits for others to join it; 8 slices take 70 ms with onnxruntime on an H100 (README).
QUEUE_DELAY_US = 1000
WARM_UPS = (1, 8, 16)  # batch sizes that kernels are chosen for before the first patient
CONFIG, WARMUP, WARMUP_SLICE = "config.pbtxt", "warmup", "reference_mr"
ONNX, PLAN = "model.onnx", "model.plan"
HEADER = "# Written by mr2ct-export --triton, which writes it again; parameters say which model folder it is of.\n"


@dataclass(frozen=True)
class Plan:
    """A TensorRT engine to serve in the place of its graph: what it is of, and what it was built for, for people."""

    precision: str
    content: bytes
    built_for: str


@dataclass(frozen=True)
class Served:
    """A model of the repository: its name, its folder, and what runs it, a backend of Triton."""

    name: str
    folder: Path
    backend: str


def refuse_served(repository: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Raise OutputError when one of the models is there and may not be replaced, or the place is no folder."""
    if repository.exists() and not repository.is_dir():
        raise OutputError(f"{repository}: is no folder; a Triton repository is one")
    for folder in (repository / name for name in names):
        if folder.exists() and not (overwrite and _is_ours(folder)):
            remedy = "mr2ct-export did not write it, so it is not replaced" if overwrite else "--overwrite replaces it"
            raise OutputError(f"{folder}: exists already; {remedy}")


def served_names(model: Model) -> list[str]:
    """The models that a folder becomes."""
    return [served_name(seen.card.name, precision, seen.way) for seen, precision in _served(model)]


def write_repository(model: Model, repository: Path, *, plan: Plan | None = None, overwrite: bool) -> list[Served]:
    """Write every certified graph of a model folder into a Triton repository, both ways, all of them or none.

    plan: to be served in the place of the graph it is of.  Other models of the repository are left alone.
    Raises OutputError when a model is there already and overwrite is not set, or it cannot be written; ModelError when
    the folder is not as its card says.
    """
    pairs = _served(model)
    if not pairs:
        raise ModelError(f"{model.folder}: no graph of it has a passing certificate; export it again")
    refuse_served(repository, served_names(model), overwrite=overwrite)
    try:
        repository.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".mr2ct.", suffix=".partial", dir=_beside(repository)))
    except OSError as error:
        raise OutputError(f"{repository}: cannot write there: {error.strerror}") from error
    try:
        made = []
        for seen, precision in pairs:
            mine = plan if plan is not None and seen.way == "mr_to_ct" and plan.precision == precision else None
            made.append(_write(seen, precision, mine, partial))
        _put_in_place([one.name for one in made], partial, repository)
    except OSError as error:
        raise OutputError(f"{repository}: not written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [Served(one.name, repository / one.name, one.backend) for one in made]


def config_of(model: Model, precision: str, plan: Plan | None = None) -> Any:
    """The ModelConfig of a graph, or of the plan of it, by Triton's own schema."""
    card = model.card
    shape = [1, card.slices.rows, card.slices.columns]
    most = min(MAX_BATCH, card.max_batch)
    config = model_config_pb2.ModelConfig(
        name=served_name(card.name, precision, model.way),
        backend="onnxruntime" if plan is None else "tensorrt",
        default_model_filename=ONNX if plan is None else PLAN,
        max_batch_size=most,
        version_policy={"latest": {"num_versions": 1}},
        input=[{"name": card.input_name, "data_type": model_config_pb2.TYPE_FP32, "dims": shape}],
        output=[{"name": card.output_name, "data_type": model_config_pb2.TYPE_FP32, "dims": shape}],
        dynamic_batching={
            "preferred_batch_size": [size for size in PREFERRED if size <= most],
            "max_queue_delay_microseconds": QUEUE_DELAY_US,
        },
        instance_group=[{"count": 1, "kind": "KIND_AUTO" if plan is None else "KIND_GPU"}],
    )
    for key, value in parameters_of(model, precision).items():
        config.parameters[key].string_value = value
    if plan is None:
        # onnxruntime computes fp32 on a GPU with 10 bits of mantissa unless told otherwise, as mr2ct's own cuda is
        cuda = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="cuda")
        cuda.parameters["use_tf32"] = "0"
    else:
        config.parameters[PLAN_SHA256].string_value = hashlib.sha256(plan.content).hexdigest()
        config.parameters["mr2ct_plan_built_for"].string_value = plan.built_for
    for size in WARM_UPS:
        if size <= most:
            warmup = config.model_warmup.add(name=f"{size} slices", batch_size=size)
            slice_ = warmup.inputs[card.input_name]
            slice_.data_type, slice_.input_data_file = model_config_pb2.TYPE_FP32, WARMUP_SLICE
            slice_.dims.extend(shape)
    return config


def version_folder(version: str) -> str:
    """The card's version where Triton can count with it, a whole number from 1 on without leading zeros; else 1."""
    return version if version.isascii() and version.isdecimal() and not version.startswith("0") else "1"


def _served(model: Model) -> list[tuple[Model, str]]:
    """Every certified graph: the model, seen one way or the other, and a precision."""
    ways = [model]
    with suppress(ModelError):  # most folders have no ct_to_mr
        ways.append(model.way_back())
    return [
        (seen, precision)
        for seen in ways
        for precision in seen.precisions
        if seen.proves(graph_file(precision, seen.way))
    ]


def _write(model: Model, precision: str, plan: Plan | None, partial: Path) -> Served:
    config = config_of(model, precision, plan)
    reference = model.reference()
    inputs = reference.mr if model.way == "mr_to_ct" else reference.synthetic_ct
    widest = inputs[int(reference.head.sum(axis=(1, 2)).argmax())]
    folder = partial / config.name
    version = folder / version_folder(model.card.version)
    version.mkdir(parents=True)
    content = model.read(graph_file(precision, model.way)) if plan is None else plan.content
    (version / config.default_model_filename).write_bytes(content)
    (folder / WARMUP).mkdir()
    (folder / WARMUP / WARMUP_SLICE).write_bytes(widest.astype("<f4").tobytes())
    (folder / CONFIG).write_text(HEADER + text_format.MessageToString(config), encoding="utf-8")
    return Served(config.name, folder, config.backend)


def _beside(repository: Path) -> Path:
    """Where to write first: not in the repository, whose every folder is a model to a server that starts or looks now.

    In it nevertheless where it is a disk of its own, which a rename does not leave, or the folder above is not ours.
    """
    above = repository.resolve().parent
    return above if os.access(above, os.W_OK) and above.stat().st_dev == repository.stat().st_dev else repository


def _put_in_place(names: Sequence[str], partial: Path, repository: Path) -> None:
    """Exchange the models for the new ones; those that were there come back if one of them cannot be."""
    old = partial / "old"
    old.mkdir()
    try:
        for name in names:
            if (repository / name).exists():
                (repository / name).replace(old / name)
            (partial / name).replace(repository / name)
    except BaseException:
        for name in names:
            if not (partial / name).exists():
                shutil.rmtree(repository / name, ignore_errors=True)
            if (old / name).exists():
                (old / name).replace(repository / name)
        raise


def _is_ours(folder: Path) -> bool:
    """Whether a model of the repository was written by mr2ct-export."""
    try:
        config = text_format.Parse((folder / CONFIG).read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, ValueError, text_format.ParseError):
        return False
    return CARD_SHA256 in config.parameters
