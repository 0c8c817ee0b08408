"""A volume file on disk becomes a Volume, or one line that says why not."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mr2ct import metaimage, nrrd
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.nifti import NiftiHeader, read_nifti
from mr2ct.volume import SourceHeader, Volume

SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
ORTHOGONAL_TOLERANCE = 1e-4  # of a cosine; 0.02 mm over 250 mm, coarser than float32 headers, finer than a voxel
SAME_PLACE_MM = 0.1  # qform and sform that differ by less place every voxel alike
ITK_READERS = dict(zip(SUFFIXES, ["NiftiImageIO"] * 2 + ["MetaImageIO"] * 2 + ["NrrdImageIO"] * 2, strict=True))


def suffix_of(path: Path) -> str:
    """The volume suffix of a file name, ".nii.gz" in one piece and lower case, or "" where it is none of SUFFIXES.

    .NII.GZ is one, .Nii is not: ITK's NIfTI reader refuses a suffix of mixed case (seen with SimpleITK 2.5.7).
    """
    return max((s for s in SUFFIXES if path.name.endswith((s, s.upper()))), key=len, default="")


def read_volume(path: str | Path) -> Volume:
    """Read a 3D volume of real numbers: NIfTI-1 (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr).

    Returns voxels (k, j, i) in the file's dtype (float32 where NIfTI scaling applies) on their grid in LPS mm, whatever
    their orientation; `remarks` holds what a user should know of the file. Raises VolumeError when the file is missing,
    damaged, cut short, not a volume, holds NaN or infinity, or does not say where its voxels lie.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise VolumeError(f"{path}: a folder; give one volume file ({' '.join(SUFFIXES)})")
        if not path.exists():
            raise VolumeError(f"{path}: no such file")
        suffix = suffix_of(path)
        if not suffix:
            raise VolumeError(f"{path}: no reader for this kind of file; known: {' '.join(SUFFIXES)}")
        volume = _read_nifti(path) if suffix in (".nii", ".nii.gz") else _read_by_itk(path)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}") from error
    _refuse_impossible_axes(volume.grid, path)
    _refuse_non_finite(volume, path)
    return volume


def _read_nifti(path: Path) -> Volume:
    header, voxels = read_nifti(path)
    if min(np.abs(header.spacing)) == 0 or not np.isfinite(header.spacing).all():
        raise VolumeError(f"{path}: voxel spacing {_numbers(header.spacing)}; every axis needs more than 0 mm")
    remark = _compare_affines(header, path)
    info = _itk_information(path)
    grid = Grid(info.GetSize()[:3], info.GetSpacing()[:3], info.GetOrigin()[:3], _leading_3x3(info.GetDirection()))
    return Volume(voxels, grid, SourceHeader(header.raw, grid), (remark,) if remark else ())


def _compare_affines(header: NiftiHeader, path: Path) -> str:
    """A remark on what the two affines of the header say, or "". Raises where they leave the anatomy's side open."""
    affines = header.affines()
    if not affines:
        raise VolumeError(
            f"{path}: the header gives no orientation (qform_code = sform_code = 0), so left and right are not known; "
            "convert it again from the scanner's DICOM"
        )
    for name, affine in affines.items():
        if not np.isfinite(affine).all():
            raise VolumeError(f"{path}: the {name} holds NaN or infinity")
        axes = affine[:, :3] / np.maximum(np.linalg.norm(affine[:, :3], axis=0), 1e-30)
        _refuse_oblique_angles(axes, f"{path} ({name})")
    if "sform" not in affines:
        return ""
    sform, first = affines["sform"], "qform"
    if "qform" in affines:
        qform = affines["qform"]
    else:  # ITK takes the length of a voxel from pixdim even then
        first = "voxel spacing"
        lengths = np.abs(header.spacing) / np.linalg.norm(sform[:, :3], axis=0)
        qform = np.column_stack([sform[:, :3] * lengths, sform[:, 3]])
    if np.linalg.det(qform[:, :3]) * np.linalg.det(sform[:, :3]) < 0:
        raise VolumeError(
            f"{path}: qform and sform mirror each other, so left and right are not known; convert it again from DICOM"
        )
    i, j, k = (np.array(header.shape) - 1).tolist()
    corners = np.array([(a, b, c, 1.0) for a in (0, i) for b in (0, j) for c in (0, k)])
    apart = float(np.linalg.norm(corners @ (qform - sform).T, axis=1).max()) * (header.unit_mm or 1.0)
    if apart < SAME_PLACE_MM:
        return ""
    return f"{first} and sform place the volume up to {apart:.1f} mm apart; read as ITK reads it, both are kept"


