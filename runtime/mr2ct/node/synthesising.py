"""The engine of a node: opened once, warm for every series."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mr2ct.choosing import choose_backend
from mr2ct.model import open_model
from mr2ct.node.telling import LOG
from mr2ct.node.working import Synthesise
from mr2ct.trip import Wishes, make_synthetic_ct


@contextmanager
def warm_engine(
    model: Path | None,
    *,
    device: str = "auto",
    precision: str = "auto",
    quality: str = "standard",
    threads: int | None = None,
    uncertified: bool = False,
    mark_synthetic: bool = True,
) -> Iterator[Synthesise]:
    """What makes a CT series of an MR series, each call on the same open engine; arguments as for mr2ct-run.

    What the gate refuses is refused: nobody looks at a node's output who could know what was forced.
    Raises ModelError and DeviceError; the calls raise Mr2ctError's subclasses, and then leave no CT behind.
    """
    opened = open_model(model)
    with choose_backend(
        opened,
        device=device,
        precision=precision,
        quality=quality,
        threads=threads,
        uncertified=uncertified,
        say=LOG.info,
    ) as choice:
        LOG.info(
            "model %s %s on %s, %s (%s)",
            opened.card.name,
            opened.card.version,
            choice.backend.description,
            choice.precision,
            choice.why,
        )

        def synthesise(mr: Path, ct: Path) -> None:
            make_synthetic_ct(mr, ct, opened, choice, Wishes(mark_synthetic=mark_synthetic))

        yield synthesise
