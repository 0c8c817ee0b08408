"""The cycle check: the synthetic CT mapped back to MR, and how much of the MR comes back (figure 6 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass

from mr2ct.volume import Volume


@dataclass(frozen=True)
class CycleCheck:
    """What came back of an MR.

    mean_percent, p95_percent: |cycled MR - MR| inside the head, in percent of the width of the MR's range there.
    limit_percent: of the mean, above which the card warns; None where the card has no such limit.
    error: float32 percent on the MR's own grid, 0 outside the head.  engine: Backend.description of the way back.
    """

    mean_percent: float
    p95_percent: float
    limit_percent: float | None
    error: Volume
    engine: str

    @property
    def within(self) -> bool:
        """Whether as much came back as should; True where there is no limit."""
        return self.limit_percent is None or self.mean_percent <= self.limit_percent
