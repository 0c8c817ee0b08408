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
from mr2ct.many.attempts import MOST, Room, begin, begun, end
from mr2ct.many.item import OUT_OF_MEMORY, started
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry, utc_now
from mr2ct.many.pipeline import Maker, load
from mr2ct.many.text import one_line
from mr2ct.model import CARD, INSTALLED, Model, open_model
from mr2ct.slabs import linear_algebra_on_one_core

DIED = f"{MOST} workers died while they made it; the last ones made nothing else, and may have been out of memory"


@dataclass(frozen=True)
class Job:
    """What the driver tells every worker; picklable.

    model: the name of one that comes with mr2ct, or an absolute path that is the same on every node.  card_sha256: of
    its card, which has those of its files.  asked: what every item is made with.  threads: of an engine on the CPU.
    notes: a folder in OUT_DIR that is there as long as the run, see mr2ct.many.attempts; who does not see it has
    another OUT_DIR of that name.
    version: of the driver's mr2ct.
    """

    model: str
    card_sha256: str
    asked: Asked
    threads: int | None
    notes: Path
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
        self._notes, self._room = job.notes, Room()
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
        """See mr2ct.many.item.make_item. Where this worker could not begin, the item fails, and the run stops.

        What a worker died of before is made alone, and fails when it was begun too often.
        """
        try:
            if not isinstance(self._maker, Maker):
                raise self._maker
            died = begun(self._notes, item.id)
            if died >= MOST:
                return self._failed(item, DIED, OUT_OF_MEMORY, ours=ours)
            with self._room.alone() if died else self._room.together():
                begin(self._notes, item.id)  # and not before: who waits to be alone has no part in what happens
                made = self._maker.make(item, ours=ours)
                end(self._notes, item.id)
        except Mr2ctError as error:
            return self._failed(item, f"{self._node}: {error}", error.exit_code, ours=ours, stops=True)
        return made

    def _failed(self, item: Item, reason: str, code: int, *, ours: bool, stops: bool = False) -> Entry:
        return replace(
            started(item, ours=ours),
            state="failed",
            ended=utc_now(),
            reason=one_line(reason),
            exit_code=code,
            stops=stops,
        )

    def _opened(self, job: Job) -> Maker:
        if job.version != mr2ct.__version__:
            raise DeviceError(f"has mr2ct {mr2ct.__version__}, and the run is of {job.version}")
        if not job.notes.is_dir():
            raise DeviceError(
                f"{job.notes.parent} is another folder here, or none; OUT_DIR must be on storage that all nodes share"
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
