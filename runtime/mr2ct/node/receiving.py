"""The node's ear: C-STORE and C-ECHO for those it knows, nothing for others.

An instance is answered with success once it is on the disk, and not before: the sender may delete its own then. Which
statuses may be answered is in PS3.4 table B.2-1.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.dsutils import create_file_meta, encode_file_meta

from mr2ct.errors import Mr2ctError, OutputError, VolumeError
from mr2ct.node.connection import BoundedServer, Limits
from mr2ct.node.identity import MR_SOP_CLASSES, VALID_UID, identify
from mr2ct.node.metrics import Metrics
from mr2ct.node.settings import Settings
from mr2ct.node.spool import Spool
from mr2ct.node.telling import LOG, Teller, one_line

VERIFICATION = UID("1.2.840.10008.1.1")  # PS3.4 annex A: C-ECHO
# no lossy one: a sender that has nothing else decompresses or says so
TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
)
SUCCESS, OUT_OF_RESOURCES, NOT_THIS_CLASS, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
POLL_S = 0.05


class Receiver:
    """Listens from start() to stop().  Raises Mr2ctError where the port cannot be had."""

    def __init__(self, settings: Settings, spool: Spool, metrics: Metrics) -> None:
        self.settings, self.spool, self.metrics = settings, spool, metrics
        self._tell = Teller()
        self._ae = AE(ae_title=settings.ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(settings.allow)
        self._ae.maximum_associations = settings.max_associations
        self._ae.maximum_pdu_size = settings.max_pdu_bytes
        self._ae.acse_timeout = settings.acse_seconds
        self._ae.dimse_timeout = settings.dimse_seconds
        self._ae.network_timeout = settings.network_seconds
        self._ae.add_supported_context(VERIFICATION)
        for sop_class in MR_SOP_CLASSES:  # nothing else is negotiated, so that a sender knows before it sends
            self._ae.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        limits = Limits(settings.max_pdu_bytes, settings.max_file_bytes, settings.network_seconds, self._cut)
        try:
            self._server = BoundedServer(
                self._ae,
                (settings.host, settings.port),
                settings.ae_title,
                self._ae.supported_contexts,
                evt_handlers=[
                    (evt.EVT_C_STORE, self._store),
                    (evt.EVT_C_ECHO, self._echo),
                    (evt.EVT_ACCEPTED, self._accepted),
                    (evt.EVT_REJECTED, self._rejected),
                ],
                limits=limits,
            )
        except OSError as error:
            raise Mr2ctError(
                f"port {settings.port} of {settings.host}: cannot listen there: {error.strerror}; "
                "--port names another, and those above 1023 need no rights"
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="ear", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    @property
    def associations(self) -> int:
        """How many connections are open."""
        return len(self._server.active_associations)

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Take no more associations, let those that are open end for some seconds, abort the rest."""
        if self._thread.is_alive():
            self._server.stop()
        else:
            self._server.server_close()
        until = time.monotonic() + seconds
        while self.associations and time.monotonic() < until:
            time.sleep(POLL_S)
        for association in self._server.active_associations:
            association.abort()

    def _store(self, event: Any) -> int:
        """Keep one instance. Whatever goes wrong is a status for the sender and one line here, never an exception."""
        caller = one_line(str(event.assoc.requestor.ae_title))
        uid = str(event.request.AffectedSOPInstanceUID)
        told = uid if VALID_UID.fullmatch(uid) else "of an invalid UID"
        try:
            return self._keep(event, uid)
        except VolumeError as error:
            reason, status, line = "unreadable", CANNOT_UNDERSTAND, str(error)
        except OSError as error:  # OutputError too
            reason, status = "no_room", OUT_OF_RESOURCES
            line = str(error) if isinstance(error, OutputError) else f"cannot be written: {error.strerror}"
        except Exception as error:  # a fault of ours must not end the association; its text may quote a patient
            reason, status, line = "unreadable", CANNOT_UNDERSTAND, f"unexpected {type(error).__name__}"
            LOG.debug("while storing", exc_info=True)
        self.metrics.add("mr2ct_instances_refused_total", label=reason)
        about = (caller, line) if reason == "no_room" else (caller, line, uid)
        self._tell.once(logging.WARNING, about, f"instance {told} from {caller} refused (0x{status:04X}): {line}")
        return status

    def _keep(self, event: Any, uid: str) -> int:
        data: bytes = event.encoded_dataset(include_meta=False)
        if len(data) > self.settings.max_file_bytes:
            raise OutputError(f"{len(data)} bytes; --max-file-mb allows more")
        transfer_syntax = UID(event.context.transfer_syntax)
        identity = identify(data, transfer_syntax)
        if identity.instance != uid:
            raise VolumeError("its data set has another SOPInstanceUID than the request")
        sop_class = event.request.AffectedSOPClassUID
        meta = create_file_meta(sop_class_uid=sop_class, sop_instance_uid=UID(uid), transfer_syntax=transfer_syntax)
        content = [b"\0" * 128, b"DICM", encode_file_meta(meta), data]
        if self.spool.store(identity, content):
            self.metrics.add("mr2ct_instances_received_total")
            self.metrics.add("mr2ct_received_bytes_total", len(data))
            LOG.debug("instance %s stored", uid)
        else:
            self.metrics.add("mr2ct_instances_again_total")
            caller = one_line(str(event.assoc.requestor.ae_title))
            line = f"series {identity.series}: {caller} sends again what is here already; nothing is made twice"
            self._tell.once(logging.INFO, (caller, identity.key), line)
        return SUCCESS

    def _echo(self, event: Any) -> int:
        self.metrics.add("mr2ct_echoes_total")
        LOG.info("echo from %s", one_line(str(event.assoc.requestor.ae_title)))
        return SUCCESS

    def _accepted(self, event: Any) -> None:
        self.metrics.add("mr2ct_associations_total", label="accepted")
        LOG.debug("association with %s", one_line(str(event.assoc.requestor.ae_title)))

    def _rejected(self, event: Any) -> None:
        requested = event.assoc.requestor.primitive
        caller, called = one_line(requested.calling_ae_title), one_line(requested.called_ae_title)
        if self.settings.allow and requested.calling_ae_title not in self.settings.allow:
            outcome, why = "calling_ae", f"the calling AE title {caller!r} is not known; --allow {caller!r} lets it in"
        elif requested.called_ae_title != self.settings.ae_title:
            outcome, why = "called_ae", f"{caller!r} calls {called!r}, and this is {self.settings.ae_title!r}"
        else:
            outcome, why = "too_many", f"{self.settings.max_associations} associations are open; {caller!r} may retry"
        self.metrics.add("mr2ct_associations_total", label=outcome)
        host = event.assoc.requestor.address
        self._tell.once(logging.WARNING, (outcome, caller, called), f"association from {host} refused: {why}")

    def _cut(self, line: str) -> None:
        self.metrics.add("mr2ct_connections_cut_total")
        self._tell.once(logging.WARNING, (line,), line)
