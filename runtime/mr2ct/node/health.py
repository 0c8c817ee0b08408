"""/healthz and /metrics over HTTP, on the loopback interface unless told otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mr2ct.errors import Mr2ctError
from mr2ct.node.metrics import CONTENT_TYPE
from mr2ct.node.telling import LOG

REQUEST_SECONDS = 10.0  # a request that takes longer to arrive is nobody's monitoring


class HealthServer:
    """Answers /healthz with 200 or 503 and JSON, /metrics with Prometheus' text; everything else with 404.

    ailing: why the node does not work, a line each; empty while it does.  metrics: the text of /metrics.
    Raises Mr2ctError where the port cannot be had.
    """

    def __init__(self, host: str, port: int, ailing: Callable[[], list[str]], metrics: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_SECONDS
            server_version, sys_version = "mr2ct", ""

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(HTTPStatus.OK, CONTENT_TYPE, metrics())
                elif self.path == "/healthz":
                    reasons = ailing()
                    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
                    body = {"status": "ailing" if reasons else "ok", "reasons": reasons}
                    self._answer(status, "application/json", json.dumps(body) + "\n")
                else:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there are /healthz and /metrics\n")

            def _answer(self, status: HTTPStatus, content: str, body: str) -> None:
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", content)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
                LOG.debug("http: " + format, *args)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise Mr2ctError(
                f"--http {host}:{port}: cannot listen there: {error.strerror}; another port may be free"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
