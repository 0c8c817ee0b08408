"""The queue on disk: a series is a folder, and which folder it lies in is its state.

    SPOOL/lock            held by the one node that uses the spool
    SPOOL/incoming/       instances while they are written; emptied at start
    SPOOL/STATE/KEY/mr/   its instances, NAME.dcm each; KEY and NAME are sha256, see identity.py
    SPOOL/STATE/KEY/ct/   its synthetic CT, once made
    SPOOL/STATE/KEY/acknowledged.txt   the files of ct/ that the destination has, one a line
    SPOOL/STATE/KEY/reason.txt         why it is in refused or failed
    SPOOL/trash/          on their way out; emptied at start

A step is one rename, which has happened or has not, whenever the process is killed. A series is in one state; only
while late instances arrive is there a second folder of it, in receiving. Every method may be called by any thread.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from mr2ct.errors import OutputError
from mr2ct.node.durable import make_folder, rename_synced, sync_folder, write_synced
from mr2ct.node.identity import Identity
from mr2ct.node.settings import Settings

# in the order of a series' life; refused: no CT can be made of it; failed: its CT could not be delivered
STATES = ("receiving", "queued", "working", "made", "sending", "done", "refused", "failed")
AFTER_RECEIVING = STATES[1:]
BLOCK_BYTES = 4096  # of a file system; a small file takes one, and about as much for its name


class Spool:
    """The spool of a node; recover() comes first, once."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.spool
        self.settings = settings
        self.lock = threading.RLock()
        # series that a thread works on, which no other may move
        self.in_hand: set[str] = set()
        self.bytes = 0
        # of each series in receiving: when its newest instance came (time.monotonic) and how many it has
        self._newest: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def recover(self) -> list[str]:
        """Make the folders, and put right what a killed node left. Returns the keys that it was working on."""
        try:
            for name in ("incoming", "trash", *STATES):
                make_folder(self.folder / name)
            for name in ("incoming", "trash"):
                _empty(self.folder / name)
            stopped = self.keys("working")
            for key in stopped:
                self.move(key, "working", "queued")
            for state in STATES:
                for key in self.keys(state):
                    _no_later_than_now(self.at(state, key))
                    _no_later_than_now(self.at(state, key) / "mr")
            for key in self.keys("receiving"):
                instances = self.instances("receiving", key)
                if not instances:  # killed between making the folder and the first instance
                    self.discard("receiving", key)
                    continue
                # nobody could send while the node was off: that silence says nothing, and nor does any clock
                self._newest[key] = time.monotonic()
                self._counts[key] = len(instances)
            self.measure()
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be used as a spool: {error.strerror}") from error
        return stopped

    def at(self, state: str, key: str) -> Path:
        """Where a series lies in a state."""
        return self.folder / state / key

    def keys(self, state: str) -> list[str]:
        """The series in a state, longest complete first."""
        times: list[tuple[float, str]] = []
        for folder in (self.folder / state).iterdir():
            try:
                times.append(((folder / "mr").stat().st_mtime, folder.name))
            except (FileNotFoundError, NotADirectoryError):  # moved on in the meantime, or nothing of ours
                continue
        return [key for _, key in sorted(times)]

    def state_of(self, key: str) -> str | None:
        """The state of a series beyond receiving, None for none."""
        return next((state for state in AFTER_RECEIVING if self.at(state, key).is_dir()), None)

    def instances(self, state: str, key: str) -> list[Path]:
        """The MR files of a series, sorted by name."""
        folder = self.at(state, key) / "mr"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def age(self, state: str, key: str) -> float:
        """Seconds since a series came to its state; 0 for a time to come."""
        return max(0.0, time.time() - self.at(state, key).stat().st_mtime)

    def quiet_seconds(self, key: str) -> float:
        """Seconds since a series' newest instance, or since the node's start, by a clock that nobody sets."""
        return time.monotonic() - self._newest.get(key, time.monotonic())

    def store(self, identity: Identity, content: Sequence[bytes]) -> bool:
        """Keep an instance; it is on the disk when this returns. False: it was here before, byte for byte.

        Raises OutputError where a limit forbids it, OSError where the disk does; nothing is left behind then.
        """
        size = sum(map(len, content))
        with self.lock:
            if self._is_here(identity, content):
                return False
            self._check_room(identity, size)
        partial = self.folder / "incoming" / uuid.uuid4().hex
        write_synced(partial, content)
        try:
            with self.lock:
                key = identity.key
                folder = self.at("receiving", key)
                if not folder.is_dir() and self.at("queued", key).is_dir() and key not in self.in_hand:
                    self.move(key, "queued", "receiving")  # it was not complete after all
                make_folder(folder / "mr")
                target = folder / "mr" / f"{identity.name}.dcm"
                if key not in self._counts:
                    self._counts[key] = len(self.instances("receiving", key))
                self._counts[key] += not target.exists()
                partial.rename(target)
                sync_folder(target.parent)  # that the other name is gone may be forgotten
                self._newest[key] = time.monotonic()
                self.bytes += size + BLOCK_BYTES
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return True

    def take(self, key: str, old: str, new: str) -> bool:
        """Move a series on and keep it in hand; False when another thread was faster. give_back ends it."""
        with self.lock:
            if key in self.in_hand or not self.at(old, key).is_dir():
                return False
            if old != new:
                self.move(key, old, new)
            self.in_hand.add(key)
            return True

    def give_back(self, key: str) -> None:
        """Let other threads move a series again."""
        with self.lock:
            self.in_hand.discard(key)

    def move(self, key: str, old: str, new: str, reason: str | None = None) -> None:
        """One step of a series' life, with the reason for refused and failed, which is written first."""
        with self.lock:
            source = self.at(old, key)
            if reason is not None:
                write_synced(source / "reason.txt", [f"{reason}\n".encode()])
            rename_synced(source, self.at(new, key))
            os.utime(self.at(new, key))
            if old == "receiving":
                self._newest.pop(key, None)
                self._counts.pop(key, None)

    def discard(self, state: str, key: str) -> None:
        """Remove a series from a state, at once for everybody who looks."""
        with self.lock:
            rename_synced(self.at(state, key), self.folder / "trash" / uuid.uuid4().hex)
            if state == "receiving":
                self._newest.pop(key, None)
                self._counts.pop(key, None)
        _empty(self.folder / "trash")

    def add_earlier(self, key: str, state: str) -> int:
        """Join a series' earlier instances to the late ones in receiving, which win; the earlier folder goes.

        A kill in between leaves receiving with some of both or all, and the earlier folder until receiving has all.
        Returns how many instances there are now.
        """
        with self.lock:
            target = self.at("receiving", key) / "mr"
            for file in self.instances(state, key):
                if not (target / file.name).exists():
                    os.link(file, target / file.name)
            sync_folder(target)
            count = len(self.instances("receiving", key))
            self.discard(state, key)
            return count

    def measure(self) -> None:
        """Count the bytes anew; between two calls only what comes in is counted."""
        total = 0
        for where, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += (Path(where) / name).stat().st_size + BLOCK_BYTES
                except FileNotFoundError:  # moved on in the meantime
                    continue
        self.bytes = total

    @property
    def free_bytes(self) -> int:
        """What the disk has left."""
        return shutil.disk_usage(self.folder).free

    def _is_here(self, identity: Identity, content: Sequence[bytes]) -> bool:
        """Whether this very instance is already on its way; what was refused or failed is worth another try."""
        state = self.state_of(identity.key)
        if self.at("receiving", identity.key).is_dir():
            state = "receiving"
        if state is None or state in ("refused", "failed"):
            return False
        file = self.at(state, identity.key) / "mr" / f"{identity.name}.dcm"
        return file.is_file() and file.read_bytes() == b"".join(content)

    def _check_room(self, identity: Identity, size: int) -> None:
        most = self.settings
        if self._counts.get(identity.key, 0) >= most.max_files_per_series:
            raise OutputError(f"{most.max_files_per_series} instances already; --max-files-per-series allows more")
        if self.bytes + size > most.max_spool_bytes:
            raise OutputError(f"the spool holds {self.bytes / 1e9:.1f} GB; --max-spool-gb allows more")
        if self.free_bytes - size < most.min_free_bytes:
            raise OutputError(f"the disk has {self.free_bytes / 1e9:.1f} GB left; --min-free-gb wants more: make room")


def _no_later_than_now(path: Path) -> None:
    """A time to come, from a clock that was set back, would keep its series waiting for as long: it becomes now."""
    if path.stat().st_mtime > time.time():
        os.utime(path)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
