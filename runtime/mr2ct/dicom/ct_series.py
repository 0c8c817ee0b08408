"""A synthetic CT becomes a DICOM series of the MR's patient, study and frame of reference.

The series is a function of what is in it: no clock and no chance. Its UIDs are of all its bytes, the source's UIDs, the
model's hash and every HU among them. The same run writes the same files, which an archive takes for the ones it has; a
run whose HU or words differ in anything writes another series.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from mr2ct.dicom.axial import axial
from mr2ct.dicom.ct_attributes import HU_OF_ZERO, refuse_incomplete, shared_attributes
from mr2ct.dicom.ct_folder import check_folder, whole_folder
from mr2ct.dicom.decimal_string import decimal_string
from mr2ct.dicom.matching import refuse_another_place
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, uid_of
from mr2ct.dicom.verbatim import encoded
from mr2ct.grid import Grid
from mr2ct.provenance import Provenance
from mr2ct.stoppable import run_stoppable
from mr2ct.volume import Volume

HU_RANGE = (-1024, 3071)  # 0 to 4095 as stored
SYNCING_THREADS = 8
PREAMBLE = bytes(128) + b"DICM"  # PS3.10, 7.1


def check_ct_series(series: MrSeries, folder: Path, *, overwrite: bool) -> None:
    """Raise now, before minutes of work, what write_ct_series would.

    VolumeError where the MR's headers lack what a CT of that patient must have, OutputError where the folder cannot be
    written.
    """
    refuse_incomplete(series)
    check_folder(folder, overwrite=overwrite)


def write_ct_series(
    ct: Volume,
    series: MrSeries,
    provenance: Provenance,
    folder: Path,
    *,
    overwrite: bool = False,
    mark_synthetic: bool = True,
) -> None:
    """Write a CT as a DICOM series of axial slices: IM0001.dcm, InstanceNumber 1, is the most inferior.

    ct: int16 HU (k, j, i) within [-1024, 3071], on the grid of the series, its axes in any order and direction; nothing
    is resampled, see axial.py.  mark_synthetic: say so in SyntheticData (0008,001C), which a planning system may filter
    on; everything else says it in any case.  The folder is written whole or not at all, see ct_folder.py.

    Raises VolumeError where the MR lacks what a CT of that patient must have, or the CT lies elsewhere than the MR;
    OutputError where the folder cannot be written; ValueError for voxels that are no HU.
    """
    if ct.voxels.dtype != np.int16:
        raise ValueError(f"a CT has int16 HU, not {ct.voxels.dtype}")
    low, high = int(ct.voxels.min()), int(ct.voxels.max())
    if low < HU_RANGE[0] or high > HU_RANGE[1]:
        raise ValueError(f"HU from {low} to {high} are outside {list(HU_RANGE)}")
    refuse_incomplete(series)
    refuse_another_place(ct, series)
    slices = axial(ct)
    shared = shared_attributes(series, provenance, slices.grid, synthetic=mark_synthetic)
    stored = np.empty(slices.voxels.shape, "<i2")  # (k, j, i), 0 to 4095, in which signed and unsigned are the same
    np.subtract(slices.voxels, np.int16(HU_OF_ZERO), out=stored)
    places = [_place(slices.grid, k) for k in range(len(stored))]
    series_uid = _uid(shared, places, stored)
    with whole_folder(folder, overwrite=overwrite) as partial:
        _write(partial, _files(shared, places, stored, series_uid))


def _place(grid: Grid, k: int) -> dict[int, bytes]:
    """What says where axial slice k is, encoded, by tag."""
    position = grid.points(np.array([0.0, 0.0, float(k)]))
    normal = np.cross(grid.axes[:, 0], grid.axes[:, 1])
    return _elements(
        InstanceNumber=k + 1,
        ImagePositionPatient=[decimal_string(mm) for mm in position.tolist()],
        SliceLocation=decimal_string(float(normal @ position)),
    )


def _uid(shared: dict[int, bytes], places: list[dict[int, bytes]], stored: NDArray[np.int16]) -> UID:
    """SeriesInstanceUID, of everything that the series holds but its own UIDs."""
    digest = hashlib.sha256()
    for elements in (shared, *places):
        for tag in sorted(elements):
            digest.update(elements[tag])
    digest.update(stored.data)
    return uid_of(digest.hexdigest())


def _files(
    shared: dict[int, bytes], places: list[dict[int, bytes]], stored: NDArray[np.int16], series_uid: UID
) -> Iterator[bytes]:
    """Each slice as the bytes of its file."""
    shared = {**shared, **_elements(SeriesInstanceUID=series_uid)}
    for number, (place, pixels) in enumerate(zip(places, stored, strict=True), 1):
        uid = uid_of(f"{series_uid} {number}")
        own = {**place, **_elements(SOPInstanceUID=uid, PixelData=pixels.tobytes())}
        elements = {**shared, **own}
        yield _head(uid) + b"".join(elements[tag] for tag in sorted(elements))


def _head(uid: UID) -> bytes:
    """What a file begins with: preamble and meta information (PS3.10, 7.1)."""
    meta, buffer = FileMetaDataset(), DicomBytesIO()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    write_file_meta_info(buffer, meta)
    return PREAMBLE + buffer.getvalue()


def _elements(**values: object) -> dict[int, bytes]:
    """Elements by keyword, encoded, by tag."""
    own = Dataset()
    for keyword, value in values.items():
        vr = "OW" if keyword == "PixelData" else dictionary_VR(keyword)
        own.add(DataElement(Tag(keyword), vr, value))
    return {element.tag: encoded(element) for element in own}


def _write(folder: Path, files: Iterator[bytes]) -> None:
    """Put the files on the disk, not only on their way there.

    Synced by threads, since a journal takes many at once: 256 slices 0.3 s, one after the other 1.7 s (ext4).
    """
    paths = []
    for number, content in enumerate(files, 1):
        paths.append(folder / f"IM{number:04d}.dcm")
        paths[-1].write_bytes(content)
    stopped = threading.Event()

    def sync(path: Path) -> None:
        if not stopped.is_set():
            with open(path, "r+b") as file:
                os.fsync(file.fileno())

    def sync_all() -> None:
        with ThreadPoolExecutor(SYNCING_THREADS) as threads:
            for _ in threads.map(sync, paths):
                pass

    run_stoppable(sync_all, stopped.set)
