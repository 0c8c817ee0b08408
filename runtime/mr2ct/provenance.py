"""What a synthetic CT was made of and by what, for the files that leave mr2ct."""

from __future__ import annotations

from dataclasses import dataclass

import mr2ct
from mr2ct.card import Certificate


@dataclass(frozen=True)
class Provenance:
    """model, version: the card's.  file, model_sha256: of the graph that ran.  engine: Backend.description.  precision:
    "fp32", ...  certificate: what proves the engine equal to PyTorch, None where it was run uncertified.  input_sha256:
    of the MR's file, or of a series' files, see mr2ct.hashing.  engine_sha256: of the plan that ran, or of the graph
    and what was done to it.  outside: why the gate would have refused the MR, a line
    each; empty where it did not.
    """

    model: str
    version: str
    file: str
    model_sha256: str
    engine: str
    precision: str
    certificate: Certificate | None
    input_sha256: str
    outside: tuple[str, ...] = ()
    engine_sha256: str = ""

    @property
    def software(self) -> str:
        """ "mr2ct VERSION" """
        return f"mr2ct {mr2ct.__version__}"
