"""Killed before any call to the disk, the spool has every instance afterwards, and each series in one state."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from mr2ct.errors import OutputError
from mr2ct.node.gathering import Gatherer
from mr2ct.node.identity import Identity, identity_of
from mr2ct.node.metrics import Metrics
from mr2ct.node.sending import Sender
from mr2ct.node.spool import AFTER_RECEIVING, Spool
from mr2ct.node.working import Worker
from mr_files import ROOT, write_mr
from standing_in import every_file_becomes_ct, settings_of

SERIES = f"{ROOT}.100"
CALLS = ("fsync", "rename", "link", "utime", "mkdir", "unlink", "rmdir")  # of os, which pathlib and shutil use too


class Killed(BaseException):
    """What SIGKILL is to a process: nothing after it happens."""


class Fate:
    """Kills before the call that is numbered last; every later call too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for name in CALLS:
            # a process that is killed leaves what it wrote, synced or not; syncing would only take time here
            call = (lambda _handle: None) if name == "fsync" else getattr(os, name)
            monkeypatch.setattr(os, name, self._mortal(call))

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*arguments: Any, **options: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Killed
            return call(*arguments, **options)

        return mortal


class Life:
    """A node's parts on a spool, driven step by step, with a destination that takes everything."""

    def __init__(self, folder: Path, arrived: list[int], received: dict[Path, tuple[Identity, bytes]]) -> None:
        self.settings = settings_of(folder, "PACS@127.0.0.1:104", quiet_seconds=1e-9)
        self.spool = Spool(self.settings)
        self.spool.recover()
        stop, metrics = threading.Event(), Metrics()
        self.gatherer = Gatherer(self.settings, self.spool, stop)
        self.worker = Worker(self.settings, self.spool, metrics, shutil.copytree, stop)
        self.sender = Sender(self.settings, self.spool, metrics, stop)
        self.arrived, self.received = arrived, received

    def live(self, files: list[Path], late: list[Path]) -> None:
        """Receive, make, send; then receive late instances, make and send again."""
        for batch in (files, late):
            for file in batch:
                self.store(file)
            self.finish()

    def finish(self) -> None:
        """What the threads would do until nothing is left."""
        self.gatherer.queue_complete()
        while self.worker.step():
            pass
        for key in self.spool.keys("made"):
            assert self.spool.take(key, "made", "sending")
            self.spool.give_back(key)
        for key in self.spool.keys("sending"):
            self.arrived.append(len(list((self.spool.at("sending", key) / "ct").iterdir())))
            self.spool.move(key, "sending", "done")

    def store(self, file: Path) -> None:
        identity, content = self.received.get(file) or (identity_of(dcmread(file)), file.read_bytes())
        self.spool.store(identity, [content])


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    return Fate(monkeypatch)


def test_killed_before_any_call_to_the_disk_nothing_is_lost(fate: Fate, tmp_path: Path) -> None:
    files = write_mr(tmp_path / "mr", SERIES, slices=3)
    received = {file: (identity_of(dcmread(file)), file.read_bytes()) for file in files}
    first, late, whole = files[:2], files[2:], {identity.name for identity, _ in received.values()}
    kills = 0
    while True:
        spool, arrived = tmp_path / str(kills), list[int]()
        life = Life(spool, arrived, received)
        fate.left = kills
        with contextlib.suppress(Killed):
            life.live(first, late)
        alive, fate.left = fate.left >= 0, None
        again = Life(spool, arrived, received)
        states = [state for state in AFTER_RECEIVING for _ in again.spool.keys(state)]
        assert len(states) <= 1, f"killed before call {kills}: in {states}"
        again.live(first, late)  # a sender without an answer sends again
        assert [len(again.spool.keys(state)) for state in ("receiving", *AFTER_RECEIVING)] == [0, 0, 0, 0, 0, 1, 0, 0]
        (key,) = again.spool.keys("done")
        assert {file.stem for file in again.spool.instances("done", key)} == whole, f"killed before call {kills}"
        assert max(arrived) == 3, f"killed before call {kills}: the whole series did not arrive"
        assert list((spool / "incoming").iterdir()) == list((spool / "trash").iterdir()) == []
        if alive:
            break
        kills += 1
    assert kills > 40


def test_a_series_that_takes_the_node_down_each_time_comes_last_and_is_refused_in_the_end(tmp_path: Path) -> None:
    def deadly(mr: Path, ct: Path) -> None:
        if len(list(mr.iterdir())) == 1:
            raise Killed
        every_file_becomes_ct(mr, ct)

    deaths = 0
    for _ in range(20):
        life = Life(tmp_path / "spool", [], {})
        life.worker.synthesise = deadly
        if not deaths:
            life.store(write_mr(tmp_path / "a", SERIES, 1)[0])
            life.gatherer.queue_complete()
        if deaths == 1:
            for file in write_mr(tmp_path / "b", f"{ROOT}.101"):
                life.store(file)
            life.gatherer.queue_complete()
        try:
            while life.worker.step():
                pass
        except Killed:
            deaths += 1
            assert deaths == 1 or life.spool.keys("made"), "the other series had to wait"
    assert deaths == 10
    (key,) = life.spool.keys("refused")
    reason = (life.spool.at("refused", key) / "reason.txt").read_text()
    assert reason == "the node ended 10 times while it made this CT; is there enough memory?\n"


def test_what_a_folder_holds_that_is_not_ours_harms_nobody(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    Life(spool, [], {})
    (spool / "queued" / "lost+found").mkdir()
    (spool / "receiving" / "note.txt").write_text("a note")
    life = Life(spool, [], {})
    life.finish()
    assert life.spool.keys("queued") == []


def test_the_limit_of_a_series_holds_across_a_restart(tmp_path: Path) -> None:
    def limited() -> Spool:
        spool = Spool(settings_of(tmp_path / "spool", "PACS@127.0.0.1:104", max_files_per_series=2))
        spool.recover()
        return spool

    def instance(number: int) -> Identity:
        return Identity("a" * 64, f"{number:064}", SERIES, f"{SERIES}.{number}")

    spool = limited()
    assert spool.store(instance(1), [b"1"])
    assert spool.store(instance(2), [b"2"])
    for again in (spool, limited()):
        with pytest.raises(OutputError, match="2 instances already"):
            again.store(instance(3), [b"3"])
        assert again.store(instance(2), [b"2"]) is False
