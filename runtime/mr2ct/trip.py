"""One whole run: an MR on disk becomes a synthetic CT on disk, with all that was asked for beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mr2ct.choosing import Choice
from mr2ct.cycle import cycle_check
from mr2ct.errors import OutputError, RefusedError
from mr2ct.gate.examining import examine
from mr2ct.gate.limits import GateLimits
from mr2ct.gate.verdict import Verdict
from mr2ct.hashing import file_sha256, files_sha256
from mr2ct.head import Mask
from mr2ct.model import Model
from mr2ct.picture import draw_planes, write_picture
from mr2ct.places import is_series, nifti_of
from mr2ct.provenance import Provenance
from mr2ct.quiet import note, quiet_native_stderr
from mr2ct.reading import read_volume
from mr2ct.report import Run
from mr2ct.stages import Stages, peak_memory_bytes
from mr2ct.synthesis import Prepared, SyntheticCT, prepare, synthesize
from mr2ct.volume import Volume
from mr2ct.way_back import choose_way_back
from mr2ct.writing import write_volume

if TYPE_CHECKING:  # a run without DICOM does not load pydicom
    from mr2ct.dicom.series import MrSeries


@dataclass(frozen=True)
class Wishes:
    """What a run does besides making a synthetic CT.

    series: SeriesInstanceUID of the MR in a folder of several, None where there is one that fits.  dicom_from: folder
    of the MR series that a volume file was converted from, whose patient a DICOM series is written for.  also_nifti:
    also write NIfTI beside a DICOM series.  mark_synthetic: SyntheticData (0008,001C) YES in it.  force: run although
    the gate refuses, and say so in everything that is written.  cycle_check: map the CT back.  cycle_map: where to
    write the error of that.  batch: slices a call of the engine, None for its own.  skip_air: leave out slices without
    head.  picture, page: PNG and HTML files.
    uncertified: also take a way back that is not proved.
    """

    series: str | None = None
    dicom_from: Path | None = None
    also_nifti: bool = False
    mark_synthetic: bool = True
    force: bool = False
    cycle_check: bool = False
    cycle_map: Path | None = None
    batch: int | None = None
    skip_air: bool = True
    picture: Path | None = None
    page: Path | None = None
    overwrite: bool = False
    uncertified: bool = False

    @property
    def maps_back(self) -> bool:
        """Whether the CT is to be mapped back to MR."""
        return self.cycle_check or self.cycle_map is not None


@dataclass(frozen=True)
class _Read:
    """What the engine is not needed for."""

    mr: Volume
    series: MrSeries | None
    sha256: str
    prepared: Prepared
    verdict: Verdict | None
    seconds: dict[str, float]


def make_synthetic_ct(
    source: Path,
    target: Path,
    model: Model,
    engine: Choice | Callable[[], Choice],
    wishes: Wishes = Wishes(),
    *,
    on_slices: Callable[[int, int], None] | None = None,
    started: float | None = None,
    origin: str = "",
) -> Run:
    """Make a synthetic CT of the MR at source, a volume file or a folder with a DICOM series, and write it to target.

    target: a volume file, by its suffix, or without one a folder for a CT series. engine: an open one, or what opens
    it: called here while the MR is read, and closed by whoever gave it. on_slices(done, all): called while it runs.
    started: time.perf_counter() at the run's start, None for now. origin: where source was copied from.
    Raises RefusedError when the gate refuses the MR and wishes.force is not set, VolumeError when it cannot be used,
    ModelError, DeviceError, OutputError; nothing is then left at target.
    """
    started = time.perf_counter() if started is None else started
    stages = Stages()
    if wishes.maps_back:
        model.way_back()  # raises now where there is none
    if isinstance(engine, Choice):
        choice, read = engine, _read(source, target, model, wishes)
    else:
        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(_read, source, target, model, wishes)
            with stages("load"):  # in this thread, where Ctrl-C is heard: it can take minutes
                choice = engine()
            read = reading.result()
    keep_network = wishes.maps_back
    result = synthesize(
        read.mr,
        model,
        choice,
        prepared=read.prepared,
        batch=wishes.batch,
        keep_network=keep_network,
        on_slices=on_slices,
    )
    stages.seconds.update({**read.seconds, **result.seconds})
    cycle = None
    if keep_network:
        with stages("cycle"), choose_way_back(model, choice, uncertified=wishes.uncertified, say=note) as back:
            cycle = cycle_check(result, read.mr, model, back, batch=wishes.batch)
        result = replace(result, network=None)
    provenance = _provenance(model, read, result)
    with stages("write"), quiet_native_stderr():
        output_sha256 = _write(result.volume, target, read.series, provenance, wishes)
        if wishes.cycle_map is not None and cycle is not None:
            write_volume(cycle.error, wishes.cycle_map, overwrite=wishes.overwrite)
    if wishes.picture is not None:
        with stages("picture"):
            picture = draw_planes(read.mr, result.volume, result.head)
            write_picture(picture, wishes.picture, overwrite=wishes.overwrite)
    run = Run(
        source, target, read.mr, model, result, stages.seconds, time.perf_counter() - started, peak_memory_bytes(),
        provenance, output_sha256, read.series, read.verdict, cycle, origin,
    )  # fmt: skip
    if wishes.page is None:
        return run
    from mr2ct.page.page import write_page

    with stages("page"):
        write_page(run, wishes.page, overwrite=wishes.overwrite)
    return replace(run, total_seconds=time.perf_counter() - started, peak_bytes=peak_memory_bytes())


def _read(source: Path, target: Path, model: Model, wishes: Wishes) -> _Read:
    """Read an MR, find its head, ask the gate, and make the model's slices of it."""
    stages, series = Stages(), None
    with stages("read"), quiet_native_stderr():
        if source.is_dir() or wishes.dicom_from is not None or is_series(target):
            mr, series = _read_dicom(source, target, wishes)
        else:
            mr = read_volume(source)
        sha256 = file_sha256(source) if source.is_file() else files_sha256(series.files if series else ())
    verdicts: list[Verdict] = []
    limits = model.card.gate

    def ask(volume: Volume, head: Mask, limits: GateLimits) -> None:
        verdicts.append(examine(volume, head, limits))
        if not verdicts[0].accepted and not wishes.force:
            raise RefusedError(
                f"{source}: refused, the model {model.card.name} was trained on nothing like it: "
                f"{'; '.join(verdicts[0].reasons)}; --force runs it all the same, outside validated use",
                tuple(finding.name for finding in verdicts[0].findings if not finding.within),
            )

    prepared = prepare(
        mr, model.card, skip_air=wishes.skip_air, check=None if limits is None else partial(ask, limits=limits)
    )
    seconds = {**stages.seconds, **prepared.seconds}
    return _Read(mr, series, sha256, prepared, verdicts[0] if verdicts else None, seconds)


