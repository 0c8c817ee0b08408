"""Where a run writes, and whether it can: told now, not after minutes of work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mr2ct.errors import OutputError
from mr2ct.picture import check_picture_place
from mr2ct.reading import suffix_of
from mr2ct.writing import check_place, refuse_existing

if TYPE_CHECKING:  # a trip asks here where it may write
    from mr2ct.trip import Wishes

# The default output has one file, also where the input has two.
ONE_FILE = {".mhd": ".mha", ".nhdr": ".nrrd"}


def is_series(place: Path) -> bool:
    """Whether a place to write names a folder for a DICOM series: it has no suffix of a volume file."""
    return not suffix_of(place)


def beside(source: Path, *, series: bool) -> Path:
    """head.nii.gz -> head_sct.nii.gz, in the same folder; a folder, or what becomes a series: head -> head_sct."""
    suffix = suffix_of(source)
    stem = source.resolve().name if source.is_dir() else source.name[: len(source.name) - len(suffix)]
    folder = source.resolve().parent if source.is_dir() else source.parent
    return folder / (f"{stem}_sct" if series else f"{stem}_sct{ONE_FILE.get(suffix, suffix)}")


def nifti_of(target: Path) -> Path:
    """Where the NIfTI beside a DICOM series goes: t1_sct -> t1_sct.nii.gz."""
    return target.with_name(f"{target.name}.nii.gz")


def refuse_shared(places: Sequence[Path | None]) -> None:
    """Raise OutputError when two of the MR and the outputs are one file or folder."""
    resolved = [place.resolve() for place in places if place is not None]
    for place in resolved:
        if resolved.count(place) > 1:
            raise OutputError(f"{place}: named twice; the MR and each output need a file of their own")


def check_places(volume: Path, target: Path, wishes: Wishes, json_file: Path | None = None) -> None:
    """Raise OutputError now, not after minutes of work, for what could not be written."""
    overwrite, nifti = wishes.overwrite, nifti_of(target) if wishes.also_nifti else None
    refuse_shared([volume, wishes.dicom_from, target, nifti, wishes.cycle_map, wishes.picture, wishes.page, json_file])
    has_patient = volume.is_dir() or wishes.dicom_from is not None
    if has_patient and is_series(target):
        from mr2ct.dicom.ct_folder import check_folder

        check_folder(target, overwrite=overwrite)
    elif has_patient or suffix_of(volume):  # else reading it says what is wrong, and better
        check_place(target, overwrite=overwrite)
    for place in (nifti, wishes.cycle_map):
        if place is not None:
            check_place(place, overwrite=overwrite)
    if json_file is not None:
        refuse_existing(json_file, overwrite=overwrite)
    if wishes.page is not None:
        from mr2ct.page.page import check_page_place

        check_page_place(wishes.page, overwrite=overwrite)
    if wishes.picture is not None:
        check_picture_place(wishes.picture, overwrite=overwrite)
