"""A folder of DICOM files becomes an MR series with its volume, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

from mr2ct.dicom.choosing import choose_series
from mr2ct.dicom.elements import uid, words
from mr2ct.dicom.encapsulated import ALWAYS_LOSSY
from mr2ct.dicom.files import find_files, quiet, told, unreadable
from mr2ct.dicom.frames import Frame, frames_of
from mr2ct.dicom.geometry import lattice
from mr2ct.dicom.listing import Contents, look_into
from mr2ct.dicom.parsing import DicomFile
from mr2ct.dicom.pixel_format import one_format
from mr2ct.dicom.pixels import read_voxels
from mr2ct.dicom.series import MrSeries
from mr2ct.errors import VolumeError
from mr2ct.volume import Volume


def read_mr_series(folder: str | Path, series: str | None = None) -> MrSeries:
    """Read one MR series of a folder, and of the folders in it: MR Image Storage or Enhanced MR, of any orientation.

    series: a SeriesInstanceUID; without one the only MR series is taken, or the only T1-weighted one. The volume's
    voxels (k, j, i) are the stored integers, or float32 where a rescale applies; k runs along the normal (row x
    column). Each voxel lies within 0.001 mm of where headers of full precision put it. Raises VolumeError, one line,
    when the series is not one regular volume of one patient's MR, damaged, compressed without a decoder for it, or not
    all there.
    """
    folder = Path(folder)
    contents = look_into(folder)
    with quiet():
        facts, files, remarks = choose_series(contents, series)
    where = f"{contents.where}: series {facts.uid}"
    try:
        form = one_format(files, where)
        with quiet():
            frames = [frame for file in files for frame in frames_of(file)]
        frames, grid = lattice(frames, form.rows, form.columns, where)
        voxels, told_of_voxels = read_voxels(frames, form, where)
        _refuse_grown(contents, where)
    except OSError as error:
        raise unreadable(error, folder) from error
    remarks = (*remarks, *_lossy(files), *_left_out(contents), *told_of_voxels)
    in_order = _by_slice(frames)
    return MrSeries(
        folder,
        tuple(sorted(file.path for file in files)),
        Volume(voxels, grid, remarks=remarks),
        tuple(file.header for file in in_order),
        tuple((uid(file.header, "SOPClassUID"), uid(file.header, "SOPInstanceUID")) for file in in_order),
    )


def _by_slice(frames: list[Frame]) -> list[DicomFile]:
    """The files in the order of k, each once."""
    return list(dict.fromkeys(frame.file for frame in frames))


def _refuse_grown(contents: Contents, where: str) -> None:
    """Raise VolumeError when DICOM files came or went while the series was read."""
    if find_files(contents.folder).paths != contents.found.paths:
        raise VolumeError(f"{where}: files came or went while it was read; wait until the series has arrived")


def _lossy(files: list[DicomFile]) -> tuple[str, ...]:
    lossy = [f for f in files if f.syntax in ALWAYS_LOSSY or words(f.header, "LossyImageCompression") == ("01",)]
    return (f"{len(lossy)} of {len(files)} files are compressed with losses",) if lossy else ()


def _left_out(contents: Contents) -> tuple[str, ...]:
    naked = contents.found.naked
    if not naked:
        return ()
    return (f"{len(naked)} files without DICOM's preamble were left out, {told(naked[0])} among them",)
