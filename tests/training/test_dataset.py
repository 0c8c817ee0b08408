"""A data set on disk says what it holds, and a damaged one says so before anything is trained on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mr2ct.card import PAPER_CT_WINDOW_HU, FixedWindow, PercentileWindow, SliceGrid
from mr2ct.gate.measured import HALF_PATCH, QUANTILES, SCALARS, Measured
from mr2ct.intensity import to_hu
from mr2ct_training.dataset import (
    MANIFEST,
    SPLITS,
    Dataset,
    DatasetError,
    Entry,
    Manifest,
    Modality,
    Split,
    from_bytes,
    refuse_patient_in_two_splits,
    to_bytes,
)

GRID = SliceGrid("sagittal", rows=16, columns=24, pixel_mm=10.0, spacing_mm=8.0)
REGISTRATION = {"metric": -0.5, "iterations": 31, "transform": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0, 2.5, -3.0, 0.1]}
SLICES = {"mr-anna": 5, "mr-bob": 3, "ct-anna": 5, "ct-carl": 4}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


MEASURED = Measured(
    dict.fromkeys(SCALARS, 1.5), tuple(n / QUANTILES for n in range(QUANTILES)), "7f" * HALF_PATCH, "ff" * HALF_PATCH
)


def entry(name: str, split: Split = "train", **other: Any) -> Entry:
    modality, patient = name.split("-")
    kind: Modality = "mr" if modality == "mr" else "ct"
    limits = (0.0, 3500.0) if kind == "mr" else PAPER_CT_WINDOW_HU
    plain = Entry(patient, kind, split, f"{name}.npy", f"{name}.head.npy", SLICES[name], f"{patient}.nii", "ab", limits)
    return replace(plain, **other)


def manifest() -> Manifest:
    entries = (
        entry("mr-anna"),
        entry("mr-bob", "validation"),
        entry("ct-anna", registration=REGISTRATION),
        entry("ct-carl"),
    )
    return Manifest(GRID, PercentileWindow(0.0, 99.5), PAPER_CT_WINDOW_HU, entries)


def pixels_of(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Every slice of every volume is another one."""
    first = 20 * list(SLICES).index(name)
    return (
        np.full((SLICES[name], GRID.rows, GRID.columns), 0, np.uint8)
        + np.arange(first, first + SLICES[name], dtype=np.uint8)[:, None, None]
    )


def head_of(name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.random.default_rng(SLICES[name]).random((SLICES[name], GRID.rows, GRID.columns)) > 0.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in SLICES:
        np.save(tmp_path / f"{name}.npy", pixels_of(name))
        np.save(tmp_path / f"{name}.head.npy", np.packbits(head_of(name), axis=-1))
    (tmp_path / MANIFEST).write_text(manifest().to_json(), encoding="utf-8")
    return tmp_path


def changed(folder: Path, *path: str | int, to: Any) -> None:
    """Set one value of the manifest."""
    fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    (folder / MANIFEST).write_text(json.dumps(fields), encoding="utf-8")


def test_a_manifest_comes_back_as_it_was() -> None:
    fixed = replace(manifest(), mr_window=FixedWindow(0.0, 3500.0))
    for one in (manifest(), fixed):
        again = Manifest.from_json(one.to_json(), "here")
        assert again == one and again.to_json() == one.to_json() and again.sha256 == one.sha256
    assert fixed.sha256 != manifest().sha256


def test_slices_of_a_split_run_through_its_volumes(folder: Path) -> None:
    ct = Dataset(folder).slices("ct", "train")
    assert len(ct) == 9
    assert [int(ct[index][0, 0]) for index in range(9)] == [40, 41, 42, 43, 44, 60, 61, 62, 63]
    assert ct.place(4) == (0, 4) and ct.place(5) == (1, 0)
    assert ct[8].shape == (16, 24) and ct[8].dtype == np.uint8
    with pytest.raises(IndexError):
        ct.place(9)


def test_the_head_of_a_slice_is_what_was_packed(folder: Path) -> None:
    ct = Dataset(folder).slices("ct", "train")
    for index in range(9):
        name, number = ("ct-anna", index) if index < 5 else ("ct-carl", index - 5)
        head = ct.head(index)
        assert head.dtype == np.bool_ and np.array_equal(head, head_of(name)[number])


def test_pixels_stay_on_disk_until_they_are_taken(folder: Path) -> None:
    volumes = Dataset(folder).slices("mr", "train").pixels
    assert all(isinstance(volume, np.memmap) for volume in volumes)


def test_each_split_has_its_own_patients(folder: Path) -> None:
    data = Dataset(folder)
    assert [e.patient for e in data.slices("mr", "train").entries] == ["anna"]
    assert [e.patient for e in data.slices("mr", "validation").entries] == ["bob"]
    with pytest.raises(DatasetError, match="no CT in the validation split"):
        data.slices("ct", "validation")


def test_a_patient_in_two_splits_is_refused() -> None:
    twice = [entry("mr-anna"), entry("ct-anna", "validation")]
    with pytest.raises(DatasetError, match="'anna' is in both splits"):
        refuse_patient_in_two_splits(twice, "here")
    with pytest.raises(DatasetError, match="here: patient 'anna'"):
        Manifest.from_json(replace(manifest(), entries=tuple(twice)).to_json(), "here")


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_a_manifest_is_no_data_set(folder: Path, there: bool) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(DatasetError, match="mr2ct-prepare makes one"):
        Dataset(folder if there else folder / "elsewhere")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"schema": 1}', b"\xff\xfe\x00", b'{"schema": "x/9"}'])
