"""A node with a synthesis of its own making: every MR file becomes a CT file, at once, as DICOM and as deterministic.

    python tests/standing_in.py SPOOL AET@HOST:PORT [NAME=VALUE ...]

runs it as mr2ct-serve runs the real one. NAME=VALUE: fields of Settings, and seconds=S for the time a synthesis takes.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from mr2ct.errors import RefusedError, VolumeError
from mr2ct.node.serving import serve
from mr2ct.node.settings import Settings, parse_destination
from mr2ct.node.telling import log_to_stderr

CALLER = "SCANNER"


def derived(*parts: str) -> str:
    """A UID that follows from others (PS3.5 annex B.2: 2.25. and a number)."""
    return f"2.25.{int(hashlib.sha256(' '.join(parts).encode()).hexdigest()[:30], 16)}"


def every_file_becomes_ct(mr: Path, ct: Path) -> None:
    """CT = MR - 1000. Refuses a series with SeriesDescription REFUSE, and one whose slices have a gap."""
    headers = [dcmread(file) for file in sorted(mr.iterdir())]
    first = headers[0]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID"):
        assert len({str(header[keyword].value) for header in headers}) == 1, "two series in one folder"
    if first.get("SeriesDescription") == "REFUSE":
        raise RefusedError(f"{mr}: refused, {first.PatientName} has contrast of {first.PatientID}, born 19700101")
    places = sorted(float(header.ImagePositionPatient[2]) for header in headers)
    if np.any(np.diff(places) != 1):
        raise VolumeError(f"series {first.SeriesInstanceUID}: a slice is missing; send the series again")
    source = [str(first.PatientID), *(header.SOPInstanceUID for header in headers)]
    ct.mkdir()
    for header in headers:
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = CTImageStorage
        header.SOPInstanceUID = derived(header.SOPInstanceUID, *source)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.SeriesInstanceUID = derived(header.SeriesInstanceUID, *source)
        header.Modality, header.RescaleIntercept, header.RescaleSlope = "CT", -1000, 1
        header.save_as(ct / f"{header.SOPInstanceUID}.dcm", enforce_file_format=True)


def settings_of(spool: Path, send_to: str, **told: object) -> Settings:
    """Settings that lose no time: a free port, no HTTP, 0.2 s of quiet."""
    quick: dict[str, object] = {
        "ae_title": "MR2CT", "allow": (CALLER,), "host": "127.0.0.1", "port": 0, "http_port": None,
        "quiet_seconds": 0.2, "retry_most_seconds": 0.5, "min_free_bytes": 0, "stop_seconds": 5.0,
    }  # fmt: skip
    return Settings(send_to=parse_destination(send_to), spool=spool, **{**quick, **told})  # type: ignore[arg-type]


def main() -> None:
    """See above."""
    told: dict[str, object] = {}
    for pair in sys.argv[3:]:
        name, _, value = pair.partition("=")
        told[name] = tuple(value.split(",")) if name == "allow" else value if name == "host" else float(value)
    seconds = float(told.pop("seconds", 0.0))  # type: ignore[arg-type]
    verbose = bool(told.pop("verbose", 0.0))
    for name in ("port", "http_port", "max_associations", "max_file_bytes", "max_pdu_bytes", "max_files_per_series"):
        if name in told:
            told[name] = int(told[name])  # type: ignore[call-overload]

    def synthesise(mr: Path, ct: Path) -> None:
        time.sleep(seconds)
        every_file_becomes_ct(mr, ct)

    log_to_stderr(verbose=verbose)
    os._exit(serve(settings_of(Path(sys.argv[1]), sys.argv[2], **told), synthesise))


if __name__ == "__main__":
    main()
