"""A model on a Triton server: where it is, its name there, and what its configuration says of the folder it is of.

mr2ct-export writes what mr2ct.triton_backend looks for, so both take it from here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mr2ct.card import Card
from mr2ct.errors import ModelError
from mr2ct.model import CARD, Model, Way, graph_file

SCHEMES = {"triton": False, "tritons": True}  # whether the connection is TLS
EXAMPLE = "triton://HOST:PORT"
# Keys of "parameters" in config.pbtxt, which Triton keeps and tells, and makes nothing of.
NAME, VERSION, PRECISION = "mr2ct_name", "mr2ct_version", "mr2ct_precision"
GRAPH_SHA256, CARD_SHA256, PLAN_SHA256 = "mr2ct_graph_sha256", "mr2ct_card_sha256", "mr2ct_plan_sha256"


@dataclass(frozen=True)
class Place:
    """A Triton server: triton://host:port, or tritons:// over TLS. name: of the model there, None for the card's."""

    host: str
    port: int
    name: str | None = None
    tls: bool = False

    @property
    def address(self) -> str:
        """host:port, as gRPC takes it."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'tritons' if self.tls else 'triton'}://{self.address}"


def is_place(device: str) -> bool:
    """Whether a device is a Triton server, rightly written or not."""
    return device.partition("://")[0] in SCHEMES


def parse_place(device: str) -> Place:
    """triton://HOST:PORT, with /NAME or without. Raises ValueError, in words for people."""
    wrong = f"{device!r} is not {EXAMPLE} nor {EXAMPLE}/MODEL, such as triton://localhost:8001; Triton's port of gRPC"
    try:
        parts = urlsplit(device)
        host, port, name = parts.hostname, parts.port, parts.path.removeprefix("/")
    except ValueError as error:  # a port that is none, brackets without end
        raise ValueError(wrong) from error
    more = parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in SCHEMES or not host or not port or more or (name and name != repository_name(name)):
        raise ValueError(wrong)
    return Place(host, port, name or None, SCHEMES[parts.scheme])


def repository_name(name: str) -> str:
    """A card's name as the name of a folder: letters, digits, . _ and -, for which others become -."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def served_name(name: str, precision: str, way: Way = "mr_to_ct") -> str:
    """The Triton model of a graph: each graph is a model of its own ("head-t1-fp32", "head-t1-ct_to_mr-fp32")."""
    return "-".join([repository_name(name), *([] if way == "mr_to_ct" else [way]), precision])


def parameters_of(model: Model, precision: str) -> dict[str, str]:
    """What a Triton model of this graph says of the folder it is of: names, and the sha256 of graph and card.

    Raises ModelError when card.json cannot be read any more.
    """
    card: Card = model.card
    try:
        told = hashlib.sha256((model.folder / CARD).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{model.folder / CARD}: cannot be read ({error.strerror})") from error
    return {
        NAME: card.name,
        VERSION: card.version,
        PRECISION: precision,
        GRAPH_SHA256: card.files[graph_file(precision, model.way)].sha256,
        CARD_SHA256: told,
    }
