"""Keep every Nth slice of a data set's aligned pairs, so that it can be carried to another machine.

    python benchmarks/thin_dataset.py DATASET OUT [--pairs-every 5] [--validation-every 8] [--all-of PATIENT]

Neighbouring slices show nearly the same. The slices of patients without a pair stay, and pairs stay pairs; --all-of
keeps a patient's slices in any case, which then weigh more in a training. OUT is a data set for mr2ct-train, not one
for mr2ct-prepare to complete. Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from mr2ct_training.dataset import MANIFEST, Dataset, DatasetError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="made by mr2ct-prepare")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--pairs-every", type=int, default=5, help="of training patients with an aligned CT")
    parser.add_argument("--validation-every", type=int, default=8)
    parser.add_argument("--all-of", action="append", default=[], metavar="PATIENT", help="of training, not thinned")
    options = parser.parse_args()
    if min(options.pairs_every, options.validation_every) < 1:
        parser.error("every slice is 1, there is no less")
    try:
        print(
            json.dumps(
                thin(options.dataset, options.out, options.pairs_every, options.validation_every, options.all_of)
            )
        )
    except (DatasetError, OSError) as error:
        sys.exit(f"thin_dataset: {error}")


def thin(
    source: Path, out: Path, pairs_every: int, validation_every: int, whole: Collection[str] = ()
) -> dict[str, int]:
    """Slices before and after. whole: patients that are kept as they are. Raises DatasetError, also for such a one that
    is not there, and OSError; out must not be there."""
    manifest = Dataset(source).manifest
    unknown = set(whole) - {entry.patient for entry in manifest.entries}
    if unknown:
        raise DatasetError(f"{source}: no patient {', '.join(sorted(unknown))}")
    out.mkdir(parents=True)
    paired = {entry.patient for entry in manifest.entries if entry.registration is not None}
    entries = []
    for entry in manifest.entries:
        training = pairs_every if entry.patient in paired and entry.patient not in whole else 1
        step = validation_every if entry.split == "validation" else training
        for name in (entry.file, entry.head_file):
            kept = np.load(source / name, mmap_mode="r", allow_pickle=False)[step // 2 :: step]
            np.save(out / name, kept)
        entries.append(replace(entry, slices=len(kept)))
    thinned = replace(manifest, entries=tuple(entries))
    (out / MANIFEST).write_text(thinned.to_json(), encoding="utf-8")
    return {
        "slices": sum(entry.slices for entry in manifest.entries),
        "kept": sum(entry.slices for entry in thinned.entries),
    }


if __name__ == "__main__":
    main()
