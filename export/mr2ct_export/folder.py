"""The model folder, written whole or not at all, every graph in it proved first."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx

import mr2ct
from mr2ct.backend import Backend
from mr2ct.card import Card, Certificate
from mr2ct.certificate import certify
from mr2ct.errors import DeviceError, ModelError, OutputError
from mr2ct.model import CARD, REFERENCE, Model, Reference, graph_file
from mr2ct_export.calibration import Calibration, observe
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.gate import gate_of
from mr2ct_export.in_folder import engine as _engine
from mr2ct_export.in_folder import put as _put
from mr2ct_export.packed_weights import Packing, with_packed_weights
from mr2ct_export.reference import answered, packed
from mr2ct_export.rounding import quantised
from mr2ct_export.sensitivity import choose_layers
from mr2ct_export.to_half import to_half, with_kept_casts
from mr2ct_export.to_int8 import eligible, to_int8, weights_of
from mr2ct_export.to_onnx import INPUT, MAX_BATCH, OPSET, OUTPUT, ExportError, to_onnx
from mr2ct_export.way_back import cycled, put_way_back
from mr2ct_training.checkpoint import Checkpoint

UNTRAINED = "untrained: for geometry and speed only"


@dataclass(frozen=True)
class Exported:
    """What became of an export: the folder's card, and a line for every graph that was refused."""

    card: Card
    refused: tuple[str, ...]


