"""README's tables of what was tried on the way through a hospital: the gate, damaged files, a node that is killed."""

from __future__ import annotations

from typing import Any


def gate_text(result: dict[str, Any]) -> str:
    """The table of gate-confusion.json, and what it does not show."""
    rows = "\n".join(f"| {' | '.join(cells)} |" for cells in _rows(result))
    return f"{rows}\n\n{_left_out(result)}"


def _rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of benchmarks/results/gate-confusion.json: what should pass, what should not, and what was mistaken."""
    rows: list[tuple[str, ...]] = [("given to head-t1's gate", "volumes", "let through", "refused"), ("---",) * 4]
    for wanted, title in (("let through", "should be let through"), ("refused", "should be refused")):
        kinds = [kind for kind in result["kinds"] if kind["wanted"] == wanted]
        counts = [str(sum(kind[name] for kind in kinds)) for name in ("volumes", "let_through", "refused")]
        rows.append((f"{title}: {len(kinds)} kinds", *counts))
        rows += [
            (f"of these wrong: {kind['kind']}", str(kind["volumes"]), str(kind["let_through"]), str(kind["refused"]))
            for kind in kinds
            if kind["volumes"] != kind["refused" if wanted == "refused" else "let_through"]
        ]
    return rows


def _left_out(result: dict[str, Any]) -> str:
    """What the limits do to each real MR when it is left out of them, and how long a look takes."""
    left_out = result["left_out"]
    refused = [one for one in left_out if one["refused_by"]]
    told = "; ".join(f"{one['name']} is refused by {' and '.join(one['refused_by'])}" for one in refused)
    seconds = result["seconds"]["wall"]["median"]
    return (
        f"With limits from the other real MRs alone, {len(left_out) - len(refused)} of {len(left_out)} are let through"
        f"{f': {told}' if told else ''}. A look takes {seconds:.2f} s."
    )


def clinic_text(fuzz: dict[str, Any], kills: dict[str, Any]) -> str:
    """One line each of fuzz-reading.json and node-kills.json."""
    whole = "each whole and once" if kills["all_whole_and_once"] else "NOT each whole and once"
    return (
        f"{fuzz['count']:,} damaged NIfTI, NRRD, MetaImage and DICOM files through the readers: {fuzz['volumes']:,} "
        f"volumes, {fuzz['refused']:,} refusals in one line, {len(fuzz['failures'])} crashes, hangs over "
        f"{fuzz['limits']['seconds']:g} s or more than {fuzz['limits']['bytes'] / 2**30:g} GiB. A node killed "
        f"{kills['kills']} times at random moments: {kills['series_arrived']} of {kills['series']} series arrived, "
        f"{whole}."
    )
