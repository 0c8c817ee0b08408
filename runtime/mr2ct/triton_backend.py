"""A Triton inference server as an engine: slices go there over gRPC and come back.

Triton's own words, of which KServe's v2 protocol has some, by its own definitions:
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/README.html
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model
from mr2ct.stoppable import run_stoppable
from mr2ct.triton_model import GRAPH_SHA256, PLAN_SHA256, Place, parameters_of, served_name

try:
    # gRPC reads it when it loads, and else prints a log beside the one line that tells what is wrong
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc
except (ImportError, RuntimeError) as error:  # RuntimeError: tritonclient without [grpc]
    raise DeviceError(f"needs tritonclient ({error}): pip install 'mr2ct[triton]'") from error

# Slices a request: 2 MiB, under the 4 MiB that gRPC takes by default, and half of what the exported models batch.
PIECE = 8
IN_FLIGHT = 4  # requests: one computes, one waits in the server to be next, one travels each way
ANSWER_S = 10.0  # for what needs no computation
INFER_S = 120.0  # for a piece, with those before it: the first one tunes kernels, and a CPU takes 0.3 s a slice
HEARD_S = 5.0  # a server that starts again takes longer: it loads the models and warms them up
NEVER = -math.inf
SAID = 200  # characters of what the server says
DTYPE = "<f4"  # raw contents are little-endian, in row-major order
FP32, TYPE_FP32 = "FP32", 11  # as inference and as ModelConfig write it (model_config.proto, DataType)
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 5000),  # of 120 s: a node waits for a server that comes back
    ("grpc.enable_retries", 0),  # what gets lost was lost: the server that answers next may be another
    ("grpc.enable_http_proxy", 0),  # an MR goes to the server that was named, to nobody between
]


class _Calls:
    """Calls of gRPC that travel. They are made in a thread (mr2ct.stoppable) and called off from another one.

    Ctrl-C inside of gRPC, while a call begins, leaves it in a state in which the channel waits for ever to be closed.
    """

    def __init__(self) -> None:
        self._made: deque[Any] = deque(maxlen=IN_FLIGHT)  # no more than these travel
        self._off, self._one_at_a_time = False, threading.Lock()

    def start(self, method: Any, request: Any, seconds: float) -> Any:
        """A future of gRPC. Raises DeviceError when they were called off."""
        with self._one_at_a_time:
            if self._off:
                raise DeviceError("called off")
            self._made.append(method.future(request, timeout=seconds))
            return self._made[-1]

    def call_off(self) -> None:
        """End what travels, and let nothing follow; what was answered is not touched."""
        with self._one_at_a_time:
            self._off = True
            for call in self._made:
                call.cancel()


class TritonBackend:
    """One graph of a model, served; see mr2ct.backend.Backend. A server that was gone and is back is taken again.

    made_of: sha256 of what the server says it runs, of the plan or of the graph.
    """

    def __init__(
        self,
        model: Model,
        precision: str,
        place: Place,
        *,
        answer_s: float = ANSWER_S,
        infer_s: float = INFER_S,
        heard_s: float = HEARD_S,
    ) -> None:
        """answer_s, infer_s: seconds that the server has for an answer, and for a piece of slices.  heard_s: after so
        many seconds without an answer it may be another server.

        Raises DeviceError when no server answers there, it cannot run the model now, or its model is of another folder;
        ModelError when it has no model of this graph.
        """
        card = model.card
        self.place, self.name = place, served_name(place.name or card.name, precision, model.way)
        self.batch = self._max_batch = card.max_batch
        self._ends = card.input_name, card.output_name
        self._shape = (1, card.slices.rows, card.slices.columns)
        self._folder, self._wanted = model.folder, parameters_of(model, precision)
        self._answer_s, self._infer_s = answer_s, infer_s
        self._prove: Callable[[], object] | None = None
        self._heard_s, self._heard_at, self._renewing = heard_s, NEVER, False
        self._channel: Any = None
        if place.tls:
            channel = grpc.secure_channel(place.address, grpc.ssl_channel_credentials(), OPTIONS)
        else:
            channel = grpc.insecure_channel(place.address, OPTIONS)
        self._channel, self._stub = channel, service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            server = self._ask("ServerMetadata", service_pb2.ServerMetadataRequest())
            self._version = self._loaded_version()
            config = self._refuse_other()
        except BaseException:
            self.close()
            raise
        self._piece = min(PIECE, config.max_batch_size)
        plan = dict(_parameters(config)).get(PLAN_SHA256)
        self._wanted |= {} if plan is None else {PLAN_SHA256: plan}  # it may not become another one later
        self.made_of = plan or self._wanted[GRAPH_SHA256]
        self._server = _line(server.version)
        engine = _line(config.backend or config.platform)
        self.description = f"Triton {self._server}, {engine}, {self.name} version {_line(self._version)}"

    def again(self, prove: Callable[[], object]) -> None:
        """What is to be called before a run when the server may have been started again since, on another GPU say."""
        self._prove = prove

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See mr2ct.backend.Backend.run. Raises DeviceError when the server fails or is another since it was opened."""
        if not 1 <= len(batch) <= self._max_batch:
            raise DeviceError(f"{len(batch)} slices at once; this model takes 1 to {self._max_batch}")
        if batch.shape[1:] != self._shape:
            raise DeviceError(f"slices of {batch.shape[1:]}; this model takes {self._shape}")
        if self._channel is None:
            raise DeviceError(f"{self.description}: closed already")
        if not self._renewing and time.monotonic() - self._heard_at > self._heard_s:
            self._renew()
        self._refuse_other()  # a server loads other models while it runs
        calls = _Calls()
        return run_stoppable(lambda: self._through(batch, calls), calls.call_off)

    def close(self) -> None:
        """See mr2ct.backend.Backend.close."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _renew(self) -> None:
        """Have what answers now proved, as it was at the start."""
        self._renewing = True
        try:
            version = _line(self._ask("ServerMetadata", service_pb2.ServerMetadataRequest()).version)
            if version != self._server:
                raise DeviceError(f"{self.place}: Triton {version} is there now, {self._server} was; start mr2ct again")
            if self._prove is not None:
                self._prove()
        except BaseException:
            self._heard_at = NEVER
            raise
        finally:
            self._renewing = False

    def _through(self, batch: NDArray[np.float32], calls: _Calls) -> NDArray[np.float32]:
        answer = np.empty(batch.shape, np.float32)
        pending: deque[tuple[slice, Any]] = deque()
        try:
            for start in range(0, len(batch), self._piece):
                if len(pending) == IN_FLIGHT:
                    self._take(*pending.popleft(), answer)
                which = slice(start, min(start + self._piece, len(batch)))
                pending.append((which, self._send(batch[which], calls)))
            while pending:
                self._take(*pending.popleft(), answer)
        finally:
            calls.call_off()
        return answer

    def _send(self, piece: NDArray[np.float32], calls: _Calls) -> Any:
        request = service_pb2.ModelInferRequest(model_name=self.name, model_version=self._version)
        request.inputs.add(name=self._ends[0], datatype=FP32, shape=piece.shape)
        request.outputs.add(name=self._ends[1])
        request.raw_input_contents.append(np.ascontiguousarray(piece, DTYPE).tobytes())
        return calls.start(self._stub.ModelInfer, request, self._infer_s)

    def _take(self, which: slice, call: Any, answer: NDArray[np.float32]) -> None:
        response = self._result(call, f"failed on slices {which.start} to {which.stop - 1}", self._infer_s)
        wanted, raw = answer[which], response.raw_output_contents
        seen = [(output.name, output.datatype, tuple(output.shape)) for output in response.outputs]
        if seen != [(self._ends[1], FP32, wanted.shape)] or [len(part) for part in raw] != [wanted.nbytes]:
            told = f"{_line(str(seen))} in {sum(map(len, raw))} bytes"
            raise DeviceError(f"{self.place}: {self.name} answered {told} to slices of {wanted.shape}")
        answer[which] = np.frombuffer(raw[0], DTYPE).reshape(wanted.shape)

    def _loaded_version(self) -> str:
        """The latest version of the model that is loaded. Raises ModelError where there is none, DeviceError."""
        index = self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest()).models
        ours = [entry for entry in index if entry.name == self.name]
        ready: list[str] = [entry.version for entry in ours if entry.state == "READY"]
        if not ours:
            others = ", ".join(sorted({_line(entry.name) for entry in index})) or "none"
            raise ModelError(f"{self.place}: no model {self.name} there, but {others}; mr2ct-export --triton writes it")
        if not ready:
            reasons = "; ".join(_line(entry.reason) for entry in ours if entry.reason) or "it does not say why"
            raise DeviceError(f"{self.place}: {self.name} is not ready ({reasons}); the server's log tells more")
        return max(ready, key=lambda version: (len(version), version))

    def _refuse_other(self) -> Any:
        """The server's ModelConfig. Raises DeviceError unless it is of this model folder."""
        request = service_pb2.ModelConfigRequest(name=self.name, version=self._version)
        config = self._ask("ModelConfig", request).config
        there = dict(_parameters(config))
        for key, here in self._wanted.items():
            if there.get(key) != here:
                told = _line(there[key]) if key in there else "missing"
                raise DeviceError(
                    f"{self.place}: {self.name} is another model than {self._folder}: {key} is {told} there, "
                    f"{_line(here)} here; mr2ct-export --triton of this folder writes it again"
                )
        ends = [(end.name, end.data_type, tuple(end.dims)) for end in (*config.input, *config.output)]
        if ends != [(name, TYPE_FP32, self._shape) for name in self._ends] or config.max_batch_size < 1:
            raise DeviceError(
                f"{self.place}: {self.name} takes and gives {_line(str(ends))} in batches of {config.max_batch_size}; "
                f"this model needs float32 {self._shape} both ways; mr2ct-export --triton writes it again"
            )
        return config

    def _ask(self, what: str, request: Any) -> Any:
        calls, method = _Calls(), getattr(self._stub, what)

        def ask() -> Any:
            return self._result(calls.start(method, request, self._answer_s), f"no answer to {what}", self._answer_s)

        return run_stoppable(ask, calls.call_off)

    def _result(self, call: Any, what: str, seconds: float) -> Any:
        try:
            answer = call.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._told(call, what, seconds) from error
        self._heard_at = time.monotonic()
        return answer

    def _told(self, call: Any, what: str, seconds: float) -> DeviceError:
        self._heard_at = NEVER
        code, said = call.code(), _line(call.details() or "")
        remedy = {
            grpc.StatusCode.UNAVAILABLE: "is a Triton server running there, and is this its port of gRPC (8001)?",
            grpc.StatusCode.DEADLINE_EXCEEDED: f"it had {seconds:g} s; is it overloaded, or behind a firewall?",
            grpc.StatusCode.UNIMPLEMENTED: "is this a Triton server?",
        }.get(code, "the server's log tells more")
        return DeviceError(f"{self.place}: {what} ({code.name}: {said}); {remedy}")


def _parameters(config: Any) -> list[tuple[str, str]]:
    return [(key, value.string_value) for key, value in config.parameters.items()]


def _line(text: str) -> str:
    """What came over the network as one line of printable characters, not a long one."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SAID else f"{line[: SAID - 3]}..."
