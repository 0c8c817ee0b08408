"""The generator between two: the weights of a checkpoint and of one that was trained further from it, in parts.

    python benchmarks/mix_checkpoints.py FIRST SECOND OUT [--of-second 0.5]

A model that was trained further on other data forgets part of what it knew; between both, the mean of their weights
keeps more of it and most of what was learnt (Wortsman et al., 2022, doi 10.1109/CVPR52688.2022.00780). OUT is for
mr2ct-export; it has all else of SECOND, and its training facts tell of the mixing. Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from mr2ct_training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="a checkpoint")
    parser.add_argument("second", type=Path, help="one that was started from it")
    parser.add_argument("out", type=Path, help="the checkpoint to write")
    parser.add_argument("--of-second", type=float, default=0.5, help="0: the first, 1: the second")
    options = parser.parse_args()
    if not 0 <= options.of_second <= 1:
        parser.error("--of-second is a share, from 0 to 1")
    try:
        mix(options.first, options.second, options.out, options.of_second)
    except CheckpointError as error:
        sys.exit(f"mix_checkpoints: {error}")
    print(json.dumps({"out": str(options.out), "of_second": options.of_second}))


def mix(first: Path, second: Path, out: Path, share: float) -> None:
    """Write the checkpoint between both. Raises CheckpointError: damaged, or of another size, windows or slices."""
    one, other = load_checkpoint(first), load_checkpoint(second)
    for name in ("mr_window", "ct_window_hu", "slices"):
        if getattr(one, name) != getattr(other, name):
            raise CheckpointError(f"{second}: has another {name} than {first}; only models of one kind can be mixed")
    if one.mr_to_ct.config != other.mr_to_ct.config:
        raise CheckpointError(f"{second}: its generator is of another size than {first}'s")
    weights = one.mr_to_ct.state_dict()
    mixed = {name: (1 - share) * weights[name] + share * weight for name, weight in other.mr_to_ct.state_dict().items()}
    other.mr_to_ct.load_state_dict(mixed)
    facts = {"first_sha256": _sha256(first), "second_sha256": _sha256(second), "of_second": share}
    save_checkpoint(replace(other, ct_to_mr=None, training={**other.training, "mixed": facts}), out)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
