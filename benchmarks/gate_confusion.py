"""What the input gate lets through and what it refuses: real heads, and what was done to them.

    python benchmarks/gate_confusion.py OUT [--data FOLDER] [--model head-t1] [--save NAME]

FOLDER has head MRs in mr/ and head CTs in ct/; the default is what the tests marked `heads` use. Every MR and every
drawn patient of phantom_cohort.py is judged as it is, then changed as scanners and people change heads, which should be
let through, and then spoilt in ways that should be refused (gate_cases.py). Each line of the table is a kind of change;
what was not judged as it should be is listed by name. "Left out" makes limits of all these MRs but one, and tells
whether that one is let through. OUT keeps the drawn patients. Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import phantom
from gate_cases import (
    canonical,
    cropped,
    drawn_sequences,
    foreign_contrast,
    mild,
    not_hu,
    orders,
    spoilt,
    strangers,
    wrong_header,
)
from machine import ROOT, finish, ran, spread
from mr2ct.errors import VolumeError
from mr2ct.gate.examining import examine
from mr2ct.gate.limiting import limits_of
from mr2ct.gate.limits import GateLimits
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.modality import refuse_ct
from mr2ct.model import open_model
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from phantom_cohort import make_cohort
from phantom_scans import SCANS

PATIENTS, HELD_OUT = 8, ("p07", "p08")  # of the cohort that head_t1.sh trains with
DEFAULT_DATA = ROOT.parent / "shared" / "data"
REPEATS = 12  # the first is not counted


@dataclass(frozen=True)
class Judged:
    """One volume before the gate. refused_by: the findings outside their limits, or what refused before."""

    kind: str
    name: str
    wanted: bool
    refused_by: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether it was let through where it should be, and refused where not."""
        return (not self.refused_by) == self.wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the drawn patients, new or to be completed")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with mr/ and ct/")
    parser.add_argument("--model", default="head-t1", help="a model folder or a model's name; its card has the limits")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    options = parser.parse_args()
    limits = open_model(options.model).card.gate
    if limits is None:
        parser.error(f"the card of {options.model} has no gate; mr2ct-export FOLDER --gate MR adds one")
    make_cohort(options.out / "cohort", PATIENTS, 0, 0.0, SCANS["paper"])
    mrs = {_name(path): canonical(read_volume(path)) for path in sorted((options.data / "mr").glob("*.nii.gz"))}
    drawn = {name: canonical(read_volume(options.out / "cohort" / "mr" / f"{name}.nii.gz")) for name in HELD_OUT}
    cts = {_name(path): read_volume(path) for path in sorted((options.data / "ct").glob("*.nii.gz"))}
    judged = [*_let_through(mrs, drawn, limits), *_refused(mrs, cts, limits)]
    left_out = _left_out(mrs, limits)
    result: dict[str, Any] = {
        **ran("gate-confusion", "SimpleITK", "scipy"),
        "model": str(options.model),
        "volumes_of_the_limits": limits.volumes,
        "kinds": [_row(kind, judged) for kind in dict.fromkeys(one.kind for one in judged)],
        "wrong": [
            {"kind": one.kind, "name": one.name, "refused_by": one.refused_by} for one in judged if not one.right
        ],
        "left_out": left_out,
        "seconds": _seconds(limits),
    }
    _print(result)
    finish(result, options.save)


def _let_through(mrs: dict[str, Volume], drawn: dict[str, Volume], limits: GateLimits) -> Iterable[Judged]:
    for name, mr in mrs.items():
        yield judge("real MR, as it is", name, mr, limits, wanted=True)
    for name, mr in drawn.items():
        yield judge("drawn MR, as it is", name, mr, limits, wanted=True)
    first = next(iter(mrs))
    for order, mr in orders(mrs[first]):
        yield judge("real MR, voxels in 48 orders", f"{first}, {order}", mr, limits, wanted=True)
    for name, mr in mrs.items():
        for done, changed in mild(mr, head_mask(mr)):
            yield judge(f"real MR, {done}", name, changed, limits, wanted=True)


