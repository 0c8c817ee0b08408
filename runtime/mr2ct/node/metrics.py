"""What a node counts, as text for Prometheus.

The format is https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. No label and no value says
anything about a patient.
"""

from __future__ import annotations

import threading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# name: (type, help, the values of its one label, which exist from the start so that a rate() can see the first)
DESCRIPTIONS: dict[str, tuple[str, str, tuple[str, tuple[str, ...]] | None]] = {
    "mr2ct_build_info": ("gauge", "1, with the version of mr2ct.", ("version", ())),
    "mr2ct_start_time_seconds": ("gauge", "Unix time of the node's start.", None),
    "mr2ct_associations_open": ("gauge", "Associations that are open now.", None),
    "mr2ct_associations_total": ("counter", "Associations by what became of the request.",
                                 ("outcome", ("accepted", "calling_ae", "called_ae", "too_many"))),
    "mr2ct_connections_cut_total": ("counter", "Connections cut for breaking a limit.", None),
    "mr2ct_echoes_total": ("counter", "C-ECHO requests answered.", None),
    "mr2ct_instances_received_total": ("counter", "Instances stored, each told to its sender.", None),
    "mr2ct_instances_again_total": ("counter", "Instances that were here already, byte for byte.", None),
    "mr2ct_instances_refused_total": ("counter", "Instances not stored.", ("reason", ("unreadable", "no_room"))),
    "mr2ct_received_bytes_total": ("counter", "Bytes of the instances stored.", None),
    "mr2ct_series": ("gauge", "Series in the spool by state.", ("state", ())),
    "mr2ct_series_made_total": ("counter", "Series that a synthetic CT was made of.", None),
    "mr2ct_series_refused_total": ("counter", "Series that no synthetic CT can be made of.", None),
    "mr2ct_series_delivered_total": ("counter", "Synthetic CTs that the destination has acknowledged.", None),
    "mr2ct_series_failed_total": ("counter", "Synthetic CTs that were given up on; they are kept.", None),
    "mr2ct_synthesis_seconds": ("summary", "Seconds from a series to its synthetic CT.", None),
    "mr2ct_synthesis_postponed_total": ("counter", "Tries put off, for a full disk or a device in need.", None),
    "mr2ct_instances_sent_total": ("counter", "Instances of CTs that the destination acknowledged.", None),
    "mr2ct_instances_rejected_total": ("counter", "Answers of the destination that refuse an instance.", None),
    "mr2ct_destination_up": ("gauge", "1 when the last try reached the destination.", None),
    "mr2ct_spool_bytes": ("gauge", "Bytes in the spool.", None),
    "mr2ct_disk_free_bytes": ("gauge", "Bytes left on the spool's disk.", None),
}  # fmt: skip


class Metrics:
    """Counters and gauges of DESCRIPTIONS; every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], float] = {}
        for name, (kind, _, label) in DESCRIPTIONS.items():
            if kind == "summary":
                self._values |= {(f"{name}_sum", ""): 0.0, (f"{name}_count", ""): 0.0}
            elif label is None:
                self._values[name, ""] = 0.0
            else:
                self._values |= {(name, value): 0.0 for value in label[1]}

    def add(self, name: str, amount: float = 1, label: str = "") -> None:
        """Count."""
        with self._lock:
            self._values[name, label] = self._values.get((name, label), 0.0) + amount

    def observe(self, name: str, value: float) -> None:
        """Count one observation of a summary."""
        self.add(f"{name}_sum", value)
        self.add(f"{name}_count")

    def put(self, name: str, value: float, label: str = "") -> None:
        """Set a gauge."""
        with self._lock:
            self._values[name, label] = value

    def text(self) -> str:
        """All of them, for Prometheus."""
        with self._lock:
            values = dict(self._values)
        lines: list[str] = []
        for name, (kind, told, label) in DESCRIPTIONS.items():
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
            for (full, value), number in values.items():
                if full == name or (kind == "summary" and full in (f"{name}_sum", f"{name}_count")):
                    braces = "" if label is None else f'{{{label[0]}="{value}"}}'
                    lines.append(f"{full}{braces} {number:.17g}")
        return "\n".join(lines) + "\n"
