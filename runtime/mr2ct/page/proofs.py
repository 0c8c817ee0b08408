"""What was measured of a run: gate, certificate, cycle check and time, as HTML tables."""

from __future__ import annotations

from mr2ct.gate.verdict import Finding
from mr2ct.page.text import facts, shown, table
from mr2ct.report import WHAT_STAGES_DO, Run

NONE = "\u2013"
ERRORS = {"mean_hu": "mean", "p99_9_hu": "99.9th percentile", "max_hu": "maximum"}


def gate(run: Run) -> str:
    """Each finding beside its limits."""
    if run.verdict is None:
        return "<p>This model's card has no gate: the MR was compared with nothing that the model was trained on.</p>"
    rows = [
        (shown(one.name), _value(one, one.value), _limits(one), _mark(one.within), shown(one.said))
        for one in run.verdict.findings
    ]
    return table(("Measure", "Value", "Allowed", "", "In words"), rows, "measures")


def certificate(run: Run) -> str:
    """How far the engine is from PyTorch, beside its budget."""
    proof = run.result.choice.certificate
    if proof is None:
        return "<p><strong>None.</strong> The engine was run without being compared with PyTorch.</p>"
    errors = {"mean_hu": proof.mean_hu, "p99_9_hu": proof.p99_9_hu, "max_hu": proof.max_hu}
    rows = []
    for name, hu in errors.items():
        budget = proof.budget_hu.get(name)
        allowed = NONE if budget is None else f"up to {budget:g} HU"
        rows.append((ERRORS[name], f"{hu:.3g} HU", allowed, "" if budget is None else _mark(hu <= budget)))
    said = (
        f"<p>|HU(engine) \u2212 HU(PyTorch fp32)| inside the head, over {proof.voxels:,} voxels of {proof.slices} "
        f"reference slices, by {shown(proof.engine)} in {shown(proof.precision)}. It says that the engine computes "
        "what the network is, not that the network is right.</p>"
    )
    return said + table(("Error", "Measured", "Allowed", ""), rows, "measures")


def cycle(run: Run) -> str:
    """How much of the MR came back."""
    check = run.cycle
    if check is None:
        return "<p>Not made: the model has no way back from CT to MR, or it was not asked for.</p>"
    limit = NONE if check.limit_percent is None else f"up to {check.limit_percent:.1f} %"
    mark = "" if check.limit_percent is None else _mark(check.within)
    rows = [
        ("mean", f"{check.mean_percent:.1f} %", limit, mark),
        ("95th percentile", f"{check.p95_percent:.1f} %", NONE, ""),
    ]
    said = (
        "<p>The CT is mapped back to an MR: |cycled MR \u2212 MR| inside the head, in percent of the MR's range there, "
        f"by {shown(check.engine)}. High where the CT lost, or made up, what the MR shows.</p>"
    )
    return said + table(("Error", "Measured", "Allowed", ""), rows, "measures")


def timing(run: Run) -> str:
    """Seconds by stage, with bars, and from the start of the run to where this page begins to be written."""
    longest = max(run.seconds.values(), default=0.0) or 1.0
    rows = [
        (shown(name), shown(WHAT_STAGES_DO.get(name, "")), f"{seconds:.2f} s", _bar(seconds / longest))
        for name, seconds in run.seconds.items()
    ]
    rows.append(("total", f"{run.slices_per_second:.1f} slices a second", f"{run.total_seconds:.2f} s", ""))
    memory = "" if run.peak_bytes is None else facts([("peak memory", f"{run.peak_bytes / 2**30:.2f} GiB")])
    return table(("Stage", "What it does", "Time", ""), rows, "times") + memory


def _bar(share: float) -> str:
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}"
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none"><rect width="{width}" height="10"/></svg>'


def _mark(within: bool) -> str:
    return '<span class="mark good">within</span>' if within else '<span class="mark bad">OUTSIDE</span>'


def _value(finding: Finding, value: float) -> str:
    return f"{value:.4g} {shown(finding.unit)}" if finding.unit else f"{value:.4g}"


def _limits(finding: Finding) -> str:
    low, high = finding.low, finding.high
    if low is not None and high is not None:
        return f"{low:.4g} to {_value(finding, high)}"
    if low is not None:
        return f"from {_value(finding, low)}"
    return NONE if high is None else f"up to {_value(finding, high)}"
