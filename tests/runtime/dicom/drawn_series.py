"""MR series written element by element with pydicom: single-frame and enhanced, of any grid, with any change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from mr2ct.dicom.reading import read_mr_series
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from runtime.volumes import TILTED, some_voxels

MR_IMAGE, ENHANCED_MR, LEGACY_MR = (UID("1.2.840.10008.5.1.4.1.1.4" + tail) for tail in ("", ".1", ".4"))
SERIES = "1.2.826.0.1.3680043.10.1.7"
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
Change = Callable[[Dataset, int], None]


def unchanged(_header: Dataset, _k: int) -> None:
    """Leaves a slice as it is."""


def orientation(grid: Grid) -> list[str]:
    """ImageOrientationPatient of a grid, in 16 characters a number."""
    return [f"{n:.13f}"[:16] for n in (*grid.axes[:, 0], *grid.axes[:, 1])]


def position(grid: Grid, k: int) -> list[str]:
    """ImagePositionPatient of slice k, in 16 characters a number."""
    return [f"{n:.11f}"[:16] for n in grid.points(np.array([0.0, 0.0, float(k)]))]


def common(sop_class: UID, uid: str, voxels: NDArray[Any], syntax: UID) -> Dataset:
    """What a file of these (j, i) or (k, j, i) voxels says in any case; they are in it, in the byte order of syntax."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = sop_class
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = UID(uid)
    header.Modality, header.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "NORM"]
    header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "p1", "19700101"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.826.0.1.3680043.10.1.6", SERIES
    header.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.1.5"
    header.SeriesDescription, header.SeriesNumber = "T1 MPRAGE", 3
    header.Rows, header.Columns = voxels.shape[-2:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 8 * voxels.dtype.itemsize
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, int(voxels.dtype.kind == "i")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    header.PixelData = data + b"\0" * (len(data) % 2)
    header["PixelData"].VR = "OB" if voxels.dtype.itemsize == 1 else "OW"
    return header


def save(header: Dataset, path: Path) -> Path:
    """Path, with header in it as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def slices(
    grid: Grid = TILTED, voxels: NDArray[Any] | None = None, syntax: UID = ExplicitVRLittleEndian, tail: str = ""
) -> Iterator[Dataset]:
    """Single-frame images of a volume, in the order of k; an MPRAGE by their headers."""
    whole = some_voxels(grid) if voxels is None else voxels
    for k, plane in enumerate(whole):
        header = common(MR_IMAGE, f"{SERIES}{tail}.{k + 1}", plane, syntax)
        header.ScanningSequence, header.SequenceVariant, header.MRAcquisitionType = ["GR", "IR"], "MP", "3D"
        header.RepetitionTime, header.EchoTime, header.InversionTime = "2000", "2.52", "900"
        header.ImagePositionPatient, header.ImageOrientationPatient = position(grid, k), orientation(grid)
        header.PixelSpacing = [f"{grid.spacing[1]:.12g}", f"{grid.spacing[0]:.12g}"]
        header.SliceThickness = f"{grid.spacing[2]:.6g}"
        yield header


def write_series(
    folder: Path,
    grid: Grid = TILTED,
    voxels: NDArray[Any] | None = None,
    change: Change = unchanged,
    syntax: UID = ExplicitVRLittleEndian,
) -> Path:
    """The folder, with a series in it whose names and numbers are in no order that tells the order of the slices."""
    headers = list(slices(grid, voxels, syntax))
    for k, header in enumerate(headers):
        n = (5 * k + 3) % 7 * len(headers) + k
        header.InstanceNumber = n + 1
        change(header, k)
        save(header, folder / f"im{n:03d}.dcm")
    return folder


def enhanced(
    grid: Grid = TILTED,
    voxels: NDArray[Any] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    rescale: list[tuple[float, float]] | None = None,
    order: list[int] | None = None,
) -> Dataset:
    """An Enhanced MR object of a volume. rescale: slope and intercept, by k. order: of its frames, as k."""
    whole = some_voxels(grid) if voxels is None else voxels
    places = list(range(len(whole))) if order is None else order
    header = common(ENHANCED_MR, f"{SERIES}.100", whole[places], syntax)
    header.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    header.NumberOfFrames, header.EchoPulseSequence = len(whole), "GRADIENT"
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing = [f"{grid.spacing[1]:.12g}", f"{grid.spacing[0]:.12g}"]
    plane.ImageOrientationPatient = orientation(grid)
    timing, echo = Dataset(), Dataset()
    timing.RepetitionTime, echo.EffectiveEchoTime = "2000", 2.52
    modifier = Dataset()
    modifier.InversionTimes = [900.0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = Sequence([timing]), Sequence([echo])
    shared.MRModifierSequence = Sequence([modifier])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for n, k in enumerate(places):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = position(grid, k)
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", k + 1, [1, n + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = Sequence([place]), Sequence([content])
        if rescale:
            transform = Dataset()
            transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = *rescale[k], "US"
            frame.PixelValueTransformationSequence = Sequence([transform])
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return header


def refusal(folder: Path, series: str | None = None) -> str:
    """The one line that refuses a folder."""
    with pytest.raises(VolumeError) as told:
        read_mr_series(folder, series)
    line = str(told.value)
    assert line.isprintable()
    assert "Doe" not in line
    return line


@contextmanager
def no_temporary_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files go to a folder, and none of them is there afterwards."""
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []
