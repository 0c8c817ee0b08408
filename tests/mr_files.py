"""Small MR series as DICOM files, written by pydicom, for what receives and sends them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.10.1999"
SIZE = 16  # pixels a side


def mr_instance(series: str, number: int, **attributes: object) -> Dataset:
    """Slice number (from 1) of an axial MR series of SIZE x SIZE pixels at 1 mm; attributes replace others."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = MRImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, f"{series}.{number}"
    header.Modality, header.PatientName, header.PatientID = "MR", "Muster^Erika", "PID-4711"
    header.PatientBirthDate, header.PatientSex = "19700101", "F"
    header.StudyInstanceUID, header.SeriesInstanceUID = f"{ROOT}.1", series
    header.FrameOfReferenceUID, header.InstanceNumber = f"{series}.0", number
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, number - 1], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [1, 1], 1
    header.Rows = header.Columns = SIZE
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.PixelData = (np.arange(SIZE * SIZE, dtype="<u2") + number).tobytes()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    return header


def write_mr(folder: Path, series: str, slices: int = 3, **attributes: object) -> list[Path]:
    """Write a series, one file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{series}.{number}.dcm" for number in range(1, slices + 1)]
    for number, file in enumerate(files, 1):
        mr_instance(series, number, **attributes).save_as(file, enforce_file_format=True)
    return files
