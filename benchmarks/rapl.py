"""How much energy the processor took, where Linux tells it: Intel's and AMD's running average power limit counters.

https://docs.kernel.org/power/powercap/powercap.html. Most virtual machines have none, and since 2020 only root may
read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
PACKAGES = "intel-rapl:*[0-9]"  # a socket each; its cores and memory are intel-rapl:0:0 and so on, parts of it


@dataclass
class Meter:
    """The counters of all sockets. told_by: what they are, or why there are none."""

    root: Path = POWERCAP
    told_by: str = field(init=False)

    def __post_init__(self) -> None:
        self._sockets = [place for place in sorted(self.root.glob(PACKAGES)) if place.name.count(":") == 1]
        self.told_by = f"RAPL, {len(self._sockets)} sockets, all that runs on them included"
        if not self._sockets:
            self.told_by = f"nothing here: no RAPL counters in {self.root}"
        elif self._read() is None:
            self._sockets, self.told_by = [], f"nothing here: {self._sockets[0] / 'energy_uj'} may not be read"

    def started(self) -> Callable[[], float | None]:
        """Start now; what is returned tells the joules since then, None where nothing counts them."""
        before = self._read()

        def joules() -> float | None:
            now = self._read()
            if before is None or now is None:
                return None
            return sum((then[0] - first[0]) % first[1] for first, then in zip(before, now, strict=True)) / 1e6

        return joules

    def _read(self) -> list[tuple[int, int]] | None:
        """Of each socket the microjoules counted and at which count it begins anew; None where there are none."""
        try:
            found = [
                (int((place / "energy_uj").read_text()), int((place / "max_energy_range_uj").read_text()) + 1)
                for place in self._sockets
            ]
        except OSError:
            return None
        return found or None
