"""One trip of a volume as mr2ct-run makes it, in a process of its own; its last line is one JSON.

    python benchmarks/latency_trip.py --head MR --out CT --device NAME --precision NAME --started SECONDS [...]

It imports what mr2ct-run does and nothing else, so that starts and memory are those of mr2ct-run. --first-slice ends
after the first slice went through the engine. --error measures the engine against the model's reference slices, after
all that is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mr2ct.cli
from mr2ct.card import Certificate
from mr2ct.certificate import certify
from mr2ct.choosing import DEVICES, Choice, choose_backend
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import Model, open_model
from mr2ct.opening import file_of
from mr2ct.stages import peak_memory_bytes
from mr2ct.trip import Wishes, make_synthetic_ct


class FirstSliceError(Exception):
    """The first slice is done."""


def main() -> None:
    arguments = _arguments()
    imported = time.time() - arguments.started
    try:
        row = trip(arguments, imported)
    except DeviceError as error:
        row = {"status": "absent", "reason": str(error)}
    except ModelError as error:
        row = {"status": "failed", "reason": str(error)}
    print(json.dumps(row))


def trip(arguments: argparse.Namespace, imported: float) -> dict[str, Any]:
    """Seconds of every stage and from the start of the process, GiB at the peak, and the error if asked for.

    Reading, mask, gate and grid go on while the engine is loaded, as in mr2ct-run.
    """
    first = 0.0

    def on_slices(_done: int, _all: int) -> None:
        nonlocal first
        first = first or time.time() - arguments.started
        if arguments.first_slice:
            raise FirstSliceError

    model = open_model(arguments.model)
    if arguments.precision != "auto" and file_of(arguments.precision) not in model.card.files:
        raise DeviceError(f"the model has no {file_of(arguments.precision)}")
    wishes = Wishes(
        batch=1 if arguments.first_slice else None, skip_air=not arguments.all_slices, overwrite=True, force=True
    )  # fmt: skip
    with ExitStack() as engines:
        opened: list[Choice] = []

        def engine() -> Choice:
            choice = choose_backend(
                model, arguments.device, arguments.precision, uncertified=arguments.uncertified, say=_say
            )  # fmt: skip
            opened.append(engines.enter_context(choice))
            return choice

        told: dict[str, Any] = {}
        try:
            run = make_synthetic_ct(arguments.head, arguments.out, model, engine, wishes, on_slices=on_slices)
        except FirstSliceError:
            pass
        else:
            seconds = {"start": imported, **run.seconds}
            told = {"slices": run.result.slices, "skipped": run.result.skipped, "seconds": seconds}
        (choice,) = opened
        row: dict[str, Any] = {"status": "ran", "engine": choice.backend.description, "precision": choice.precision}
        peak = peak_memory_bytes()
        row |= told | {"first_slice_seconds": first, "all_seconds": time.time() - arguments.started}
        row |= {"peak_memory_gib": None if peak is None else peak / 2**30}
        if arguments.error:
            row |= _error(choice, model)
    return row


def _error(choice: Choice, model: Model) -> dict[str, Any]:
    proof = choice.certificate
    if proof is None:
        proof = certify(
            choice.backend, model.reference(), file=choice.file, precision=choice.precision,
            ct_window_hu=model.card.ct_window_hu,
        )  # fmt: skip
    return {"error_hu": _told(proof), "within_budget": proof.passed, "certificate": asdict(proof)}


def _told(proof: Certificate) -> dict[str, float]:
    return {"mean": proof.mean_hu, "p99.9": proof.p99_9_hu, "max": proof.max_hu}


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder; default: the one that comes with mr2ct")
    parser.add_argument("--head", type=Path, required=True, help="an MR")
    parser.add_argument("--out", type=Path, required=True, help="the CT to write; replaced if it exists")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--precision", choices=mr2ct.cli.PRECISIONS, required=True)
    parser.add_argument("--started", type=float, required=True, help="seconds since 1970 when the process was started")
    parser.add_argument("--all-slices", action="store_true", help="slices of air go through the engine, too")
    parser.add_argument("--first-slice", action="store_true", help="end after the first slice")
    parser.add_argument("--uncertified", action="store_true", help="also an engine outside its budget")
    parser.add_argument("--error", action="store_true", help="measure the error, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