def _read_dicom(source: Path, target: Path, wishes: Wishes) -> tuple[Volume, MrSeries]:
    """The MR and the series that speaks for its patient."""
    from mr2ct.dicom.ct_series import check_ct_series
    from mr2ct.dicom.matching import refuse_another_place
    from mr2ct.dicom.reading import read_mr_series

    if source.is_dir():
        series = read_mr_series(source, wishes.series)
        mr = series.volume
    else:
        mr = read_volume(source)
        if wishes.dicom_from is None:
            raise OutputError(f"{target}: a DICOM series needs a patient; --dicom-from names the MR series of {source}")
        series = read_mr_series(wishes.dicom_from, wishes.series)
        refuse_another_place(mr, series)
    if is_series(target):
        check_ct_series(series, target, overwrite=wishes.overwrite)
    return mr, series


def _provenance(model: Model, read: _Read, result: SyntheticCT) -> Provenance:
    card, choice = model.card, result.choice
    return Provenance(
        model=card.name,
        version=card.version,
        file=choice.file,
        model_sha256=card.files[choice.file].sha256,
        engine=choice.backend.description,
        precision=choice.precision,
        certificate=choice.certificate,
        input_sha256=read.sha256,
        outside=() if read.verdict is None else read.verdict.reasons,
        engine_sha256=choice.made_of,
    )


def _write(ct: Volume, target: Path, series: MrSeries | None, provenance: Provenance, wishes: Wishes) -> str:
    """Write the CT as it was asked for, and return the sha256 of what is at target."""
    if not is_series(target):
        write_volume(ct, target, overwrite=wishes.overwrite)
        return file_sha256(target)
    from mr2ct.dicom.ct_series import write_ct_series

    if series is None:
        raise OutputError(f"{target}: a folder of DICOM needs the MR series of a patient")
    write_ct_series(
        ct, series, provenance, target, overwrite=wishes.overwrite, mark_synthetic=wishes.mark_synthetic
    )  # fmt: skip
    if wishes.also_nifti:
        write_volume(ct, nifti_of(target), overwrite=wishes.overwrite)
    return files_sha256(file for file in target.iterdir())
