"""Where a run writes, and whether it can: told now, not after minutes of work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mr2ct.errors import OutputError
from mr2ct.reading import suffix_of

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
