"""May this synthetic CT be trusted? What is known against it, in the order of its weight."""

from __future__ import annotations

from dataclasses import dataclass

from mr2ct.page.text import listed, shown
from mr2ct.report import Run, remarks

OUTSIDE, DOUBTFUL, WITHIN = "outside", "doubtful", "within"  # also CSS classes of the page


@dataclass(frozen=True)
class Judgement:
    """kind: OUTSIDE, DOUBTFUL or WITHIN.  title: in capitals where it warns.  means: what follows, plain.  doubts: a
    line each.
    """

    kind: str
    title: str
    means: str
    doubts: tuple[str, ...]


def judgement(run: Run) -> Judgement:
    """What speaks against a run: the gate, no certificate, no training; then what is only to be known of it."""
    against = outside(run)
    cycle = cycle_doubt(run)
    told = (*against, *cycle, *remarks(run))
    doubts = tuple(dict.fromkeys(told))
    if against or not run.model.card.trained or run.result.choice.certificate is None:
        means = "The HU here may be anything. Use them to test software, and for nothing that touches a patient."
        return Judgement(OUTSIDE, "OUTSIDE VALIDATED USE", means, doubts)
    if run.verdict is None:
        means = (
            "This model's card has no gate: nobody measured whether the MR is like those that the model was trained "
            "on. Compare the planes below before the CT is used for anything."
        )
        return Judgement(DOUBTFUL, "NOT CHECKED", means, doubts)
    if doubts:
        means = "The MR passed the gate, but read what is listed here before the CT is used for anything."
        return Judgement(DOUBTFUL, "Passed the gate, with remarks", means, doubts)
    means = (
        "The MR passed the gate and the engine is certified: nothing that was measured speaks against this CT. "
        "That does not prove it right; compare the planes below."
    )
    return Judgement(WITHIN, "Passed the gate", means, ())


def outside(run: Run) -> tuple[str, ...]:
    """Why the gate refuses the MR, a line each."""
    return () if run.verdict is None else run.verdict.reasons


def cycle_doubt(run: Run) -> tuple[str, ...]:
    """A line where less came back in the cycle check than should."""
    if run.cycle is None or run.cycle.within:
        return ()
    line = (
        f"cycle check: the MR made back from the CT differs from the MR by {run.cycle.mean_percent:.1f} % "
        f"where at most {run.cycle.limit_percent:.1f} % is expected; the CT may show what the MR does not"
    )
    return (line,)


def banner(judged: Judgement) -> str:
    """A judgement as HTML."""
    return (
        f'<section class="banner {judged.kind}" role="status"><h2>{shown(judged.title)}</h2>'
        f"<p>{shown(judged.means)}</p>{listed(judged.doubts)}</section>"
    )
