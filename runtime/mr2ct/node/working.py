"""One series after the other becomes a CT, with an engine that stays warm."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mr2ct.errors import Mr2ctError, VolumeError
from mr2ct.node.backoff import Backoff
from mr2ct.node.durable import sync_tree, write_synced
from mr2ct.node.identity import series_uid
from mr2ct.node.metrics import Metrics
from mr2ct.node.settings import Settings
from mr2ct.node.spool import Spool
from mr2ct.node.telling import LOG, one_line, without_patient

# The folder of an MR series in, the folder of a CT series out, which is not there yet. Raises Mr2ctError.
Synthesise = Callable[[Path, Path], None]

POLL_S = 0.1
# a series that takes the node down with it, for want of memory say, is not tried for ever
STARTS_BEFORE_REFUSED = 10
STARTS = "starts.txt"


class Worker(threading.Thread):
    """Makes the CTs, oldest series first, those that took the node down last."""

    def __init__(
        self, settings: Settings, spool: Spool, metrics: Metrics, synthesise: Synthesise, stop: threading.Event
    ) -> None:
        super().__init__(name="worker", daemon=True)
        self.spool, self.metrics, self.synthesise, self.stopping = spool, metrics, synthesise, stop
        self._backoff = Backoff(settings.retry_most_seconds)

    def run(self) -> None:
        """Until the node stops."""
        while not self.stopping.is_set():
            if not self._backoff.due or not self.step():
                self.stopping.wait(POLL_S)

    def step(self) -> bool:
        """Make the CT of one series; whether there was one."""
        for key in sorted(self.spool.keys("queued"), key=self._starts):
            if self.spool.take(key, "queued", "working"):
                try:
                    self._make(key)
                except OSError as error:  # a disk without room for the reason of a refusal
                    self._postpone(key, series_uid(self.spool.at("working", key) / "mr"), error)
                finally:
                    self.spool.give_back(key)
                return True
        return False

    def _make(self, key: str) -> None:
        folder = self.spool.at("working", key)
        uid = series_uid(folder / "mr")
        starts = self._starts_in(folder)
        if starts >= STARTS_BEFORE_REFUSED:
            self._refuse(key, uid, f"the node ended {starts} times while it made this CT; is there enough memory?")
            return
        _clear(folder)
        begun = time.monotonic()
        try:
            write_synced(folder / STARTS, [f"{starts + 1}\n".encode()])
            self.synthesise(folder / "mr", folder / "ct")
            sync_tree(folder / "ct")
        except VolumeError as error:
            self._refuse(key, uid, str(error))
        except (Mr2ctError, OSError, MemoryError) as error:
            self._postpone(key, uid, error)
        except Exception as error:  # a fault in our code: this series waits for a person, the next one does not
            LOG.debug("while making a CT", exc_info=True)
            self._refuse(key, uid, f"unexpected {type(error).__name__}: {error}")
        else:
            seconds = time.monotonic() - begun
            (folder / STARTS).unlink(missing_ok=True)
            self._backoff.worked()
            self.spool.move(key, "working", "made")
            self.metrics.add("mr2ct_series_made_total")
            self.metrics.observe("mr2ct_synthesis_seconds", seconds)
            LOG.info("series %s: synthetic CT made in %.1f s", uid, seconds)

    def _refuse(self, key: str, uid: str, reason: str) -> None:
        folder = self.spool.at("working", key)
        _clear(folder)
        (folder / STARTS).unlink(missing_ok=True)
        reason = without_patient(reason.replace(f"{folder / 'mr'}: ", ""), self.spool.instances("working", key)[0])
        self.spool.move(key, "working", "refused", reason)
        self.metrics.add("mr2ct_series_refused_total")
        LOG.warning("series %s: refused: %s; kept in refused/%s", uid, reason, key)

    def _postpone(self, key: str, uid: str, error: BaseException) -> None:
        """Nothing is wrong with the series, but with the disk or the device: later, as often as it takes."""
        folder = self.spool.at("working", key)
        _clear(folder)
        (folder / STARTS).unlink(missing_ok=True)
        said = "out of memory" if isinstance(error, MemoryError) else str(error)
        said = without_patient(said, self.spool.instances("working", key)[0])
        wait = self._backoff.failed()
        self.spool.move(key, "working", "queued")
        self.metrics.add("mr2ct_synthesis_postponed_total")
        LOG.error("series %s: put off for %.1f s: %s", uid, wait, one_line(said))

    def _starts(self, key: str) -> int:
        return self._starts_in(self.spool.at("queued", key))

    @staticmethod
    def _starts_in(folder: Path) -> int:
        try:
            return int((folder / STARTS).read_text())
        except (FileNotFoundError, ValueError):  # none yet, or killed while it was written
            return 0


def _clear(folder: Path) -> None:
    """Remove what an earlier try left, but for the MR and the count of tries."""
    for path in folder.iterdir():
        if path.name not in ("mr", STARTS):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
