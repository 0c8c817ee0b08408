"""A data set of drawn heads, coarse enough for a test to train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

import phantom
from mr2ct.card import PAPER_CT_WINDOW_HU, FixedWindow, SliceGrid
from mr2ct_training.dataset import MANIFEST, Dataset, Entry, Manifest, Modality, Split, to_bytes

MR_WINDOW = (0.0, 3500.0)
FIELD_MM = 250.56
AVERAGE = phantom.Head()


def draw_dataset(
    folder: Path,
    *,
    pixels: int = 32,
    slices: int = 10,
    across_mm: float = 120,
    patients: int = 3,
    head: phantom.Head = AVERAGE,
    finer: int = 1,
    aligned: bool = True,
) -> Dataset:
    """Patients p0, p1, ... as aligned MR and CT, pixels x pixels x slices each; the last one is for validation.

    across_mm: how much of the head's width the slices show.  head: what all
    patients have in common.  finer: each pixel is the mean of finer x finer drawn ones, as a scanner's is of all that
    lies in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixel_mm = FIELD_MM / pixels
    drawn_mm = pixel_mm / finer
    grid = phantom.grid_around(
        (0, 0, 0),
        (pixels * finer, pixels * finer, slices),
        (drawn_mm, drawn_mm, across_mm / slices),
        phantom.SAGITTAL,
    )
    entries = []
    for number in range(patients):
        mr, ct = phantom.draw(grid, replace(head, person=number), seed=number)
        mr_pixels, ct_pixels = (_means(volume.voxels, finer) for volume in (mr, ct))
        inside = np.stack([_head(one) for one in ct_pixels])
        split: Split = "validation" if number == patients - 1 else "train"
        entries.append(_entry(folder, f"p{number}", "mr", split, mr_pixels, MR_WINDOW, inside, aligned))
        entries.append(_entry(folder, f"p{number}", "ct", split, ct_pixels, PAPER_CT_WINDOW_HU, inside, aligned))
    manifest = Manifest(
        SliceGrid("sagittal", pixels, pixels, pixel_mm, across_mm / slices),
        FixedWindow(*MR_WINDOW),
        PAPER_CT_WINDOW_HU,
        tuple(entries),
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Dataset(folder)


def _head(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The head in a slice, cavities included, (rows, columns)."""
    tissue = sitk.GetImageFromArray((hu > -500).astype(np.uint8))
    filled = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(tissue, [2, 2]))
    head: NDArray[np.bool_] = sitk.GetArrayFromImage(filled).astype(bool)
    return head


def _means(voxels: NDArray[np.generic], finer: int) -> NDArray[np.float32]:
    k, j, i = voxels.shape
    blocks = voxels.astype(np.float32).reshape(k, j // finer, finer, i // finer, finer)
    means: NDArray[np.float32] = blocks.mean(axis=(2, 4))
    return means


def _entry(
    folder: Path,
    patient: str,
    modality: Modality,
    split: Split,
    voxels: NDArray[np.generic],
    limits: tuple[float, float],
    head: NDArray[np.bool_],
    aligned: bool,
) -> Entry:
    low, high = limits
    network = np.clip((voxels.astype(np.float32) - low) / (high - low) * 2 - 1, -1, 1)
    file, head_file = f"{modality}-{patient}.npy", f"{modality}-{patient}.head.npy"
    np.save(folder / file, to_bytes(network))
    np.save(folder / head_file, np.packbits(head, axis=-1))
    registration = {"method": "drawn aligned"} if aligned and modality == "ct" else None
    return Entry(patient, modality, split, file, head_file, len(network), "drawn", "0" * 64, limits, registration)
