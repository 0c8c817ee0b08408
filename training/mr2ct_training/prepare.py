"""Volumes become a data set, one after the other, and what is there already stays.

Beside its two arrays every volume leaves mr-ANNA.json: the recipe it was made by and the hashes of what was made. A run
keeps what has the right recipe and is whole, and makes the rest. Every file is written under another name and renamed;
the manifest goes before the first change and comes back last, so that a data set without one is not finished.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mr2ct.errors import VolumeError
from mr2ct.reading import read_volume, suffix_of
from mr2ct_training.dataset import MANIFEST, DatasetError, Entry, Manifest, Modality, Split, entry_of
from mr2ct_training.prepare_volume import Seen, Settings, Sliced, see_mr, slices_of_ct, slices_of_mr

RECIPE = "mr2ct-recipe/1"  # of how slices are made; another number remakes every volume


@dataclass(frozen=True)
class Source:
    """A volume file, whose it is, and what it is for."""

    path: Path
    patient: str
    modality: Modality
    split: Split

    @property
    def name(self) -> str:
        """What its files in the data set begin with."""
        return f"{self.modality}-{self.patient}"


@dataclass(frozen=True)
class Prepared:
    """What became of a volume. kept: it was there already.  notes: what a user should know of it, a line each."""

    entry: Entry
    kept: bool
    notes: tuple[str, ...] = ()


def prepare(
    sources: Sequence[Source],
    settings: Settings,
    folder: Path,
    on_volume: Callable[[int, Source], None] = lambda _done, _source: None,
) -> list[Prepared]:
    """Make or complete the data set in a folder; on_volume(done, next) is called before each volume.

    Returns what became of each, MRs first, by patient. Raises DatasetError for what cannot be a data set, VolumeError
    for a volume that cannot be used, RegistrationError, and OSError when the folder cannot be written; what was made
    until then is kept by the next run.
    """
    refuse_unusable(sources, settings)
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {source: _sha256_of(source.path) for source in sources}
    mrs = {source.patient: source for source in sources if source.modality == "mr"}
    seen: dict[Source, Seen] = {}  # the MR of the patient at hand
    prepared: list[Prepared] = []
    for source in sorted(sources, key=lambda s: (s.patient, s.modality != "mr")):
        on_volume(len(prepared), source)
        mr = mrs.get(source.patient) if source.modality == "mr" or settings.pairing != "none" else None
        recipe = _recipe(source, settings, hashes[source], hashes[mr] if mr else None)
        entry = _kept(folder, source, recipe)
        notes: tuple[str, ...] = ()
        kept = entry is not None
        if entry is None:
            if mr and mr not in seen:
                seen = {mr: see_mr(mr.path, settings)}
            if source.modality == "mr":
                sliced = slices_of_mr(source.path, seen[source], settings)
            else:
                sliced = slices_of_ct(source.path, settings, seen[mr] if mr else None)
            (folder / MANIFEST).unlink(missing_ok=True)
            entry = _write(folder, source, recipe, sliced)
            notes = tuple(f"{source.path}: {note}" for note in sliced.notes)
        prepared.append(Prepared(entry, kept, notes))
    prepared.sort(key=lambda p: (p.entry.modality != "mr", p.entry.patient))
    entries = tuple(p.entry for p in prepared)
    text = Manifest(settings.slices, settings.mr_window, settings.ct_window_hu, entries).to_json().encode()
    if not (folder / MANIFEST).is_file() or (folder / MANIFEST).read_bytes() != text:
        _write_whole(folder / MANIFEST, text)
    return prepared


def refuse_unusable(sources: Sequence[Source], settings: Settings) -> None:
    """Raise DatasetError when no data set can be made of these, before any of them is read."""
    taken: dict[str, Source] = {}
    splits: dict[str, Split] = {}
    for source in sources:
        other = taken.setdefault(source.name, source)
        if other is not source:
            raise DatasetError(
                f"patient {source.patient!r} has two {source.modality.upper()}s, {other.path} and {source.path}; "
                "--patients tells who is who"
            )
        if splits.setdefault(source.patient, source.split) != source.split:
            raise DatasetError(f"patient {source.patient!r} is in both splits; one patient, one split")
        if not source.patient or source.patient.startswith(".") or set("/\\\0") & set(source.patient):
            raise DatasetError(f"patient {source.patient!r}: no part of a file name; --patients gives another")
        if source.patient.endswith(".head"):
            raise DatasetError(f"patient {source.patient!r}: .head is what masks are called; --patients gives another")
    for modality in ("mr", "ct"):
        if not any((s.modality, s.split) == (modality, "train") for s in sources):
            raise DatasetError(f"no {modality.upper()} in the train split; hold out fewer patients, or give more")
    patients = [{s.patient for s in sources if s.modality == modality} for modality in ("mr", "ct")]
    if settings.pairing != "none" and not set.intersection(*patients):
        raise DatasetError("no patient has both an MR and a CT; patients go by file name, or by --patients")


def _recipe(source: Source, settings: Settings, sha256: str, mr_sha256: str | None) -> dict[str, Any]:
    """All that a volume's arrays follow from, as JSON gives it back. mr_sha256: of the MR whose slices it has."""
    window: Any = settings.ct_window_hu
    if source.modality == "mr":
        window = {"kind": type(settings.mr_window).__name__, **asdict(settings.mr_window)}
    recipe = {
        "made": RECIPE,
        "source_sha256": sha256,
        "window": window,
        "slices": asdict(settings.slices),
        "head_slices_only": settings.head_slices_only,
        "pairing": settings.pairing if source.modality == "ct" and mr_sha256 else "none",
        "mr_sha256": mr_sha256,
    }
    as_read: dict[str, Any] = json.loads(json.dumps(recipe))
    return as_read


