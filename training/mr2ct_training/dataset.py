"""A data set on disk: real volumes as the slices a network sees, 8 bits a pixel as in the paper (section 4).

    DATASET/
        manifest.json          what is in it, where it came from, how it was made
        mr-ANNA.npy            (slices, rows, columns) uint8: 0..255 are [-1, 1]; memory-mapped when read
        mr-ANNA.head.npy       (slices, rows, columns / 8) uint8: the head, 8 pixels a byte (numpy.packbits)
        mr-ANNA.json           for mr2ct-prepare: what those two were made of and how, so that they need not be again
        ct-ANNA.npy, ...

36 heads of 183 slices are 432 MB of pixels and 54 MB of masks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import FixedWindow, MrWindow, PercentileWindow, SliceGrid
from mr2ct.gate.measured import Measured

SCHEMA = "mr2ct-dataset/1"
MANIFEST = "manifest.json"

Modality = Literal["mr", "ct"]
Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


class DatasetError(ValueError):
    """A data set that cannot be made or used; one line."""


@dataclass(frozen=True)
class Entry:
    """One volume of a data set.

    source, source_sha256: the file it was made from.  limits: the values that became -1 and 1, scanner units or HU.
    registration: how a CT came onto its patient's MR, slice by slice: the method, the rigid transform (LPS, 12 numbers:
    matrix row-major, then translation) and, of a registration, metric and iterations; None where it has its own slices.
    measured: what the gate of a model that is trained on it needs to know of an MR; None of a CT, or where it was not
    measured. Only then it is not in the manifest, so that an older one keeps its hash.
    """

    patient: str
    modality: Modality
    split: Split
    file: str
    head_file: str
    slices: int
    source: str
    source_sha256: str
    limits: tuple[float, float]
    registration: dict[str, Any] | None = None
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """As values of JSON."""
        fields = asdict(self)
        if self.measured is None:
            del fields["measured"]
        return fields


@dataclass(frozen=True)
class Manifest:
    """What a data set holds. slices: the grid of every slice. windows as in a model's card."""

    slices: SliceGrid
    mr_window: MrWindow
    ct_window_hu: tuple[float, float]
    entries: tuple[Entry, ...]

    def of(self, modality: Modality, split: Split) -> list[Entry]:
        """The volumes of one modality in one split, in the manifest's order."""
        return [entry for entry in self.entries if (entry.modality, entry.split) == (modality, split)]

    def to_json(self) -> str:
        """The text of manifest.json; the same data set gives the same text."""
        kind = "percentile" if isinstance(self.mr_window, PercentileWindow) else "fixed"
        fields = asdict(self)
        fields["mr_window"] = {"kind": kind, **fields["mr_window"]}
        fields["entries"] = [entry.to_json() for entry in self.entries]
        return json.dumps({"schema": SCHEMA, **fields}, indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """Of the manifest's text: two data sets with the same hash hold the same volumes, made alike."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Parse and check. Raises DatasetError: not ours, a field wrong, or a patient in two splits."""
        try:
            fields = json.loads(text)
            if fields["schema"] != SCHEMA:
                raise DatasetError(f"{where}: schema {fields['schema']!r} is not known; known: {SCHEMA!r}")
            window = dict(fields["mr_window"])
            kinds: dict[str, type[FixedWindow] | type[PercentileWindow]]
            kinds = {"fixed": FixedWindow, "percentile": PercentileWindow}
            low, high = fields["ct_window_hu"]
            manifest = cls(
                slices=_grid(fields["slices"]),
                mr_window=kinds[window.pop("kind")](**window),
                ct_window_hu=(float(low), float(high)),
                entries=tuple(entry_of(entry) for entry in fields["entries"]),
            )
        except DatasetError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{where}: damaged or not the manifest of a data set ({error}); prepare it again"
            ) from error
        refuse_patient_in_two_splits(manifest.entries, where)
        return manifest


def _grid(fields: dict[str, Any]) -> SliceGrid:
    grid = SliceGrid(**fields)
    if grid.columns % 8:
        raise ValueError(f"slices of {grid.rows!r} x {grid.columns!r} pixels")
    return grid


