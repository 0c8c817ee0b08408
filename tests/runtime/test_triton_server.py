"""NVIDIA's own tritonserver, where one is named: it loads what was written, warms it up, batches, and answers alike.

MR2CT_TRITONSERVER names its folder: /opt/tritonserver in NVIDIA's image, or pytriton/tritonserver of the wheel
nvidia-pytriton in a virtual environment of its own (pip install nvidia-pytriton onnxruntime), which has the server but
not its backend onnxruntime: triton_python_model.py stands in for that one, with the numpy that this server wants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dicom_peers import free_port
from mr2ct import open_model
from mr2ct.choosing import Choice, choose_backend
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import UNTRAINED, Model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from small_models import halving_model

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install 'mr2ct[triton]'")

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from mr2ct.triton_backend import PIECE
from mr2ct_export.triton import write_repository

NAMED = os.environ.get("MR2CT_TRITONSERVER")
STAND_IN = Path(__file__).resolve().parents[1] / "triton_python_model.py"
PATIENCE_S = 90
FP32 = "mr_to_ct.fp32.onnx"

pytestmark = pytest.mark.skipif(
    NAMED is None,
    reason="no tritonserver: MR2CT_TRITONSERVER names its folder, of NVIDIA's image or of the wheel nvidia-pytriton",
)


def backends(server: Path, folder: Path) -> Path:
    """The server's own backends, or those with a stand-in for onnxruntime."""
    if (server / "backends" / "onnxruntime").is_dir():
        return server / "backends"
    packages = server.parents[1]
    shutil.copytree(server / "backends" / "python", folder / "python")
    stub = server / "python_backend_stubs" / packages.parent.name.removeprefix("python")
    shutil.copy(stub / "triton_python_backend_stub", folder / "python")
    (folder / "onnxruntime").mkdir()
    shutil.copy(STAND_IN, folder / "onnxruntime" / "model.py")
    return folder


def environment(server: Path) -> dict[str, str]:
    """What a server of a wheel needs to find its own libraries and packages; one of an image has what it needs."""
    packages = server.parents[1]
    libraries = [str(packages / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    told = {
        "PATH": os.pathsep.join([str(packages.parents[2] / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(packages),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }
    return {**os.environ, **(told if packages.name == "site-packages" else {})}


@contextmanager
def triton(repository: Path, folder: Path) -> Iterator[int]:
    """A server of a repository on a free port; its log goes to the test's output when it does not start."""
    server, port = Path(str(NAMED)), free_port()
    command = [server / "bin" / "tritonserver", "--model-repository", repository, "--grpc-port", port]
    command += ["--backend-directory", backends(server, folder), "--allow-http", "false", "--allow-metrics", "false"]
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen([str(part) for part in command], env=environment(server), stdout=log, stderr=log) as process,
    ):
        try:
            yield port
        finally:
            process.terminate()
            process.wait()
            print((folder / "log").read_text(errors="replace"))


def opened(model: Model, port: int, precision: str = "auto") -> Choice:
    """The server's engine, once it has started."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            return choose_backend(model, f"triton://127.0.0.1:{port}", precision)
        except DeviceError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def test_it_serves_what_was_written_and_answers_as_onnxruntime_here(tmp_path: Path) -> None:
    network, repository = open_model(UNTRAINED), tmp_path / "repository"
    halving = halving_model(tmp_path / "halving")
    for model in (network, halving):
        write_repository(model, repository, overwrite=False)
    (tmp_path / "server").mkdir()
    batch = np.random.default_rng(0).uniform(-1, 1, (5 * PIECE + 1, 1, 256, 256)).astype(np.float32)
    with triton(repository, tmp_path / "server") as port:
        with opened(network, port) as choice:
            assert choice.backend.description.startswith("Triton 2.") and choice.certificate is not None
            answer = choice.backend.run(batch)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
        (told,) = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=f"{network.card.name}-fp32")).model_stats
        with opened(halving, port) as choice:
            np.testing.assert_array_equal(choice.backend.run(batch[:3]), batch[:3] / 2)
        with pytest.raises(
            ModelError, match="no model somebody-fp32 there, but identity-ct_to_mr-fp32, identity-fp32, "
        ):
            choose_backend(halving, f"triton://127.0.0.1:{port}/somebody")
    local = OnnxruntimeBackend(network, FP32, "cpu", threads=1).run(batch)
    np.testing.assert_allclose(answer, local, rtol=0, atol=1e-5)  # 0.01 HU: a sum's order depends on the batch
    assert max(size.batch_size for size in told.batch_stats) > PIECE  # Triton put requests together
