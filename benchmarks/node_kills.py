"""A node killed at random moments while series come in and CTs go out: what has arrived in the end?

    python benchmarks/node_kills.py [--kills N] [--series N] [--save node-kills]

The node is the real one between DCMTK's storescu and storescp; its synthesis is a stand-in that copies the pixels and
takes --synthesis-seconds, since what is tried is the queue and not the model. Ends in one JSON line.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from machine import finish, ran
from node_killing import kill_again_and_again


def main() -> None:
    """See above."""
    arguments = _arguments()
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory() as folder:
        seen = kill_again_and_again(
            Path(folder),
            kills=arguments.kills,
            series=arguments.series,
            slices=arguments.slices,
            seconds=arguments.synthesis_seconds,
            longest_life=arguments.longest_life,
            quiet=arguments.quiet_seconds,
            seed=seed,
        )
    result: dict[str, Any] = {**ran("node-kills", "pydicom", "pynetdicom"), "dcmtk": _dcmtk(), "seed": seed, **seen}
    for number, states in enumerate(seen["series_by_state_at_each_kill"], 1):
        held = ", ".join(f"{count} {state}" for state, count in states.items() if count) or "nothing"
        print(f"kill {number:2}: {held}")
    arrived = f"{seen['series_arrived']} of {seen['series']} series arrived, {seen['instances_arrived']} instances"
    print(f"{arrived}; whole and once: {seen['all_whole_and_once']}; sent twice: {seen['instances_sent_twice']}")
    finish(result, arguments.save)
    if not seen["all_whole_and_once"]:
        sys.exit(1)


def _dcmtk() -> str:
    said = subprocess.run(["storescp", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="SIGKILLs, each at a random moment")
    parser.add_argument("--series", type=int, default=20, help="series that are sent meanwhile")
    parser.add_argument("--slices", type=int, default=30, help="instances of each")
    parser.add_argument("--synthesis-seconds", type=float, default=1.0, help="what the stand-in takes for a series")
    parser.add_argument("--longest-life", type=float, default=7.0, help="seconds until a kill, at most")
    parser.add_argument("--quiet-seconds", type=float, default=2.0, help="after which a series is complete")
    parser.add_argument("--seed", type=int, help="of the moments; default: random, and told")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
