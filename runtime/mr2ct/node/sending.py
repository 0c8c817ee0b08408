"""CTs go to the destination, each instance until it is acknowledged, and none is forgotten while it is down.

What is acknowledged is written down after each instance. Killed between an acknowledgement and its line, the node sends
that instance once more: the same SOPInstanceUID with the same content, which replaces itself there.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from mr2ct.node.backoff import Backoff
from mr2ct.node.durable import append_synced
from mr2ct.node.identity import series_uid
from mr2ct.node.metrics import Metrics
from mr2ct.node.settings import Settings
from mr2ct.node.spool import Spool
from mr2ct.node.storing import Outcome, dicom_files, out_of_reach, store
from mr2ct.node.telling import LOG

POLL_S = 0.1
HOUR_S = 3600.0
ACKNOWLEDGED = "acknowledged.txt"


class Sender(threading.Thread):
    """Delivers the CTs, oldest first; one that the destination refuses does not keep the others waiting."""

    def __init__(self, settings: Settings, spool: Spool, metrics: Metrics, stop: threading.Event) -> None:
        super().__init__(name="sender", daemon=True)
        self.settings, self.spool, self.metrics, self.stopping = settings, spool, metrics, stop
        self._destination = Backoff(settings.retry_most_seconds)
        self._refusals: dict[str, Backoff] = {}
        self._up = False
        # when each CT was seen first, or last made progress (time.monotonic): time off does not count, nor any clock
        self._since: dict[str, float] = {}

    def run(self) -> None:
        """Until the node stops."""
        while not self.stopping.is_set():
            if not self.step():
                self.stopping.wait(POLL_S)

    def step(self) -> bool:
        """Try to deliver one CT; whether there was one to try."""
        if not self._destination.due:
            return False
        for state in ("sending", "made"):
            for key in self.spool.keys(state):
                self._since.setdefault(key, time.monotonic())
                if state == "made" and self.spool.at("receiving", key).is_dir():
                    continue  # late instances: it is made again before anybody has it
                if self._refusal(key).due and self.spool.take(key, state, "sending"):
                    try:
                        self._deliver(key)
                    except OSError as error:  # of this side's disk
                        wait = self._destination.failed()
                        LOG.error("cannot note what was sent: %s; tried again in %.1f s", error.strerror, wait)
                    finally:
                        self.spool.give_back(key)
                    return True
        return False

    def _deliver(self, key: str) -> None:
        folder = self.spool.at("sending", key)
        uid, noted = series_uid(folder / "mr"), folder / ACKNOWLEDGED
        noted.touch()
        # a part of a line, which a kill leaves, is no file's name
        known = set(noted.read_text(encoding="utf-8", errors="replace").split("\n"))
        files = dicom_files(folder / "ct")
        left = [file for file in files if file.name not in known]
        outcome = self._store(key, left, noted)
        self._up = not outcome.unreachable
        self.metrics.put("mr2ct_destination_up", self._up)
        if outcome.unreachable:
            wait = self._destination.failed()
            waiting = len(self.spool.keys("made")) + len(self.spool.keys("sending"))
            if not self.stopping.is_set():
                why = f"{self.settings.send_to}: {outcome.unreachable}"
                LOG.warning("destination %s; %d series wait, next try in %.1f s", why, waiting, wait)
                self._give_up_after_hours(key, uid, why)
            return
        self._destination.worked()
        if not outcome.refused:
            self._forget(key)
            self.spool.move(key, "sending", "done")
            self.metrics.add("mr2ct_series_delivered_total")
            LOG.info("series %s: CT of %d instances delivered to %s", uid, len(files), self.settings.send_to)
            return
        self._refused(key, uid, outcome, len(files))

    def _store(self, key: str, files: list[Path], noted: Path) -> Outcome:
        def acknowledged(file: Path) -> None:
            append_synced(noted, file.name)
            self._since[key] = time.monotonic()
            self.metrics.add("mr2ct_instances_sent_total")

        if not files:
            return Outcome()
        unreachable = "" if self._up else out_of_reach(self.settings)
        if unreachable:
            return Outcome(unreachable=unreachable)
        return store(files, self.settings, acknowledged, self.stopping.is_set)

    def _refused(self, key: str, uid: str, outcome: Outcome, total: int) -> None:
        count = sum(outcome.refused.values())
        self.metrics.add("mr2ct_instances_rejected_total", count)
        statuses = ", ".join(f"{status} for {many}" for status, many in sorted(outcome.refused.items()))
        why = f"{self.settings.send_to} refuses {count} of {total} instances ({statuses})"
        backoff = self._refusal(key)
        wait = backoff.failed()
        if backoff.failures >= self.settings.refusals_before_failed:
            self._fail(key, uid, f"{why}, {backoff.failures} times")
            return
        LOG.warning("series %s: %s; the others are kept as delivered, next try in %.1f s", uid, why, wait)
        self._give_up_after_hours(key, uid, why)

    def _give_up_after_hours(self, key: str, uid: str, why: str) -> None:
        hours = (time.monotonic() - self._since[key]) / HOUR_S
        if hours > self.settings.give_up_hours:
            self._fail(key, uid, f"{why}; nothing was acknowledged for {hours:.1f} hours")

    def _fail(self, key: str, uid: str, why: str) -> None:
        self._forget(key)
        self.spool.move(key, "sending", "failed", why)
        self.metrics.add("mr2ct_series_failed_total")
        LOG.error("series %s: %s; given up, kept in failed/%s, which moved to sending/ is tried again", uid, why, key)

    def _forget(self, key: str) -> None:
        self._refusals.pop(key, None)
        self._since.pop(key, None)

    def _refusal(self, key: str) -> Backoff:
        return self._refusals.setdefault(key, Backoff(self.settings.retry_most_seconds))
