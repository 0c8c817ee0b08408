"""Which series of a folder is the T1-weighted MR of one head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mr2ct.dicom.elements import clean, decimal, raw
from mr2ct.dicom.listing import ENOUGH_IMAGES, Contents, SeriesFacts, facts_of
from mr2ct.dicom.parsing import DicomFile
from mr2ct.errors import VolumeError

MOST_LISTED = 12


def choose_series(contents: Contents, series: str | None) -> tuple[SeriesFacts, list[DicomFile], tuple[str, ...]]:
    """The series with a SeriesInstanceUID, or without one the only MR, or among several the only T1-weighted one.

    Returns its facts, its files and remarks. Raises VolumeError, with the series to choose from, when there is none or
    more than one, and when what was chosen is no MR volume, of two patients, or not all there.
    """
    facts = {uid: facts_of(files) for uid, files in contents.series.items()}
    if series is not None:
        if series not in facts:
            raise VolumeError(f"{contents.where}: no series {clean(series)}; there are {_listed(facts.values())}")
        chosen = facts[series]
    else:
        everything = [file for files in contents.series.values() for file in files]
        _refuse_two_patients([file for file in everything if any(_patient(file))], contents.where)
        chosen = _only(list(facts.values()), contents.where)
    files = contents.series[chosen.uid]
    where = f"{contents.where}: series {chosen.uid}"
    if chosen.unfit:
        raise VolumeError(f"{where} {chosen.unfit}; a T1-weighted MR volume of a head is needed")
    _refuse_two_patients(files, where)
    remarks = _completeness(chosen, files, where)
    if len(facts) > 1 and series is None:
        remarks = (f"took series {chosen.uid} '{chosen.description}' of {len(facts)}", *remarks)
    if chosen.t1 is False:
        remarks = (*remarks, f"series {chosen.uid} does not look T1-weighted: {chosen}")
    return chosen, files, remarks


def _only(all_facts: Sequence[SeriesFacts], where: str) -> SeriesFacts:
    mr = [facts for facts in all_facts if facts.modality == "MR"]
    if len(all_facts) == 1 or len(mr) == 1:
        return (mr or all_facts)[0]
    if not mr:
        raise VolumeError(f"{where}: no MR series among {_listed(all_facts)}")
    fit = [facts for facts in mr if not facts.unfit and facts.images >= ENOUGH_IMAGES]
    t1 = [facts for facts in fit if facts.t1]
    candidates = t1 or [facts for facts in fit if facts.t1 is None]
    if len(candidates) == 1:
        return candidates[0]
    what = f"{len(t1)} of {len(mr)} MR series look" if t1 else f"none of {len(mr)} MR series looks"
    raise VolumeError(f"{where}: {what} T1-weighted; choose one with --series UID: {_listed(t1 or mr)}")


def _listed(all_facts: Iterable[SeriesFacts]) -> str:
    facts = sorted(all_facts, key=lambda series: (series.modality != "MR", bool(series.unfit), series.uid))
    more = f"; and {len(facts) - MOST_LISTED} more" if len(facts) > MOST_LISTED else ""
    return "; ".join(map(str, facts[:MOST_LISTED])) + more


def _refuse_two_patients(files: Sequence[DicomFile], where: str) -> None:
    patients = {_patient(file) for file in files}
    if len(patients) > 1:
        raise VolumeError(
            f"{where}: images of {len(patients)} patients (PatientID differs); give a folder of one patient's series"
        )
    if (
        len({raw(file.header, "StudyInstanceUID") for file in files}) > 1
        and len({raw(file.header, "SeriesInstanceUID") for file in files}) == 1
    ):
        raise VolumeError(f"{where}: images of several studies under one series UID; send the series again")


def _patient(file: DicomFile) -> tuple[bytes, ...]:
    """What tells patients apart: PatientID, or name and date of birth where there is none. Never shown."""
    number = raw(file.header, "PatientID").strip(b" \0")
    if number:
        return (number,)
    return (b"", raw(file.header, "PatientName").strip(b" \0"), raw(file.header, "PatientBirthDate").strip(b" \0"))


def _completeness(facts: SeriesFacts, files: Sequence[DicomFile], where: str) -> tuple[str, ...]:
    """Refuse a series of which images are still to come, as far as a header tells their number."""
    for keyword in ("NumberOfSeriesRelatedInstances", "ImagesInAcquisition"):
        told = max((decimal(file.header, keyword) or 0.0 for file in files), default=0.0)
        there = len(files) if keyword == "NumberOfSeriesRelatedInstances" else facts.images
        if told <= there:
            continue
        if keyword == "ImagesInAcquisition" and told % there == 0:  # an acquisition may go into several series
            return (f"the series has {there} of the {told:g} images of its acquisition",)
        raise VolumeError(
            f"{where}: {there} of {told:g} images are there ({keyword}); wait until all have arrived or send it again"
        )
    return ()
