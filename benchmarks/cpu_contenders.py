"""Who races on a CPU, in benchmarks/peers.py: what a user would take instead of mr2ct, and mr2ct itself.

Nothing heavy is imported before its contender loads. Each takes all cores it may have, in its own way, and one slice a
call: more at once need memory and are no faster (benchmarks/LOG.md).
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from contenders import Contender, InPieces, Job, Opener, Runner, refuse_missing
from mr2ct.errors import DeviceError
from mr2ct.opening import file_of, open_device

EAGER = "pytorch-fp32"  # what the others are compared with


def _pytorch(_: str, *, bf16: bool = False, compiled: bool = False) -> Opener:
    from cpu_pytorch import open_pytorch

    return partial(open_pytorch, bf16=bf16, compiled=compiled)


def _mr2ct(_: str, *, device: str, precision: str) -> Opener:
    """A device of mr2ct.choosing, as mr2ct-run opens it, certified or not: the error is measured here."""

    def opened(job: Job) -> Runner:
        refuse_missing(job.model, precision, file_of(precision))
        engine = open_device(job.model, device, precision, job.threads, _say)
        return InPieces(engine.backend, job.step)

    return opened


def _onnxruntime_own_int8(_: str) -> Opener:
    from cpu_onnxruntime import open_own_int8

    return open_own_int8


def _openvino_plain(_: str) -> Opener:
    from cpu_openvino import open_plain

    return open_plain


def _ncnn(_: str) -> Opener:
    from cpu_ncnn import open_ncnn

    return open_ncnn


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def in_work(job: Job, name: str) -> Path:
    """A place in the work folder for what a contender converts for itself."""
    return job.weights.parent / name


def refuse_gpu(job: Job, name: str) -> None:
    """Raise DeviceError where the GPU is asked for and a contender is of the CPU only."""
    if job.device != "cpu":
        raise DeviceError(f"{name} races on the CPU, and {job.device} was asked for")


CONTENDERS = (
    Contender(EAGER, "PyTorch eager, fp32", _pytorch, "fp32"),
    Contender("pytorch-bf16", "PyTorch eager, autocast bf16", partial(_pytorch, bf16=True), "bf16"),
    Contender("compile-fp32", "torch.compile, fp32", partial(_pytorch, compiled=True), "fp32"),
    Contender("compile-bf16", "torch.compile, autocast bf16", partial(_pytorch, bf16=True, compiled=True), "bf16"),
    Contender("onnxruntime-fp32", "onnxruntime, fp32", partial(_mr2ct, device="cpu", precision="fp32"), "fp32"),
    Contender(
        "onnxruntime-int8", "onnxruntime, mr2ct's int8 graph", partial(_mr2ct, device="cpu", precision="int8"), "int8"
    ),
    Contender("onnxruntime-own-int8", "onnxruntime, its own static int8", _onnxruntime_own_int8, "int8"),
    Contender("openvino-plain", "OpenVINO, its defaults", _openvino_plain, "fp32"),
    Contender("ncnn", "ncnn, its defaults", _ncnn, "fp32"),
    Contender("mr2ct-openvino-fp32", "mr2ct, fp32", partial(_mr2ct, device="openvino", precision="fp32"), "fp32"),
    Contender("mr2ct-openvino-bf16", "mr2ct, bf16", partial(_mr2ct, device="openvino", precision="bf16"), "bf16"),
    Contender("mr2ct-openvino-int8", "mr2ct, int8", partial(_mr2ct, device="openvino", precision="int8"), "int8"),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
