"""A small MR series, drawn and written as a scanner writes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from mr2ct.card import Certificate
from mr2ct.dicom.series import MrSeries
from mr2ct.grid import Grid
from mr2ct.provenance import Provenance
from mr2ct.volume import Volume

ROOT = "1.2.826.0.1.3680043.8.498."  # of the drawn scanner's UIDs
# Columns of a sagittal scanner's volume: rows run to Posterior, columns to Inferior, slices from Left to Right.
SAGITTAL = Grid((6, 5, 4), (0.9, 0.9, 1.1), (13.5, -70.25, 88.125), (0, 0, -1, 1, 0, 0, 0, -1, 0))
PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyDate": "20240229",
    "StudyTime": "101530",
    "AccessionNumber": "A-1",
    "ReferringPhysicianName": "Roe^Richard",
    "StudyID": "S1",
    "SeriesNumber": "5",
    "PositionReferenceIndicator": "",
    "PatientPosition": "HFS",
    "BodyPartExamined": "BRAIN",
    "AcquisitionDate": "20240229",
    "AcquisitionTime": "101712.250000",
    "Manufacturer": "Drawn Scanners",
    "ManufacturerModelName": "Pencil 3T",
    "SoftwareVersions": ["P1", "P2"],
    "StudyInstanceUID": ROOT + "1",
    "SeriesInstanceUID": ROOT + "2",
    "FrameOfReferenceUID": ROOT + "3",
}
CERTIFICATE = Certificate(
    "mr_to_ct.fp32.onnx", "fp32", "onnxruntime 1.32.0, CPU", 8, 123456, 4e-4, 3e-3, 0.02, {"max_hu": 0.1}
)
PROVENANCE = Provenance(
    "head-t1", "1.0", "mr_to_ct.fp32.onnx", "ab" * 32, "onnxruntime 1.32.0, CPU", "fp32", CERTIFICATE, "cd" * 32
)  # fmt: skip
OUTSIDE = replace(PROVENANCE, outside=("contrast distance 9.1 is over 3.0", "the head is cut: 40 mm of it are missing"))


def draw_mr_series(folder: Path, grid: Grid = SAGITTAL, **changes: Any) -> MrSeries:
    """Write an MR series on a right-handed grid, a file a slice, and read it. changes: attributes, None for none."""
    folder.mkdir()
    voxels = np.arange(np.prod(grid.size), dtype="<u2").reshape(grid.shape)
    for k, pixels in enumerate(voxels):
        header = Dataset()
        for keyword, value in {**PATIENT, **changes}.items():
            if value is not None:
                setattr(header, keyword, value)
        header.SOPClassUID, header.SOPInstanceUID, header.Modality = MRImageStorage, f"{ROOT}4.{k + 1}", "MR"
        header.InstanceNumber = k + 1
        header.ImagePositionPatient = [f"{mm:.10g}" for mm in grid.points(np.array([0.0, 0.0, k])).tolist()]
        header.ImageOrientationPatient = [f"{cosine:.10g}" for cosine in grid.axes[:, :2].T.ravel().tolist()]
        header.PixelSpacing = [f"{grid.spacing[1]:.10g}", f"{grid.spacing[0]:.10g}"]
        header.Columns, header.Rows, _ = grid.size
        header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
        header.PixelData = pixels.tobytes()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)
    return read_drawn(folder, grid)


def read_drawn(folder: Path, grid: Grid = SAGITTAL) -> MrSeries:
    """The series in a folder that draw_mr_series wrote."""
    files = tuple(sorted(folder.iterdir()))
    headers = tuple(dcmread(file, stop_before_pixels=True) for file in files)
    voxels = np.stack([dcmread(file).pixel_array for file in files])
    source = tuple((str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in headers)
    return MrSeries(folder, files, Volume(voxels, grid), headers, source)


def some_ct(grid: Grid = SAGITTAL) -> Volume:
    """HU over the whole range that a CT may have, no two neighbours alike."""
    count = int(np.prod(grid.size))
    return Volume(np.linspace(-1024, 3071, count).round().astype(np.int16).reshape(grid.shape), grid)


def read_ct(folder: Path) -> list[Dataset]:
    """The slices of a CT series, by the order of their names."""
    return [dcmread(file) for file in sorted(folder.iterdir())]


def hu(slices: list[Dataset]) -> NDArray[np.float64]:
    """(k, j, i) HU by the headers' own rescale."""
    return np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])


def positions(slices: list[Dataset]) -> NDArray[np.float64]:
    """(k, j, i, 3) LPS mm of every voxel."""
    places = [[[position(one, i, j) for i in range(one.Columns)] for j in range(one.Rows)] for one in slices]
    return np.array(places)


def position(one: Dataset, i: int, j: int) -> NDArray[np.float64]:
    """(3,) LPS mm of the voxel in column i and row j of a slice, by the equation of PS3.3, C.7.6.2.1.1."""
    x, y = np.array(one.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, one.PixelSpacing)
    place: NDArray[np.float64] = (
        np.array(one.ImagePositionPatient, float) + i * between_columns * x + j * between_rows * y
    )
    return place


def voxel_places(volume: Volume) -> NDArray[np.float64]:
    """(n, 4) of a volume: LPS mm and value of each voxel, sorted by value (which no two voxels may share)."""
    k, j, i = np.indices(volume.voxels.shape)
    points = volume.grid.points(np.stack([i, j, k], axis=-1).astype(np.float64)).reshape(-1, 3)
    return sorted_by_value(points, volume.voxels)


def sorted_by_value(points: Any, values: Any) -> NDArray[np.float64]:
    """(n, 4): LPS mm and value, sorted by value."""
    table = np.column_stack([np.asarray(points).reshape(-1, 3), np.asarray(values).ravel()])
    return table[np.argsort(table[:, 3])]