def test_a_damaged_manifest_is_told_in_one_line(folder: Path, text: bytes) -> None:
    (folder / MANIFEST).write_bytes(text)
    with pytest.raises(DatasetError) as caught:
        Dataset(folder)
    assert str(folder / MANIFEST) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [("slices", "rows"), ("mr_window", "kind"), ("entries", 0, "split"), ("entries", 1, "modality"), ("ct_window_hu",)],
)
def test_a_field_that_cannot_be_is_refused(folder: Path, path: tuple[str | int, ...]) -> None:
    changed(folder, *path, to="sideways")
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        Dataset(folder).slices("mr", "train")


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the values of a JSON tree are."""
    steps = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path] * bool(path) + [place for key, inner in steps for place in places(inner, (*path, key))]


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(places(json.loads(manifest().to_json()))), value=JSON)
def test_whatever_a_manifest_says_it_is_used_or_refused(folder: Path, place: tuple[str | int, ...], value: Any) -> None:
    before = (folder / MANIFEST).read_bytes()
    try:
        changed(folder, *place, to=value)
        data = Dataset(folder)
        for split in SPLITS:
            data.slices("mr", split)
    except DatasetError as error:
        assert "\n" not in str(error)
    finally:
        (folder / MANIFEST).write_bytes(before)


@pytest.mark.parametrize("file", ["mr-anna.npy", "mr-anna.head.npy"])
def test_a_damaged_array_is_refused(folder: Path, file: str) -> None:
    whole = (folder / file).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:40], b"", b"\x00" * len(whole)):
        (folder / file).write_bytes(damaged)
        with pytest.raises(DatasetError, match="run mr2ct-prepare again"):
            Dataset(folder).slices("mr", "train")
    (folder / file).unlink()
    with pytest.raises(DatasetError, match="missing"):
        Dataset(folder).slices("mr", "train")
    np.save(folder / file, np.zeros((5, 16, 25), np.uint8))
    with pytest.raises(DatasetError, match=r"where the manifest has uint8 \(5, 16,"):
        Dataset(folder).slices("mr", "train")


@pytest.mark.parametrize("name", ["../stolen.npy", "/etc/passwd", "sub/mr.npy"])
def test_no_file_outside_the_data_set_is_opened(folder: Path, name: str) -> None:
    np.save(folder.parent / "stolen.npy", pixels_of("mr-anna"))
    changed(folder, "entries", 0, "file", to=name)
    with pytest.raises(DatasetError, match="not a file of the data set's own folder"):
        Dataset(folder).slices("mr", "train")


def test_256_grey_values_are_spread_evenly() -> None:
    grey = np.arange(256, dtype=np.uint8)
    network = from_bytes(grey)
    assert network.dtype == np.float32 and network[0] == -1 and network[255] == 1
    assert np.allclose(np.diff(network), 2 / 255)
    assert np.array_equal(to_bytes(network), grey)
    hu = to_hu(network, PAPER_CT_WINDOW_HU)
    assert hu[0] == -600 and hu[255] == 1400


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_a_value_comes_back_within_half_a_grey_value(values: list[float]) -> None:
    network = np.array(values, np.float32)
    assert np.abs(from_bytes(to_bytes(network)) - network).max() <= 1 / 255 + 1e-6


def test_what_was_measured_is_kept_and_a_manifest_without_it_keeps_its_hash() -> None:
    plain = manifest()
    assert "measured" not in plain.to_json()
    first = replace(plain.entries[0], measured=MEASURED)
    measured = replace(plain, entries=(first, *plain.entries[1:]))
    assert Manifest.from_json(measured.to_json(), "here") == measured
    assert measured.sha256 != plain.sha256
    damaged = measured.to_json().replace(MEASURED.signal, "7f")
    with pytest.raises(DatasetError, match="bytes in hexadecimal"):
        Manifest.from_json(damaged, "here")
