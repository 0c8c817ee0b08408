"""When a series is complete, and what becomes of instances that come after.

DICOM does not say when a series ends, so it has ended when nothing came for a while. What comes later reopens it: the
series is made again from all its instances, so that no slice is lost. Its CT has other UIDs then, since they follow
from what it was made of, and a CT that was sent before stays where it was sent.
"""

from __future__ import annotations

import logging
import threading
import time

from mr2ct.node.identity import series_uid
from mr2ct.node.settings import Settings
from mr2ct.node.spool import Spool
from mr2ct.node.telling import LOG, Teller

POLL_S = 0.1
HOUSEKEEPING_S = 60.0
DAY_S = 86400.0
# what is said of a series that late instances came for, by the state it was in
AGAIN_AFTER = {
    "queued": "before its CT was begun",
    "made": "before its CT was sent",
    "sending": "while its CT was sent; what the destination has of it stays there",
    "done": "after its CT was sent, which stays at the destination",
    "refused": "after it was refused",
    "failed": "after its CT could not be delivered",
}


class Gatherer(threading.Thread):
    """Queues what is complete, and forgets what is old."""

    def __init__(self, settings: Settings, spool: Spool, stop: threading.Event) -> None:
        super().__init__(name="gatherer", daemon=True)
        self.settings, self.spool, self.stopping = settings, spool, stop
        self._cleaned = time.monotonic()
        self._tell = Teller()

    def run(self) -> None:
        """Until the node stops."""
        while not self.stopping.wait(min(POLL_S, self.settings.quiet_seconds)):
            try:
                self.queue_complete()
                if time.monotonic() - self._cleaned > HOUSEKEEPING_S:
                    self.forget_old()
                    self.spool.measure()
                    self._cleaned = time.monotonic()
            except OSError as error:  # a full disk has no room for a name either; everything stays as it was
                self._tell.once(logging.ERROR, ("gather",), f"cannot queue series: {error.strerror}; tried again")

    def queue_complete(self) -> None:
        """Queue every series that has been quiet for long enough."""
        for key in self.spool.keys("receiving"):
            if self.spool.quiet_seconds(key) >= self.settings.quiet_seconds:
                with self.spool.lock:
                    self._queue(key)

    def forget_old(self) -> None:
        """Remove what was delivered or refused --keep-days ago."""
        for state in ("done", "refused"):
            for key in self.spool.keys(state):
                with self.spool.lock:
                    if self.spool.state_of(key) != state or key in self.spool.in_hand:
                        continue
                    if self.spool.age(state, key) > self.settings.keep_days * DAY_S:
                        uid = series_uid(self.spool.at(state, key) / "mr")
                        self.spool.discard(state, key)
                        LOG.info("series %s: %s %g days ago, removed", uid, state, self.settings.keep_days)

    def _queue(self, key: str) -> None:
        earlier = self.spool.state_of(key)
        if earlier == "working" or key in self.spool.in_hand:
            return  # asked again when it is out of hand
        late = len(self.spool.instances("receiving", key))
        uid = series_uid(self.spool.at("receiving", key) / "mr")
        if earlier is None:
            self.spool.move(key, "receiving", "queued")
            LOG.info("series %s: complete with %d instances, queued", uid, late)
            return
        count = self.spool.add_earlier(key, earlier)
        self.spool.move(key, "receiving", "queued")
        LOG.warning("series %s: %d instances came %s; made again from all %d", uid, late, AGAIN_AFTER[earlier], count)
