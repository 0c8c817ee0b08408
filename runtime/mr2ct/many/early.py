"""When a run over many volumes ends before all are begun."""

from __future__ import annotations

from mr2ct.errors import DeviceError, OutputError
from mr2ct.many.manifest import Entry

NO_ROOM = "there is no room to write, and the others would fail as well"
NO_WORKER = "a worker cannot begin, and the others might be made otherwise"
ENGINE_FAILURES = 3  # in a row: the engine is broken, not the volumes


class EarlyEnd:
    """Looks at what becomes of the volumes. why: the run ends early, in words; "" while it goes on."""

    def __init__(self) -> None:
        self.why = ""
        self._engine_failures = 0

    def look_at(self, entry: Entry) -> None:
        """The last line of a volume, as they come in."""
        self._engine_failures = self._engine_failures + 1 if entry.exit_code == DeviceError.exit_code else 0
        if self.why:
            return
        if entry.stops:
            self.why = NO_ROOM if entry.exit_code == OutputError.exit_code else NO_WORKER
        elif self._engine_failures == ENGINE_FAILURES:
            self.why = f"the engine failed on {ENGINE_FAILURES} volumes in a row"
