"""What a node is told at its start, each with its why."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

# PS3.5 section 6.2, VR AE: 16 characters at most, no backslash, no control characters, not only spaces
VALID_AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")
DESTINATION = re.compile(r"(?P<ae>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]/\s]+):(?P<port>[0-9]{1,5})")
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Destination:
    """Who gets the CT."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """A node's settings; seconds, bytes, hours and days are in the names."""

    # one node, one name: a peer that calls another name has the wrong address
    ae_title: str
    send_to: Destination
    spool: Path
    # who may call; empty means anybody, which the command line only takes when it is said aloud
    allow: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    # IANA's port for DICOM without special rights; 0 takes a free one
    port: int = 11112
    # scanners and PACS pause between instances, an association may end and another begin within one series
    quiet_seconds: float = 30.0
    # each costs two threads; a hospital has a handful of senders
    max_associations: int = 20
    # the most DCMTK sends; larger saves nothing measurable
    max_pdu_bytes: int = 128 * 1024
    # an enhanced MR of a head has about 100 MB; an instance is in memory while it arrives
    max_file_bytes: int = 512 * MIB
    # a brain MR has about 200 slices; more than this is a fault or a flood
    max_files_per_series: int = 4000
    # all series of all states together
    max_spool_bytes: int = 50 * GIB
    # room for the CTs of what was accepted, and for everybody else on the disk
    min_free_bytes: int = 2 * GIB
    # late instances of a series and a second look at a refused one need its files for a while; then patients' data goes
    keep_days: float = 7.0
    # a weekend, so that a destination that is down on Friday evening is met again on Monday
    give_up_hours: float = 72.0
    # how long at most until a destination that is up again is noticed
    retry_most_seconds: float = 300.0
    # a destination that answers and does not want an instance rarely changes its mind
    refusals_before_failed: int = 10
    # association requests come at once or never
    acse_seconds: float = 15.0
    # an answer to C-STORE may wait for the disk of the other side
    dimse_seconds: float = 60.0
    # silence on an open association, or one PDU that does not end
    network_seconds: float = 60.0
    # for associations and threads at SIGTERM; docker stop kills after 10 s
    stop_seconds: float = 8.0
    # /healthz and /metrics say nothing of patients, but much of a hospital: this machine only, unless told otherwise
    http_host: str = "127.0.0.1"
    # None: none
    http_port: int | None = 11180


def parse_destination(text: str) -> Destination:
    """AET@HOST:PORT, the host a name, an IPv4 address or an IPv6 address in brackets. Raises ValueError in one line."""
    match = DESTINATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not AET@HOST:PORT, such as PACS@10.0.0.5:104 or PACS@[fd00::5]:104")
    port = int(match["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{text!r}: {port} is no port; 1 to 65535 are")
    return Destination(check_ae_title(match["ae"]), match["host"].strip("[]"), port)


def check_ae_title(text: str) -> str:
    """An AE title without spaces at its ends, as they do not count. Raises ValueError in one line."""
    if VALID_AE_TITLE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no AE title: 1 to 16 ASCII characters, no backslash, not only spaces")
    return text.strip(" ")


def state_folder() -> Path:
    """$XDG_STATE_HOME/mr2ct/spool, or ~/.local/state/mr2ct/spool."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "mr2ct" / "spool"