def export(
    checkpoint: Checkpoint,
    reference: Reference,
    out: Path,
    *,
    fp16: bool,
    int8: Calibration | None = None,
    weights: Packing = "fp32",
    cycle_check: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write the model folder out: graphs, reference slices, card. int8: what to make an int8 graph by, None for none.

    weights: keep those that fp16 or int8 holds exactly as such, see packed_weights.py.  cycle_check: also write
    ct_to_mr, see way_back.py.

    A graph outside its budget in HU is left out and named in `refused`. Raises ExportError when that is the fp32 graph,
    the one everything is measured against; OutputError when the place cannot be written.
    """
    if cycle_check:
        reference = cycled(reference, checkpoint)
    with folder_or_nothing(out, overwrite=overwrite) as folder:
        card = _put(folder, _first_card(checkpoint), REFERENCE, packed(reference))
        graph = to_onnx(checkpoint.mr_to_ct, card.slices)
        on_disk = partial(with_packed_weights, packing=weights)
        card, certificate = _put_proved(folder, card, "fp32", on_disk(with_exact_norms(graph, OPSET)), reference)
        if not certificate.passed:
            raise ExportError(_refusal(certificate))
        refused = []
        if fp16:
            try:
                half = to_half(graph)
                card, certificate = _put_proved(folder, card, "fp16", on_disk(half), reference, with_kept_casts(half))
                refused += [] if certificate.passed else [_refusal(certificate)]
            except ExportError as error:
                refused.append(f"{graph_file('fp16')}: not written: {error}")
        if int8 is not None:
            try:
                card, certificate = _put_int8(folder, card, graph, checkpoint, int8, reference, on_disk)
                refused += [] if certificate.passed else [_refusal(certificate)]
            except ExportError as error:
                refused.append(f"{graph_file('int8')}: not written: {error}")
        if cycle_check:
            try:
                card, lines = put_way_back(folder, card, checkpoint, reference, fp16=fp16, on_disk=on_disk)
                refused += lines
            except ExportError as error:
                refused.append(f"ct_to_mr: not written: {error}")
        (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    return Exported(card, tuple(refused))


def card_name(checkpoint: Checkpoint) -> str:
    """The name that the card of a checkpoint gets."""
    name: str = checkpoint.about.get(
        "name", "generator" if checkpoint.training.get("state") == "trained" else "untrained"
    )
    return name


def _first_card(checkpoint: Checkpoint) -> Card:
    """The card before any file is in the folder."""
    about, trained = checkpoint.about, checkpoint.training.get("state") == "trained"
    network = checkpoint.mr_to_ct
    return Card(
        name=card_name(checkpoint),
        version=about.get("version", "0"),
        description=about.get("description", "" if trained else UNTRAINED),
        authors=about.get("authors", ""),
        data_source=about.get("data_source", "" if trained else "none"),
        generator={
            "architecture": f"c7s1, two strided convolutions, {network.config.blocks} residual blocks, two transposed "
            "convolutions, c7s1, InstanceNorm, tanh",
            "width": network.config.width,
            "blocks": network.config.blocks,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        },
        training=checkpoint.training,
        slices=checkpoint.slices,
        mr_window=checkpoint.mr_window,
        ct_window_hu=checkpoint.ct_window_hu,
        opset=OPSET,
        max_batch=MAX_BATCH,
        files={},
        certificates=(),
        mr2ct_version=mr2ct.__version__,
        input_name=INPUT,
        output_name=OUTPUT,
        gate=gate_of(checkpoint),
    )


def _put_int8(
    folder: Path,
    card: Card,
    graph: onnx.ModelProto,
    checkpoint: Checkpoint,
    calibration: Calibration,
    reference: Reference,
    on_disk: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> tuple[Card, Certificate]:
    """Find out which convolutions may be in int8, and write and prove the graph that has these. graph: in fp32."""
    name, centred = graph_file("int8"), eligible(graph)
    if not centred:
        raise ExportError("the generator has no convolution that can be in int8")
    seen = observe(checkpoint.mr_to_ct, calibration.calibrating, list(centred))
    weights = weights_of(graph)
    layers = {layer: quantised(weights[layer], seen[layer], centred=centred[layer]) for layer in centred}
    held_out = answered(calibration.held_out, calibration.head, checkpoint.mr_to_ct)

    def measure(chosen: Sequence[str]) -> Certificate:
        tried = to_int8(graph, {layer: layers[layer] for layer in chosen})
        with_graph = _put(folder, card, name, tried.SerializeToString(deterministic=True))
        return certify(
            _int8_engine(folder, with_graph, name), held_out, file=name, precision="int8",
            ct_window_hu=card.ct_window_hu,
        )  # fmt: skip

    try:
        quantisation = choose_layers(
            list(centred), measure, calibrated_on=len(calibration.calibrating), limits_hu=calibration.limits_hu
        )
    finally:
        (folder / name).unlink(missing_ok=True)
    chosen = on_disk(to_int8(graph, {layer: layers[layer] for layer in quantisation.int8}))
    proved, certificate = _put_proved(folder, card, "int8", chosen, reference)
    return replace(proved, quantisation=quantisation) if certificate.passed else proved, certificate


def _put_proved(
    folder: Path,
    card: Card,
    precision: str,
    graph: onnx.ModelProto,
    reference: Reference,
    proof: onnx.ModelProto | None = None,
) -> tuple[Card, Certificate]:
    """Write a graph, run the reference slices through it, and take it out again when it fails.

    proof: the same graph in a form in which this engine rounds as others do; it is what runs, and is not kept.
    """
    name = graph_file(precision)
    if proof is not None:
        in_its_place = _put(folder, card, name, proof.SerializeToString(deterministic=True))
        engine = _engine(Model(folder, in_its_place), name)
        engine.description += ", rounding to fp16 as a GPU does"
    with_graph = _put(folder, card, name, graph.SerializeToString(deterministic=True))
    own = _int8_engine(folder, with_graph, name) if precision == "int8" else _engine(Model(folder, with_graph), name)
    certificate = certify(
        own if proof is None else engine, reference, file=name, precision=precision, ct_window_hu=card.ct_window_hu
    )
    if not certificate.passed:
        (folder / name).unlink()
        return card, certificate
    return replace(with_graph, certificates=(*card.certificates, certificate)), certificate


def _int8_engine(folder: Path, card: Card, name: str) -> Backend:
    """OpenVINO, which multiplies in eight bits; where it is not installed onnxruntime, which convolves the same rounded
    numbers in fp32."""
    try:
        from mr2ct.openvino_backend import OpenvinoBackend
    except DeviceError:
        return _engine(Model(folder, card), name)
    try:
        return OpenvinoBackend(Model(folder, card), name, "int8", say=lambda _: None)
    except ModelError as error:
        raise ExportError(str(error)) from error


def _refusal(certificate: Certificate) -> str:
    errors = ", ".join(
        f"{name.removesuffix('_hu').replace('_', '.')} {getattr(certificate, name):.3g} HU (at most {limit:g})"
        for name, limit in certificate.budget_hu.items()
    )
    return f"{certificate.file}: not written: too far from PyTorch fp32: {errors}"


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError when there is something at out that may not be replaced."""
    if out.exists() and not (overwrite and (out / CARD).is_file()):
        remedy = "it is no model folder, so it is not replaced" if overwrite else "--overwrite replaces a model folder"
        raise OutputError(f"{out}: exists already; {remedy}")


@contextmanager
def folder_or_nothing(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside out that takes its place when the block succeeds. Only a model folder is replaced."""
    refuse_existing(out, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out}: cannot write there: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's 0700 would hide the model from the other users of a scanner's machine
        if out.exists():
            old = folder.with_suffix(".old")  # out of the way and back by hand, should the machine stop right here
            out.replace(old)
            folder.replace(out)
            shutil.rmtree(old)
        else:
            folder.replace(out)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{out}: not written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