def _kept(folder: Path, source: Source, recipe: dict[str, Any]) -> Entry | None:
    """The entry of a volume that is there, made by this very recipe, and whole; else None."""
    try:
        told = json.loads((folder / f"{source.name}.json").read_bytes())
        if told.pop("sha256") != _sha256_of_told(told):
            return None
        hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in told["files"]}
        if told["recipe"] != recipe or told["files"] != hashes:
            return None
        entry = entry_of(told["entry"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or damaged
        return None
    if source.modality == "mr" and entry.measured is None:  # of a version of mr2ct that did not
        return None
    return replace(entry, split=source.split, source=source.path.name)


def _write(folder: Path, source: Source, recipe: dict[str, Any], sliced: Sliced) -> Entry:
    entry = Entry(
        patient=source.patient,
        modality=source.modality,
        split=source.split,
        file=f"{source.name}.npy",
        head_file=f"{source.name}.head.npy",
        slices=len(sliced.pixels),
        source=source.path.name,
        source_sha256=recipe["source_sha256"],
        limits=sliced.limits,
        registration=sliced.registration,
        measured=sliced.measured,
    )
    hashes = {}
    for name, array in ((entry.file, sliced.pixels), (entry.head_file, np.packbits(sliced.head, axis=-1))):
        buffer = io.BytesIO()
        np.save(buffer, array)
        hashes[name] = hashlib.sha256(buffer.getbuffer()).hexdigest()
        _write_whole(folder / name, buffer.getbuffer())
    told: dict[str, Any] = {"recipe": recipe, "entry": entry.to_json(), "files": hashes}
    told["sha256"] = _sha256_of_told(told)
    _write_whole(folder / f"{source.name}.json", (json.dumps(told, indent=1) + "\n").encode())
    return entry


def _sha256_of_told(told: dict[str, Any]) -> str:
    """Of what a volume's .json tells, so that a damaged one is not believed."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file under another name and rename it. Raises OSError, which names the file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _sha256_of(path: Path) -> str:
    """Of the file; of a header whose voxels lie in another file, with those voxels. Raises VolumeError."""
    try:
        digest = hashlib.sha256(path.read_bytes())
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}") from error
    if suffix_of(path) in (".mhd", ".nhdr"):
        digest.update(read_volume(path).voxels.tobytes())
    return digest.hexdigest()
