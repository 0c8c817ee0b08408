"""One association to the destination: the files of a CT by C-STORE, each acknowledged or not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.status import STATUS_SUCCESS, STATUS_WARNING, code_to_category

from mr2ct.node.settings import Settings

DICOM_MAGIC = (128, b"DICM")  # PS3.10 section 7.1


@dataclass
class Outcome:
    """What came of one try.  acknowledged: how many files.  refused: status or reason -> how many files.  unreachable:
    why the destination could not be asked, or not to the end; empty when it answered for every file.
    """

    acknowledged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unreachable: str = ""


def out_of_reach(settings: Settings) -> str:
    """Why no connection to the destination can be made, empty where one can.

    Asked while it may be down: pynetdicom does not say why, and leaves the socket of such a try open.
    """
    to = settings.send_to
    try:
        socket.create_connection((to.host, to.port), settings.network_seconds).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""


def store(
    files: Sequence[Path], settings: Settings, acknowledged: Callable[[Path], None], stopping: Callable[[], bool]
) -> Outcome:
    """Send files, calling acknowledged after each that the destination has; a warning (0xBxxx) says that it has it.

    stopping: asked before each file; True ends the try.  Raises OSError when acknowledged does.
    """
    outcome = Outcome()
    ae = AE(ae_title=settings.ae_title)
    ae.connection_timeout = ae.network_timeout = settings.network_seconds
    ae.acse_timeout, ae.dimse_timeout = settings.acse_seconds, settings.dimse_seconds
    ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    to = settings.send_to
    try:
        association = ae.associate(to.host, to.port, ae_title=to.ae_title, max_pdu=settings.max_pdu_bytes)
    except OSError as error:  # a name that nobody knows
        outcome.unreachable = f"{to.host} is not found: {error.strerror}"
        return outcome
    if association.is_rejected:
        outcome.unreachable = f"it does not take associations from {settings.ae_title} to {to.ae_title}"
    elif not association.is_established:
        outcome.unreachable = "no DICOM answer there"
        if any(context.abstract_syntax == CTImageStorage for context in association.rejected_contexts):
            outcome.unreachable, outcome.refused = "", {"no CT Image Storage taken": len(files)}
    if not association.is_established:
        return outcome
    try:
        for number, file in enumerate(files):
            if stopping():
                outcome.unreachable = "the node stops"
                break
            # PS3.7 section 9.3.1.1: a message's number is of 16 bits
            answer = association.send_c_store(dcmread(file), msg_id=number % 0xFFFF + 1)
            if "Status" not in answer:
                outcome.unreachable = "it did not answer, or hung up"
                break
            if code_to_category(answer.Status) in (STATUS_SUCCESS, STATUS_WARNING):
                acknowledged(file)
                outcome.acknowledged += 1
            else:
                status = f"0x{answer.Status:04X}"
                outcome.refused[status] = outcome.refused.get(status, 0) + 1
    except OSError:  # of this side's disk
        raise
    except RuntimeError:
        outcome.unreachable = "it hung up"
    except Exception as error:  # no context fits this file, or it cannot be encoded: others need not wait for it
        outcome.refused[f"{type(error).__name__} here"] = len(files) - outcome.acknowledged
    finally:
        if association.is_established:
            association.release()
    return outcome


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, sorted by name; a report beside them is none."""
    files: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with open(path, "rb") as file:
                file.seek(DICOM_MAGIC[0])
                if file.read(len(DICOM_MAGIC[1])) == DICOM_MAGIC[1]:
                    files.append(path)
    return files