def _read_by_itk(path: Path) -> Volume:
    is_nrrd = suffix_of(path) in (".nrrd", ".nhdr")
    header = nrrd.read_header(path) if is_nrrd else b""
    if not is_nrrd:
        metaimage.refuse_damaged(path)
    info = _itk_information(path)
    size = " x ".join(str(n) for n in info.GetSize())
    if info.GetNumberOfComponents() != 1 or "complex" in sitk.GetPixelIDValueAsString(info.GetPixelID()):
        kind = sitk.GetPixelIDValueAsString(info.GetPixelID())
        raise VolumeError(f"{path}: {kind} voxels; a volume of one real number a voxel is needed")
    if info.GetDimension() != 3 or min(info.GetSize()) < 2:
        raise VolumeError(f"{path}: {size} voxels; one 3D volume is needed")
    wanted = math.prod(info.GetSize()) * sitk.Image((1, 1, 1), info.GetPixelID()).GetSizeOfPixelComponent()
    refuse_broken_stream(path, wanted)
    if is_nrrd:
        nrrd.refuse_unplaced(header, path)
        if wanted > nrrd.room(header, path):
            raise VolumeError(f"{path}: damaged or cut short, it has no room for {size} voxels; copy it again")
    try:
        volume = Volume.of(info.Execute())
    except RuntimeError as error:
        raise _told(error, path) from error
    return replace(volume, header=SourceHeader(header, volume.grid)) if is_nrrd else volume


def refuse_broken_stream(path: Path, wanted: int) -> None:
    """Raise VolumeError when the compressed voxels of a MetaImage or NRRD file are damaged, or not `wanted` bytes.

    ITK checks neither file's checksum: of 300 flipped bits in a .mha it reported 0, in a .nrrd 265. And a .mha whose
    voxels are too few it reads as if they were all there (seen with SimpleITK 2.5.7).
    """
    header = nrrd if suffix_of(path) in (".nrrd", ".nhdr") else metaimage
    stream = header.packed_voxels(path)
    if stream is None or not stream[0].is_file():
        return
    there = 0
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by its first bytes
    with open(stream[0], "rb") as file:
        file.seek(stream[1])
        try:
            while not inflate.eof and (chunk := file.read(1 << 16)):
                there += len(inflate.decompress(chunk))
        except zlib.error as error:
            raise VolumeError(f"{path}: damaged ({error}); copy it again") from error
    if not inflate.eof or there < wanted:
        raise VolumeError(f"{path}: its voxels are missing, damaged or cut short; copy it again")


def _itk_information(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(ITK_READERS[suffix_of(path)])  # ITK's own choice does not know .MHA
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _told(error, path) from error
    return reader


def _told(error: RuntimeError, path: Path) -> VolumeError:
    """ITK's exception, several lines about its sources, as one line about the file."""
    reason = str(error).strip().splitlines()[-1].strip().removeprefix("Reason: ")
    if "MetaImageIO" in str(error):  # its reason is the errno of something else
        return VolumeError(f"{path}: its voxels are missing, damaged or cut short; copy it again, its .raw too")
    if "orthonormal" in reason or "determinant" in str(error):
        return VolumeError(f"{path}: its axes are not at right angles; resample it to a right-angled grid")
    if "change spacing" in reason:
        return VolumeError(f"{path}: zero voxel spacing; every axis needs more than 0 mm")
    return VolumeError(f"{path}: its voxels are missing, damaged or cut short ({reason}); copy it again")


def _refuse_impossible_axes(grid: Grid, path: Path) -> None:
    numbers = np.array([*grid.spacing, *grid.origin, *grid.direction])
    if not np.isfinite(numbers).all():
        raise VolumeError(f"{path}: the header's geometry holds NaN or infinity")
    if min(grid.spacing) <= 0:
        raise VolumeError(f"{path}: voxel spacing {_numbers(grid.spacing)} mm; every axis needs more than 0 mm")
    _refuse_oblique_angles(grid.axes, str(path))


def _refuse_oblique_angles(axes: np.ndarray[tuple[int, ...], np.dtype[np.float64]], where: str) -> None:
    worst = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if worst > ORTHOGONAL_TOLERANCE:
        raise VolumeError(
            f"{where}: its axes are not at right angles (off by {worst:.2g}); resample it to a right-angled grid"
        )


def _refuse_non_finite(volume: Volume, path: Path) -> None:
    if volume.voxels.dtype.kind == "f":
        bad = volume.voxels.size - int(np.count_nonzero(np.isfinite(volume.voxels)))
        if bad:
            raise VolumeError(f"{path}: {bad} voxels are NaN or infinite; replace them by the background value first")


def _leading_3x3(direction: tuple[float, ...]) -> tuple[float, float, float, float, float, float, float, float, float]:
    """The direction of the first three axes, from that of three or more."""
    n = round(len(direction) ** 0.5)
    d = direction
    return (d[0], d[1], d[2], d[n], d[n + 1], d[n + 2], d[2 * n], d[2 * n + 1], d[2 * n + 2])


def _numbers(values: tuple[float, ...]) -> str:
    return " x ".join(f"{v:g}" for v in values)
