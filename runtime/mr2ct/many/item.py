"""One item, with an engine that is open: its CT on disk and its line for the manifest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mr2ct.choosing import Choice
from mr2ct.errors import Mr2ctError, OutputError, RefusedError, VolumeError
from mr2ct.many.asked import Asked
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry, Made, utc_now
from mr2ct.many.stamp import Stamp, at_hand, input_sha256, stamp_of
from mr2ct.many.text import one_line
from mr2ct.many.uri import Uri
from mr2ct.model import Model
from mr2ct.places import check_places
from mr2ct.report import Run, remarks
from mr2ct.trip import Wishes, make_synthetic_ct

OUT_OF_MEMORY = 5  # exit code, as mr2ct-run's
FAULT = 1  # exit code of a fault in our own code
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def started(item: Item, *, ours: bool) -> Entry:
    """The line to write before make_item, and whose `ours` it takes. ours: see mr2ct.many.resuming.Plan."""
    free = not os.path.lexists(item.target)
    return Entry(item.id, str(item.source), str(item.target), "started", utc_now(), ours=ours or free)


def make_item(
    item: Item,
    model: Model,
    choice: Choice,
    asked: Asked,
    *,
    ours: bool = False,
    on_slices: Callable[[int, int], None] | None = None,
) -> Entry:
    """Make the CT of one item, as mr2ct-run makes it of one volume, and tell what became of it.

    choice: open, of that model.  ours: what is at the target was made by a run and may be replaced.  on_slices: see
    mr2ct.trip.  Folders above the target are made. Never raises for a volume, an engine or a disk that fails: the
    entry is then "refused" or "failed", and nothing half-written is left. KeyboardInterrupt and the like come out.
    """
    begun = replace(
        started(item, ours=ours), input=stamp_of(item.source), model=model.card.name, model_version=model.card.version
    )
    wishes, looked_at = asked.of(item, ours=ours), False
    here: Path | Uri = item.source
    try:
        for place in (item.target, *asked.besides(item).values()):
            _make_folder(place.parent)
        with at_hand(item.source) as source:
            here = source
            check_places(source, item.target, wishes)
            looked_at = True
            run = make_synthetic_ct(
                source, item.target, model, choice, wishes, on_slices=on_slices, origin=str(item.source)
            )
    except RefusedError as error:
        return replace(
            _failed(begun, error, here),
            state="refused",
            gate={"accepted": False, "outside": list(error.measures)},
            input_sha256=_sha256(item.source),
        )
    except OutputError as error:  # a place that was looked at and cannot be written is one without room
        return _failed(begun, error, here, stops=looked_at or _is_full(error))
    except Mr2ctError as error:
        return _failed(begun, error, here)
    except MemoryError:
        return _failed(begun, "out of memory; a smaller --batch needs less", here, exit_code=OUT_OF_MEMORY)
    except Exception as error:  # a fault in our code: this volume waits for a person, the next one does not
        return _failed(begun, f"unexpected {type(error).__name__}: {error}", here, exit_code=FAULT)
    return _done(begun, run, wishes, stamp_of(item.target), tuple(asked.besides(item)))


def _done(begun: Entry, run: Run, wishes: Wishes, output: Stamp | None, besides: tuple[str, ...]) -> Entry:
    proof, choice = run.provenance, run.result.choice
    outside = [] if run.verdict is None else [one.name for one in run.verdict.findings if not one.within]
    made = Made(
        output=output or Stamp(0, 0, 0),  # it went away at once; the next run makes it again
        output_sha256=run.output_sha256,
        device=choice.device,
        precision=choice.precision,
        engine=proof.engine,
        engine_sha256=proof.engine_sha256,
        slices=run.result.slices,
        skipped=run.result.skipped,
        seconds={stage: round(s, 4) for stage, s in {**run.seconds, "total": run.total_seconds}.items()},
        outside=outside,
        cycle=None if run.cycle is None else run.cycle.as_json(),
        marked=wishes.mark_synthetic,
        besides=list(besides),
        remarks=remarks(run),
        peak_memory_bytes=run.peak_bytes,
    )
    return replace(
        begun,
        state="done",
        ended=utc_now(),
        input_sha256=proof.input_sha256,
        model_file=proof.file,
        model_sha256=proof.model_sha256,
        gate=None if run.verdict is None else {"accepted": run.verdict.accepted, "outside": outside},
        made=made,
        ours=True,
    )


def _failed(begun: Entry, why: Mr2ctError | str, here: Path | Uri, *, exit_code: int = 0, stops: bool = False) -> Entry:
    """here: the source, or the copy of it that was worked on; the line has its name already."""
    reason = one_line(why).replace(f"{one_line(begun.source)}: ", "").replace(f"{one_line(here)}: ", "")
    code = why.exit_code if isinstance(why, Mr2ctError) else exit_code
    return replace(begun, state="failed", ended=utc_now(), reason=reason, exit_code=code, stops=stops)


def _sha256(source: Path | Uri) -> str:
    """Of a source that was just read; "" where it went away."""
    try:
        return input_sha256(source)
    except (OSError, VolumeError):
        return ""


def _is_full(error: OutputError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error