def entry_of(fields: dict[str, Any]) -> Entry:
    """Of what to_json gave. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    low, high = fields["limits"]
    told = fields.get("measured")
    measured = None if told is None else Measured.from_json(told)
    entry = Entry(**{**fields, "limits": (float(low), float(high)), "measured": measured})
    for text in (entry.patient, entry.file, entry.head_file, entry.source, entry.source_sha256):
        if not isinstance(text, str):
            raise ValueError(f"{text!r} where a text is needed")
    if entry.modality not in ("mr", "ct") or entry.split not in SPLITS:
        raise ValueError(f"patient {entry.patient!r}: modality {entry.modality!r}, split {entry.split!r}")
    if not isinstance(entry.slices, int) or entry.slices < 1:
        raise ValueError(f"patient {entry.patient!r}: {entry.slices!r} slices")
    return entry


def refuse_patient_in_two_splits(entries: Sequence[Entry], where: str) -> None:
    """Raise DatasetError when what is validated on was also trained on."""
    splits: dict[str, str] = {}
    for entry in entries:
        if splits.setdefault(entry.patient, entry.split) != entry.split:
            raise DatasetError(f"{where}: patient {entry.patient!r} is in both splits; one patient, one split")


@dataclass(frozen=True)
class Slices:
    """The slices of several volumes, one behind the other; pixels stay on disk until they are taken."""

    entries: tuple[Entry, ...]
    pixels: tuple[NDArray[np.uint8], ...]
    heads: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return sum(len(volume) for volume in self.pixels)

    def of(self, volumes: Sequence[bool]) -> Slices:
        """The slices of some of the volumes."""
        places = [place for place, taken in enumerate(volumes) if taken]
        return Slices(
            tuple(self.entries[place] for place in places),
            tuple(self.pixels[place] for place in places),
            tuple(self.heads[place] for place in places),
        )

    def place(self, index: int) -> tuple[int, int]:
        """Volume and slice of a running index."""
        for volume, pixels in enumerate(self.pixels):
            if index < len(pixels):
                return volume, index
            index -= len(pixels)
        raise IndexError(index)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(rows, columns) uint8."""
        volume, slice_number = self.place(index)
        pixels: NDArray[np.uint8] = self.pixels[volume][slice_number]
        return pixels

    def head(self, index: int) -> NDArray[np.bool_]:
        """(rows, columns) bool."""
        volume, slice_number = self.place(index)
        head: NDArray[np.bool_] = np.unpackbits(self.heads[volume][slice_number], axis=-1).astype(bool)
        return head


class Dataset:
    """An opened data set, every file of which is there and of the size the manifest says."""

    def __init__(self, folder: str | Path) -> None:
        """Raises DatasetError: no data set there, damaged, half-written."""
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if not path.is_file():
            raise DatasetError(
                f"{self.folder}: no data set there, or one whose preparation never ended; mr2ct-prepare makes one"
            )
        self.manifest = Manifest.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))

    def slices(self, modality: Modality, split: Split) -> Slices:
        """All slices of one modality in one split. Raises DatasetError when there are none or a file is damaged."""
        entries = self.manifest.of(modality, split)
        if not entries:
            raise DatasetError(f"{self.folder}: no {modality.upper()} in the {split} split")
        grid = self.manifest.slices
        pixels = [self._load(e.file, (e.slices, grid.rows, grid.columns)) for e in entries]
        heads = [self._load(e.head_file, (e.slices, grid.rows, grid.columns // 8)) for e in entries]
        return Slices(tuple(entries), tuple(pixels), tuple(heads))

    def _load(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        path = self.folder / name
        if Path(name).name != name:
            raise DatasetError(f"{path}: not a file of the data set's own folder")
        try:
            array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DatasetError(f"{path}: missing, damaged or half-written; run mr2ct-prepare again") from error
        if array.shape != shape or array.dtype != np.uint8:
            raise DatasetError(f"{path}: {array.dtype} {array.shape} where the manifest has uint8 {shape}")
        return array


def to_bytes(network: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[-1, 1] to the paper's 256 grey values, uniformly: -1 is 0, 1 is 255."""
    pixels: NDArray[np.uint8] = np.rint((network + np.float32(1)) * np.float32(127.5)).astype(np.uint8)
    return pixels


def from_bytes(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The paper's 256 grey values to float32 in [-1, 1]."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
