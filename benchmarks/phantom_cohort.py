"""A cohort of drawn patients, so that anyone can rerun the paper's experiment without a patient's data.

    python benchmarks/phantom_cohort.py OUT [--patients 24] [--seed 0] [--misalignment MM] [--grid paper|coarse]

Writes, int16 throughout, every file whole or not at all:

    OUT/mr/p01.nii.gz       sagittal T1-like MR, scanner units: 183 x 288 x 288 of 1.00 x 0.87 x 0.87 mm, the paper's
    OUT/ct/p01.nii.gz       axial CT, HU, on its own grid in the frame of the MR, as after rigid registration
    OUT/truth/p01.nii.gz    the CT that the MR should become: on the MR's grid, without misalignment and without noise
    OUT/patients.csv        for mr2ct-prepare --patients: the last quarter is held out
    OUT/cohort.json         everything that was drawn, and the misalignment that was reached

--misalignment MM is the paper's figure 2: CT and MR agree in the cranium, and in nose, mouth, throat and neck they
differ by MM (root mean square, up to about 8). It changes neither patients, MRs nor truths. --grid coarse has voxels
three times as long, for experiments on two cores: 61 x 96 x 96 in an MR, about 2 MB a patient instead of 45.

The same options give the same bytes, by the same numpy. Run again, it makes only what is missing. Ends in one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

# The head is drawn by the suite's own phantom, which is no part of any package: installed, it would be in every user's
# environment. As a script this file has only its own folder on the path.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from misalignment import FoldError
from mr2ct.errors import OutputError
from mr2ct.volume import Volume
from mr2ct.writing import whole_or_not_at_all, write_volume
from phantom_patients import drawn_patient
from phantom_scans import SCANS, Member, Scan, ct_alone, mr_and_truth

SCHEMA = "mr2ct-phantom-cohort/1"  # another number: the same seed draws other heads
HELD_OUT = 4  # one patient of so many, the paper's 6 of 24


def main() -> None:
    arguments = _arguments()
    try:
        result = make_cohort(
            arguments.out, arguments.patients, arguments.seed, arguments.misalignment, SCANS[arguments.grid]
        )
    except (FoldError, OutputError) as error:
        sys.exit(f"phantom_cohort: {error}")
    except OSError as error:
        sys.exit(f"phantom_cohort: {error.filename or arguments.out}: not written: {error.strerror or error}")
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the cohort, new or to be completed")
    parser.add_argument("--patients", type=int, default=24, help="how many; 24 are the paper's")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people")
    parser.add_argument("--misalignment", type=float, default=0.0, metavar="MM", help="of CT and MR below the cranium")
    parser.add_argument("--grid", choices=SCANS, default="paper")
    arguments = parser.parse_args()
    if arguments.patients < 1 or arguments.seed < 0 or not 0 <= arguments.misalignment < np.inf:
        parser.error("--patients is at least 1; --seed and --misalignment are at least 0")
    return arguments


def make_cohort(out: Path, count: int, seed: int, misalignment_mm: float, scan: Scan) -> dict[str, Any]:
    """Make or complete a cohort. Raises OutputError where another one is, FoldError for too much misalignment."""
    start = time.perf_counter()
    width = max(2, len(str(count)))
    patients = [drawn_patient(seed, number, f"p{number + 1:0{width}}") for number in range(count)]
    members = [Member.of(patient, scan, misalignment_mm) for patient in patients]
    facts = {
        "schema": SCHEMA,
        "seed": seed,
        "misalignment_mm": misalignment_mm,
        "scan": asdict(scan),
        "versions": {"numpy": version("numpy")},
        "patients": [one.facts() for one in members],
    }
    _open_cohort(out, json.dumps(facts, indent=1) + "\n")
    train = count - count // HELD_OUT
    rows = [f"{m.patient.name}.nii.gz,{m.patient.name},{_split(n, train)}" for n, m in enumerate(members)]
    _write_text(out / "patients.csv", "\n".join(["file,patient,split", *rows]) + "\n")
    drawn = 0
    for one in tqdm(members, unit="head", disable=None):
        drawn += draw_member(one, out)
    return {
        "cohort": str(out),
        "patients": count,
        "drawn": drawn,
        "seconds": round(time.perf_counter() - start, 1),
        "mib": round(sum(file.stat().st_size for file in out.rglob("*.nii.gz")) / 2**20, 1),
    }


def _split(number: int, train: int) -> str:
    return "train" if number < train else "validation"


def _open_cohort(out: Path, facts: str) -> None:
    """Make the folders of a new cohort, or raise OutputError when the place holds anything but this cohort."""
    card = out / "cohort.json"
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is no folder; name a new or an empty one")
    if not (card.is_file() and card.read_text(encoding="utf-8") == facts):
        if out.is_dir() and any(out.iterdir()):
            raise OutputError(f"{out}: is not empty and not this cohort; name a new folder, or its own options")
        out.mkdir(parents=True, exist_ok=True)
        _write_text(card, facts)
    for kind in ("mr", "ct", "truth"):
        (out / kind).mkdir(exist_ok=True)


def _write_text(path: Path, text: str) -> None:
    with whole_or_not_at_all(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")


def draw_member(one: Member, out: Path) -> int:
    """Draw what is missing of a patient; how many files that were."""
    name = f"{one.patient.name}.nii.gz"
    drawings: dict[tuple[str, ...], Callable[[Member], tuple[Volume, ...]]] = {
        ("mr", "truth"): mr_and_truth,
        ("ct",): ct_alone,
    }
    made = 0
    for kinds, drawing in drawings.items():
        missing = [not (out / kind / name).exists() for kind in kinds]
        if any(missing):
            for kind, absent, volume in zip(kinds, missing, drawing(one), strict=True):
                if absent:
                    write_volume(volume, out / kind / name)
                    made += 1
    return made


if __name__ == "__main__":
    main()
