"""/healthz says how the node is, /metrics what it counts, in Prometheus' grammar."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from mr2ct.errors import Mr2ctError
from mr2ct.node.health import HealthServer
from mr2ct.node.metrics import DESCRIPTIONS, Metrics

# https://prometheus.io/docs/instrumenting/exposition_formats/, text version 0.0.4
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(
    rf'(?P<name>{NAME})(\{{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"\}})? (?P<value>[-+0-9.eE]+|\+Inf|NaN)'
)


class Ailing:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.metrics = Metrics()
        self.server = HealthServer("127.0.0.1", 0, lambda: self.reasons, self.metrics.text)
        self.server.start()

    def get(self, path: str) -> tuple[int, str, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.server.port}{path}") as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture
def node() -> Iterator[Ailing]:
    ailing = Ailing()
    yield ailing
    ailing.server.stop()


def test_health_is_200_or_503_with_the_reasons(node: Ailing) -> None:
    status, kind, body = node.get("/healthz")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"status": "ok", "reasons": []})
    node.reasons.append("worker has ended")
    status, _, body = node.get("/healthz")
    assert (status, json.loads(body)["reasons"]) == (503, ["worker has ended"])
    assert node.get("/etc/passwd")[0] == 404


def test_metrics_keep_to_the_grammar_and_to_the_naming_of_prometheus(node: Ailing) -> None:
    node.metrics.add("mr2ct_received_bytes_total", 2**40)
    node.metrics.observe("mr2ct_synthesis_seconds", 1.5)
    node.metrics.put("mr2ct_series", 3, label="done")
    status, kind, text = node.get("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert text.endswith("\n")
    types: dict[str, str] = {}
    values: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, types[name] = line.split(" ")
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            family = re.sub(r"_(sum|count)$", "", match["name"])
            assert family in types, f"{line}: no TYPE before it"
            values[line.rpartition(" ")[0]] = float(match["value"])
    assert set(types) == set(DESCRIPTIONS)
    for name, kind in types.items():
        assert name.startswith("mr2ct_")
        assert (kind == "counter") == name.endswith("_total")
    assert values["mr2ct_received_bytes_total"] == 2**40
    assert values["mr2ct_synthesis_seconds_sum"] == 1.5
    assert values["mr2ct_synthesis_seconds_count"] == 1
    assert values['mr2ct_series{state="done"}'] == 3
    assert values['mr2ct_instances_refused_total{reason="no_room"}'] == 0


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Mr2ctError, match=r"--http 127.0.0.1:\d+: cannot listen there: Address already in use"):
            HealthServer("127.0.0.1", taken.getsockname()[1], list, str)