def _refused(mrs: dict[str, Volume], cts: dict[str, Volume], limits: GateLimits) -> Iterable[Judged]:
    for name, ct in cts.items():
        yield judge("CT in HU", name, ct, limits, wanted=False)
        for done, changed in not_hu(ct):
            yield judge(f"CT, {done}", name, changed, limits, wanted=False)
    for name, mr in mrs.items():
        head = head_mask(mr)
        for done, changed in wrong_header(mr):
            kind = "turned by a quarter or a half, 21 other ways" if done.startswith("turned, ") else done
            yield judge(f"header: {kind}", f"{name}, {done}", changed, limits, wanted=False)
        for make in (foreign_contrast, cropped, spoilt):
            for done, changed in make(mr, head):
                yield judge(done, name, changed, limits, wanted=False)
    for done, volume in (*drawn_sequences(), *strangers()):
        yield judge(done, done, volume, limits, wanted=False)


def judge(kind: str, name: str, volume: Volume, limits: GateLimits, *, wanted: bool) -> Judged:
    """As mr2ct-run does it: refuse a CT, find the head, examine."""
    try:
        refuse_ct(volume)
    except VolumeError:
        return Judged(kind, name, wanted, ("HU",))
    try:
        head = head_mask(volume)
    except VolumeError:
        return Judged(kind, name, wanted, ("no head to be found",))
    findings = examine(volume, head, limits).findings
    return Judged(kind, name, wanted, tuple(finding.name for finding in findings if not finding.within))


def _left_out(mrs: dict[str, Volume], limits: GateLimits) -> list[dict[str, Any]]:
    measured = {name: measure(mr, head_mask(mr)) for name, mr in mrs.items()}
    rows = []
    for name, mr in mrs.items():
        others = limits_of(
            [one for other, one in measured.items() if other != name], fixed_units="signal" in limits.low
        )
        rows.append({"name": name, "refused_by": judge("left out", name, mr, others, wanted=True).refused_by})
    return rows


def _seconds(limits: GateLimits) -> dict[str, dict[str, float]]:
    """Of the gate alone, on the paper's volume of 183 x 288 x 288 voxels: by the clock, and of all cores together."""
    mr, _ = phantom.draw(phantom.paper_grid(), seed=0)
    volume = Volume(np.rint(mr.voxels).astype(np.int16), mr.grid)
    head = head_mask(volume)
    taken: dict[str, list[float]] = {"wall": [], "cpu": []}
    for _ in range(REPEATS):
        before = time.perf_counter(), time.process_time()
        examine(volume, head, limits)
        taken["wall"].append(time.perf_counter() - before[0])
        taken["cpu"].append(time.process_time() - before[1])
    return {clock: spread(seconds[1:]) for clock, seconds in taken.items()}


def _row(kind: str, judged: list[Judged]) -> dict[str, Any]:
    those = [one for one in judged if one.kind == kind]
    names: dict[str, int] = {}
    for one in those:
        for name in one.refused_by:
            names[name] = names.get(name, 0) + 1
    return {
        "kind": kind,
        "wanted": "let through" if those[0].wanted else "refused",
        "volumes": len(those),
        "let_through": sum(not one.refused_by for one in those),
        "refused": sum(bool(one.refused_by) for one in those),
        "refused_by": dict(sorted(names.items(), key=lambda item: -item[1])),
    }


def _print(result: dict[str, Any]) -> None:
    for wanted in ("let through", "refused"):
        print(f"should be {wanted:<42}{'let through':>12}{'refused':>9}  by")
        for row in result["kinds"]:
            if row["wanted"] == wanted:
                by = ", ".join(f"{name} {count}" for name, count in list(row["refused_by"].items())[:4])
                print(f"  {row['kind']:<50}{row['let_through']:>12}{row['refused']:>9}  {by}")
    print("left out of the limits")
    for row in result["left_out"]:
        print(f"  {row['name']:<50}{', '.join(row['refused_by']) or 'let through'}")
    for row in result["wrong"]:
        print(f"NOT as it should be: {row['kind']}: {row['name']}: {', '.join(row['refused_by']) or 'let through'}")
    wall, cpu = (result["seconds"][clock]["median"] for clock in ("wall", "cpu"))
    print(f"the gate takes {wall:.2f} s (median; {cpu:.2f} s of all cores together) of 183 x 288 x 288 voxels")


def _name(path: Path) -> str:
    return path.name.split(".")[0]


if __name__ == "__main__":
    main()
