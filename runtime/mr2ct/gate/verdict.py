"""What the gate found in a volume."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One measure of a volume beside what the model's training set spans.

    name: of the measure ("contrast distance").  value, unit: what was measured ("" for a plain number).  low, high:
    what the model's card allows; None where that side is open.  said: the finding in one line, for people, with value
    and limit in it; where it is not within, with what is wrong and what would work.
    """

    name: str
    value: float
    unit: str
    low: float | None
    high: float | None
    said: str

    @property
    def within(self) -> bool:
        """Whether the value is a number between the limits."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


@dataclass(frozen=True)
class Verdict:
    """All findings of one volume, in the order they are told."""

    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against this volume, a line each; empty where the model may judge it."""
        return tuple(finding.said for finding in self.findings if not finding.within)

    @property
    def accepted(self) -> bool:
        """Whether every finding is within its limits."""
        return not self.reasons
