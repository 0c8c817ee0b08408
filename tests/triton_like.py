"""A server of Triton's protocol, by Triton's own definitions, over a Triton repository, with onnxruntime behind it.

    python tests/triton_like.py REPO PORT [SECONDS]

It does what Triton does with a model: reads config.pbtxt, loads the latest version, answers gRPC. What a test wants of
a bad server can be set: seconds an inference takes, an error added to every answer, a model that is not ready.
"""

from __future__ import annotations

import sys
import threading
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

VERSION = "2.0-test"


class Served:
    """A model of the repository, loaded; a failed one has no session, but a reason."""

    def __init__(self, folder: Path) -> None:
        self.config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert self.config.name == folder.name, "Triton wants the folder's name"
        versions = [int(sub.name) for sub in folder.iterdir() if sub.name.isdecimal()]
        self.version, self.reason = str(max(versions)), ""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = folder / self.version / self.config.default_model_filename
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


class TritonLike(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A context manager: serves while the block runs.

    seconds: an inference of several slices takes.  off: is added to every answer.  reason: why no model is ready, ""
    for all are.  version: of the server.  batches: sizes of the requests that came.  together: the most that were there
    at once.  cancelled: whether one was called off.
    """

    def __init__(
        self,
        repository: Path,
        port: int = 0,
        *,
        seconds: float = 0.0,
        off: float = 0.0,
        reason: str = "",
        tls: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.seconds, self.off, self.reason, self.version = seconds, off, reason, VERSION
        self.batches: list[int] = []
        self.cancelled, self._ending = threading.Event(), threading.Event()
        self.together = self._inside = 0
        self._counting = threading.Lock()
        self.models = {path.parent.name: Served(path.parent) for path in sorted(repository.glob("*/config.pbtxt"))}
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if tls is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            self.port = self._server.add_secure_port(f"localhost:{port}", grpc.ssl_server_credentials([tls]))

    @property
    def url(self) -> str:
        return f"triton://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.stop(None).wait()

    def ServerMetadata(self, _: Any, __: Any) -> Any:  # noqa: N802 - gRPC's names
        return service_pb2.ServerMetadataResponse(name="triton", version=self.version)

    def RepositoryIndex(self, _: Any, __: Any) -> Any:  # noqa: N802 - gRPC's names
        state = "UNAVAILABLE" if self.reason else "READY"
        entry = service_pb2.RepositoryIndexResponse.ModelIndex
        return service_pb2.RepositoryIndexResponse(
            models=[
                entry(name=name, version=one.version, state=state, reason=self.reason)
                for name, one in self.models.items()
            ]
        )

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        return service_pb2.ModelConfigResponse(config=self._model(request.name, request.version, context).config)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        model = self._model(request.model_name, request.model_version, context)
        (taken,), (raw,) = request.inputs, request.raw_input_contents
        with self._counting:
            self._inside += 1
            self.together = max(self.together, self._inside)
            self.batches.append(taken.shape[0])
        context.add_callback(lambda: None if context.is_active() else self.cancelled.set())
        try:
            self._ending.wait(self.seconds if taken.shape[0] > 1 else 0)
            batch = np.frombuffer(raw, "<f4").reshape(taken.shape)
            (answer,) = model.session.run([request.outputs[0].name], {taken.name: batch})
        finally:
            with self._counting:
                self._inside -= 1
        answer = answer + np.float32(self.off)
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=model.version)
        response.outputs.add(name=request.outputs[0].name, datatype="FP32", shape=answer.shape)
        response.raw_output_contents.append(answer.tobytes())
        return response

    def _model(self, name: str, version: str, context: Any) -> Served:
        model = self.models.get(name)
        if model is None or version not in ("", model.version):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        assert model is not None
        return model


def main() -> None:
    """See above; says when it is there."""
    repository, port, *seconds = sys.argv[1:]
    with TritonLike(Path(repository), int(port), seconds=float(seconds[0]) if seconds else 0.0) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
