"""What a run over many volumes has to say in the end, and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mr2ct.errors import DeviceError
from mr2ct.many.manifest import Entry
from mr2ct.many.text import one_line

SOME_FAILED = 8  # exit code
MOST_NAMED = 4  # volumes of one reason


@dataclass(frozen=True)
class Summary:
    """made: entries of this run.  kept: of those before it, which stay.  asked: how many items there were.  early: why
    the run ended before all were begun, "" where it did not.
    """

    made: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    asked: int
    early: str = ""

    @property
    def exit_code(self) -> int:
        """0 where all are done; of an early end the code of what ended it; else SOME_FAILED."""
        if self.early:
            stops = [entry.exit_code for entry in self.made if entry.stops]
            return stops[0] if stops else DeviceError.exit_code
        return 0 if self._count("done") == self.asked else SOME_FAILED

    def lines(self) -> list[str]:
        """For people, the counts first."""
        done, before = self._count("done"), sum(entry.state == "done" for entry in self.kept)
        told = [f"{done} done{f' ({before} before this run)' if before else ''}"]
        told += [f"{count} refused by the gate"] if (count := self._count("refused")) else []
        told += [f"{count} failed"] if (count := self._count("failed")) else []
        missing = self.asked - len(self.made) - len(self.kept)
        told += [f"{missing} not begun or not ended"] if missing else []
        lines = [", ".join(told)]
        lines += [f"ended early: {self.early}"] if self.early else []
        lines += self._grouped("failed", lambda entry: entry.reason)
        lines += self._grouped("refused", lambda entry: ", ".join(entry.gate["outside"]) if entry.gate else "")
        forced = [entry for entry in self._all if entry.made and entry.made.outside]
        lines += [f"  {len(forced)} OUTSIDE VALIDATED USE, by --force: {_named(forced)}"] if forced else []
        return lines

    @property
    def _all(self) -> tuple[Entry, ...]:
        return self.kept + self.made

    def _count(self, state: str) -> int:
        return sum(entry.state == state for entry in self._all)

    def _grouped(self, state: str, why: Callable[[Entry], str]) -> list[str]:
        """A line a reason, the commonest first."""
        groups: dict[str, list[Entry]] = {}
        for entry in self._all:
            if entry.state == state:
                groups.setdefault(why(entry), []).append(entry)
        by_size = sorted(groups.items(), key=lambda group: -len(group[1]))
        return [f"  {len(entries)} {state}: {reason}: {_named(entries)}" for reason, entries in by_size]


def _named(entries: Sequence[Entry]) -> str:
    names = ", ".join(one_line(entry.source) for entry in entries[:MOST_NAMED])
    return names if len(entries) <= MOST_NAMED else f"{names} and {len(entries) - MOST_NAMED} more"
