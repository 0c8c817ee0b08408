"""What each worker of a cluster does: it opens the model once, makes sure that it is the driver's, and makes items."""

from __future__ import annotations

import os
import pickle
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mr2ct
from mr2ct.choosing import choose_backend
from mr2ct.errors import DeviceError, ModelError, Mr2ctError
from mr2ct.hashing import file_sha256
from mr2ct.many.asked import Asked
from mr2ct.many.item import started
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry
from mr2ct.many.pipeline import Maker, load
from mr2ct.many.text import one_line
from mr2ct.model import CARD, INSTALLED, Model, open_model
from mr2ct.slabs import linear_algebra_on_one_core


@dataclass(frozen=True)
class Job:
    """What the driver tells every worker; picklable.

    model: the name of one that comes with mr2ct, or an absolute path that is the same on every node.  card_sha256: of
    its card, which has those of its files.  asked: what every item is made with.  threads: of an engine on the CPU.
    mark: a file in OUT_DIR that is there as long as the run; who does not see it has another folder of that name.
    version: of the driver's mr2ct.
    """

    model: str
    card_sha256: str
    asked: Asked
    threads: int | None
    mark: Path
    version: str = mr2ct.__version__


def model_for_nodes(model: Model) -> tuple[str, str]:
    """How an opened model is named to other nodes, and the sha256 of its card."""
    named = model.folder.name if model.folder.parent == INSTALLED else os.path.abspath(model.folder)
    return named, file_sha256(model.folder / CARD)


class Worker:
    """An engine, and volumes through it, several of them at a time in threads of whoever calls.

    It never raises for what a node lacks: a run over many volumes tells in its manifest what went wrong, and where.
    """

    def __init__(self, job: Job) -> None:
        self._node = socket.gethostname()
        self._open = ExitStack()  # as long as the process
        self._maker: Maker | Mr2ctError
        try:
            self._maker = self._opened(job)
        except Mr2ctError as error:
            self._maker = error

    def __call__(self, rows: Any) -> dict[str, list[str]]:
        """Make the item of one row. rows: a pyarrow table with a column "item", of `as_row`; returns its last line."""
        item, ours = pickle.loads(rows["item"][0].as_py())
        return {"entry": [replace(self.make(item, ours=ours), node=self._node).as_line()]}

    def make(self, item: Item, *, ours: bool) -> Entry:
        """See mr2ct.many.item.make_item. Where this worker could not begin, the item fails, and the run stops."""
        if isinstance(self._maker, Maker):
            return self._maker.make(item, ours=ours)
        why = self._maker
        reason = f"{one_line(self._node)}: {one_line(why)}"
        return replace(started(item, ours=ours), state="failed", reason=reason, exit_code=why.exit_code, stops=True)

    def _opened(self, job: Job) -> Maker:
        if job.version != mr2ct.__version__:
            raise DeviceError(f"has mr2ct {mr2ct.__version__}, and the run is of {job.version}")
        if not job.mark.is_file():
            raise DeviceError(
                f"{job.mark.parent} is another folder here, or none; OUT_DIR must be on storage that all nodes share"
            )
        model = open_model(job.model)
        if file_sha256(model.folder / CARD) != job.card_sha256:
            raise ModelError(
                f"{model.folder} is another model here than where the run was started (sha256 of its card)"
            )
        asked = job.asked
        self._open.enter_context(linear_algebra_on_one_core())
        choice = self._open.enter_context(
            choose_backend(
                model, device=asked.device, precision=asked.precision, quality=asked.quality, threads=job.threads,
                uncertified=asked.wishes.uncertified,
            )
        )  # fmt: skip
        load(asked, dicom=True)
        return Maker(model, choice, asked)


def as_row(item: Item, *, ours: bool) -> dict[str, bytes]:
    """A row of what workers are given. ours: see mr2ct.many.item.make_item."""
    return {"item": pickle.dumps((item, ours))}
