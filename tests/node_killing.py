"""A node that is killed again and again while series come in and CTs go out, and what has arrived in the end."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydicom import dcmread

from dicom_peers import NodeProcess, StoreScp, free_port, send, wait_for
from mr2ct.node.spool import STATES
from mr_files import ROOT, write_mr
from standing_in import derived

SCANNERS = 2


def kill_again_and_again(
    folder: Path, *, kills: int, series: int, slices: int, seconds: float, longest_life: float, quiet: float, seed: int
) -> dict[str, Any]:
    """Send series to a node that is killed at random moments, each until storescu has an answer to all of it.

    seconds: that a synthesis takes. longest_life: seconds that a node listens until it is killed, at most; series
    are sent along with the kills, so that each finds some in several states. quiet: seconds, longer than storescu needs
    to come back after it was cut off, so that no half of a series is taken for a whole one. Returns what was seen at
    each kill, and what has arrived at storescp.
    """
    chance = random.Random(seed)
    uids = [f"{ROOT}.{700 + number}" for number in range(series)]
    files = {uid: write_mr(folder / "mr" / uid, uid, slices) for uid in uids}
    pacs = StoreScp(folder / "pacs")
    port = free_port()
    begun = time.monotonic()

    def start() -> NodeProcess:
        return NodeProcess(folder / "spool", pacs.port, folder / "log", port=port, seconds=seconds, quiet_seconds=quiet)

    def send_all(mine: list[str]) -> None:
        for number, uid in enumerate(mine):
            while len(killed_at) < kills * number // len(mine):
                time.sleep(0.1)
            while send(port, files[uid]).returncode != 0:
                retries.append(uid)
                time.sleep(0.1)

    def states() -> dict[str, list[str]]:
        return {state: [one.name for one in (folder / "spool" / state).iterdir()] for state in STATES}

    retries: list[str] = []
    killed_at: list[dict[str, int]] = []
    node = start()
    scanners = [threading.Thread(target=send_all, args=(uids[number::SCANNERS],)) for number in range(SCANNERS)]
    for scanner in scanners:
        scanner.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0, longest_life))
            node.kill()
            killed_at.append({state: len(held) for state, held in states().items()})
            node = start()
        for scanner in scanners:
            scanner.join()
        wait_for(lambda: len(states()["done"]) == series, f"a series did not arrive: {states()}", patience=120)
        code = node.stop()
    finally:
        node.process.kill()
        pacs.stop()
    arrived = Counter(str(dcmread(file).SeriesInstanceUID) for file in pacs.files)
    expected = {derived(uid, "PID-4711", *sorted_uids(files[uid])): slices for uid in uids}
    return {
        "kills": kills,
        "series": series,
        "slices": slices,
        "synthesis_seconds": seconds,
        "longest_life_seconds": longest_life,
        "quiet_seconds": quiet,
        "series_by_state_at_each_kill": killed_at,
        "sends_cut_off_and_repeated": len(retries),
        "series_arrived": len(arrived),
        "all_whole_and_once": dict(arrived) == expected,
        "instances_arrived": len(pacs.files),
        "instances_sent_twice": pacs.requests - len(pacs.files),
        "exit_code": code,
        "seconds": time.monotonic() - begun,
    }


def sorted_uids(files: list[Path]) -> list[str]:
    """SOPInstanceUIDs in the order that the stand-in reads them from a spool: by their sha256."""
    uids = [str(dcmread(file).SOPInstanceUID) for file in files]
    return sorted(uids, key=lambda uid: hashlib.sha256(uid.encode()).hexdigest())
