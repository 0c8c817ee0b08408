"""A Volume becomes a file on disk: whole, on exactly the grid it came from, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from isal import igzip

from mr2ct import nifti, nrrd
from mr2ct.errors import OutputError, VolumeError
from mr2ct.reading import SUFFIXES, refuse_broken_stream, suffix_of
from mr2ct.volume import Volume

GZIP_LEVEL = 1  # of Intel's ISA-L: as small as zlib's level 1, in a sixth of its time (benchmarks/LOG.md)
SMALL = 2  # voxels along each axis of the volume whose header ITK is asked for


@contextmanager
def whole_or_not_at_all(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path, named like target, whose files appear beside target only when the block succeeds.

    Of several files (.mhd with its .raw) target is moved last. Whatever ends the block early, Ctrl-C included, leaves
    the folder as it was. Raises OutputError when the place cannot be written
    or, unless overwrite, when target exists.
    """
    refuse_existing(target, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target}: cannot write there: {error.strerror}") from error
    try:
        try:
            yield folder / target.name
            parts = sorted(folder.iterdir(), key=lambda file: file.name == target.name)
            for part in parts:  # brain.mhd brings a brain.raw, which may be another volume's
                refuse_existing(target.parent / part.name, overwrite=overwrite)
            for part in parts:
                os.replace(part, target.parent / part.name)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{target}: not written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError when target cannot be a new file: it exists (unless overwrite), or has no folder to be in."""
    try:
        is_folder, exists, has_folder = target.is_dir(), target.exists(), target.parent.is_dir()
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise OutputError(f"{target}: cannot write there: {error.strerror}") from error
    if is_folder:
        raise OutputError(f"{target}: is a folder; name a file in it")
    if exists and not overwrite:
        raise OutputError(f"{target}: exists already; --overwrite replaces it, -o names another place")
    if not has_folder:
        raise OutputError(f"{target}: its folder does not exist; make it first")


def check_place(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when write_volume could not write target."""
    if not suffix_of(target):
        raise OutputError(f"{target}: no writer for this kind of file; known: {' '.join(SUFFIXES)}")
    refuse_existing(target, overwrite=overwrite)
    if suffix_of(target) in (".mhd", ".nhdr"):
        refuse_existing(target.with_name(target.name[: -len(suffix_of(target))] + ".raw"), overwrite=overwrite)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: cannot write there: Permission denied")


def write_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a volume by the suffix of path (.nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr).

    The grid read back is the volume's own; where the volume came from a file of the same format (NIfTI or NRRD) its
    geometry header is carried over bit for bit. NIfTI has room for float32 geometry only: a grid that did not come
    from NIfTI lands within 1e-4 mm. Raises OutputError; the place is then as it was before.
    """
    path = Path(path)
    check_place(path, overwrite=overwrite)
    with whole_or_not_at_all(path, overwrite=overwrite) as partial:
        suffix = suffix_of(path)
        if suffix in (".nii", ".nii.gz"):
            _write_nifti(volume, partial)
            return
        plain = partial.with_name(partial.name[: -len(suffix)] + suffix)  # ITK writes no .MHA
        _write_by_itk(volume, plain, compress=suffix in (".mha", ".nrrd"))
        header = _carried_header(volume)
        if suffix in (".nrrd", ".nhdr") and header.startswith(nrrd.MAGIC):
            plain.write_bytes(nrrd.with_geometry_of(header, plain.read_bytes()))
        _prove_whole(volume, plain)
        os.replace(plain, partial)


def _carried_header(volume: Volume) -> bytes:
    """The raw header the volume was read with, or b"" where there is none or the volume has moved off its grid."""
    if volume.header is None or volume.header.grid != volume.grid:
        return b""
    return volume.header.raw


def _write_nifti(volume: Volume, path: Path) -> None:
    """ITK's header with the source's geometry in it, then the voxels."""
    header, voxels = _header_by_itk(volume, path), np.ascontiguousarray(volume.voxels).data
    source = _carried_header(volume)
    if len(source) == nifti.HEADER_BYTES and not source.startswith(nrrd.MAGIC):
        header = nifti.with_geometry_of(source, header)
    with open(path, "wb") as file:
        if path.name.lower().endswith(".gz"):
            # no name and no time in it: the same volume gives the same bytes
            with igzip.IGzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
                packed.write(header)
                packed.write(voxels)
        else:
            file.write(header)
            file.write(voxels)
        file.flush()
        os.fsync(file.fileno())


def _header_by_itk(volume: Volume, path: Path) -> bytes:
    """The first nifti.VOXELS_AT bytes of the file that ITK would write: of a small volume, with the sizes put in."""
    size = volume.grid.size
    if max(size) > nifti.LONGEST_AXIS:
        raise OutputError(f"{path.name}: NIfTI-1 holds {nifti.LONGEST_AXIS} voxels along an axis; write .nrrd or .mha")
    small, place = replace(volume.grid, size=(SMALL,) * 3), path.with_name("small.nii")
    _write_by_itk(Volume(np.zeros(small.shape, volume.voxels.dtype), small), place, compress=False)
    content = place.read_bytes()
    place.unlink()
    if len(content) < nifti.VOXELS_AT:
        raise OutputError(f"{path.name}: not written: the disk is full")
    return nifti.with_size(content[: nifti.VOXELS_AT], size)


def _write_by_itk(volume: Volume, path: Path, *, compress: bool) -> None:
    try:
        sitk.WriteImage(volume.image(), str(path), useCompression=compress)
    except RuntimeError as error:
        raise OutputError(f"{path.name}: not written: the disk is full or the place is gone") from error


def _prove_whole(volume: Volume, path: Path) -> None:
    """ITK's writers do not report every failed write, so what they wrote is read back."""
    try:
        refuse_broken_stream(path, volume.voxels.nbytes)
        written = sitk.ReadImage(str(path))
    except (RuntimeError, VolumeError) as error:
        raise OutputError(f"{path.name}: not written: the disk is full") from error
    if not np.array_equal(sitk.GetArrayViewFromImage(written), volume.voxels, equal_nan=True):
        raise OutputError(f"{path.name}: not written: the disk is full")
