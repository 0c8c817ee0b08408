"""ct_to_mr into the model folder, for the cycle check: proved like mr_to_ct, with the limit above which it warns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from mr2ct.card import Card
from mr2ct.cycle_card import CycleCertificate, CycleFacts
from mr2ct.cycle_certificate import TOLD_PERCENT, certify_way_back
from mr2ct.cycle_error import MOST, mr_range, relative_error
from mr2ct.model import Model, Reference, graph_file
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.in_folder import engine, put
from mr2ct_export.to_half import to_half, with_kept_casts
from mr2ct_export.to_onnx import OPSET, ExportError, to_onnx
from mr2ct_training.checkpoint import Checkpoint

# The limit of a head's mean: three SDs of the slices above their mean, as control charts have it (Shewhart). Slices of
# one head differ less than heads do, and six slices tell little of an SD: so it is never under 1.5 times the mean.
# An engineering choice, no clinical one.
LIMIT_SDS, LIMIT_LEAST = 3.0, 1.5


def cycled(reference: Reference, checkpoint: Checkpoint) -> Reference:
    """The reference with PyTorch's answer of ct_to_mr to its own synthetic CT: fp32, on the CPU, a slice at a time.

    Raises ExportError when the checkpoint has no ct_to_mr.
    """
    network = checkpoint.ct_to_mr
    if network is None:
        raise ExportError(
            "the checkpoint holds no ct_to_mr to check the cycle with: an untrained or paired one has none, nor one by "
            "an older mr2ct; leave --cycle-check out, or train unpaired"
        )
    network.eval()
    with torch.inference_mode():
        answers = [network(torch.from_numpy(one[np.newaxis])).numpy() for one in reference.synthetic_ct]
    return replace(reference, cycled_mr=np.concatenate(answers))


def cycle_facts(reference: Reference) -> CycleFacts:
    """How much of the reference slices' MR does not come back, and the limit; no certificates yet.

    Raises ExportError when it is no number, VolumeError when the slices have no contrast.
    """
    assert reference.cycled_mr is not None
    mr, head = reference.mr[:, 0], reference.head
    error = relative_error(reference.cycled_mr[:, 0], mr, mr_range(mr, head))
    if not np.isfinite(error).all():
        raise ExportError("ct_to_mr answers NaN or infinity to the reference slices")
    means = np.array([one[inside].mean() for one, inside in zip(error, head, strict=True) if inside.any()])
    return CycleFacts(
        slices=len(means),
        voxels=int(head.sum()),
        mean_percent=float(means.mean()),
        sd_percent=_sd(means),
        p95_percent=float(np.percentile(error[head], MOST)),
        limit_percent=limit_of(means),
        certificates=(),
    )


def limit_of(means: NDArray[np.float64]) -> float:
    """The mean error of a head, percent, that is too much, by the mean errors of slices, (n,)."""
    mean = float(means.mean())
    return max(mean + LIMIT_SDS * _sd(means), LIMIT_LEAST * mean, TOLD_PERCENT)


def _sd(means: NDArray[np.float64]) -> float:
    return float(means.std(ddof=1)) if len(means) > 1 else 0.0


def put_way_back(
    folder: Path,
    card: Card,
    checkpoint: Checkpoint,
    reference: Reference,
    *,
    fp16: bool,
    on_disk: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> tuple[Card, tuple[str, ...]]:
    """Write and prove ct_to_mr in fp32, and in fp16 if asked for.

    reference: of cycled().  on_disk: what is done to a graph before it is written.  Returns the card, and a line
    for every graph that is outside its budget and was not written; without an fp32 graph there is none at all.
    """
    assert checkpoint.ct_to_mr is not None
    facts = cycle_facts(reference)
    graph = to_onnx(checkpoint.ct_to_mr, card.slices, ends=(facts.input_name, facts.output_name))
    refused, told = [], replace(card, cycle=facts)
    for precision, written, proof in _graphs(graph, fp16, on_disk):
        told, certificate = _put_proved(folder, told, precision, written, proof, reference)
        if not certificate.passed:
            refused.append(_refusal(certificate))
            if precision == "fp32":
                return card, tuple(refused)
    return told, tuple(refused)


def _graphs(
    graph: onnx.ModelProto, fp16: bool, on_disk: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> Iterator[tuple[str, onnx.ModelProto, onnx.ModelProto]]:
    """Precision, the graph to write, and the one to prove it with, which rounds as a GPU does."""
    exact = on_disk(with_exact_norms(graph, OPSET))
    yield "fp32", exact, exact
    if fp16:
        half = to_half(graph)
        yield "fp16", on_disk(half), with_kept_casts(half)


def _put_proved(
    folder: Path,
    card: Card,
    precision: str,
    graph: onnx.ModelProto,
    proof: onnx.ModelProto,
    reference: Reference,
) -> tuple[Card, CycleCertificate]:
    name = graph_file(precision, "ct_to_mr")
    in_its_place = put(folder, card, name, proof.SerializeToString(deterministic=True))
    backend = engine(Model(folder, in_its_place).way_back(), name)
    if proof is not graph:
        backend.description += ", rounding to fp16 as a GPU does"
    certificate = certify_way_back(backend, reference, file=name, precision=precision)
    if not certificate.passed:
        (folder / name).unlink()
        return card, certificate
    proved = put(folder, card, name, graph.SerializeToString(deterministic=True))
    assert proved.cycle is not None
    facts = replace(proved.cycle, certificates=(*proved.cycle.certificates, certificate))
    return replace(proved, cycle=facts), certificate


def _refusal(certificate: CycleCertificate) -> str:
    errors = ", ".join(
        f"{name.removesuffix('_percent').replace('_', '.')} {getattr(certificate, name):.3g} % (at most {limit:g})"
        for name, limit in certificate.budget_percent.items()
    )
    return f"{certificate.file}: not written: too far from PyTorch fp32: {errors} of the MR window"
