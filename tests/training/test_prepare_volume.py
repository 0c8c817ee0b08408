"""One volume as slices: an MR as the runtime gives it to its network, a CT without its couch, a pair pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_volumes import COARSE, MR_GRID, SHIFT, TURN, draw_volumes
from mr2ct.card import FixedWindow, PercentileWindow
from mr2ct.choosing import Choice
from mr2ct.errors import VolumeError
from mr2ct.gate.measuring import measure
from mr2ct.intensity import to_hu
from mr2ct.model import Model
from mr2ct.reading import read_volume
from mr2ct.synthesis import synthesize
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training import registration
from mr2ct_training.dataset import from_bytes, to_bytes
from mr2ct_training.prepare_volume import Seen, Settings, Sliced, see_mr, slices_of_ct, slices_of_mr
from mr2ct_training.registration import RegistrationError

ALIGNED, REGISTER = replace(COARSE, pairing="aligned"), replace(COARSE, pairing="register")
SOFT_HU, BONE_HU = (0, 100), 800


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_volumes(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def anna(volumes: Path) -> Seen:
    """Anna's MR."""
    return see_mr(volumes / "mr" / "anna.nii.gz", COARSE)


@pytest.fixture(scope="module")
def in_place(volumes: Path, anna: Seen) -> tuple[Sliced, Sliced]:
    """Anna's MR and her CT, which lies on it."""
    return (
        slices_of_mr(volumes / "mr" / "anna.nii.gz", anna, COARSE),
        slices_of_ct(volumes / "ct" / "anna.nii.gz", ALIGNED, anna),
    )


@pytest.fixture
def quick_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"CUBE_MM": 4.0, "COMPARED_MM": 8.0, "SHRINK": (2, 1), "SIGMAS_MM": (4.0, 0.0), "SAMPLES": (1.0, 0.3)}
    for name, value in quick.items():
        monkeypatch.setattr(registration, name, value)


def hu_of(ct: Sliced) -> NDArray[np.float32]:
    return to_hu(from_bytes(ct.pixels), ct.limits)


@dataclass
class Recorder:
    """An engine that only keeps what the runtime gives it."""

    description: str = "a recorder"
    batch: int = 64
    seen: list[NDArray[np.float32]] = field(default_factory=list)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(batch[:, 0].copy())
        return batch.copy()


def test_slices_of_an_mr_are_those_the_runtime_gives_its_network(volumes: Path, identity_model: Model) -> None:
    card = replace(identity_model.card, mr_window=PercentileWindow(0.0, 99.5))
    path, recorder = volumes / "mr" / "bob.nii.gz", Recorder()
    choice = Choice(recorder, "none", "fp32", "a test", None)
    made = synthesize(read_volume(path), replace(identity_model, card=card), choice, skip_air=False)
    settings = Settings(mr_window=card.mr_window, slices=card.slices)
    mr = slices_of_mr(path, see_mr(path, settings), settings)
    assert mr.limits == made.mr_limits
    assert np.array_equal(mr.pixels, to_bytes(np.concatenate(recorder.seen)))


def test_the_head_of_an_mr_is_where_its_signal_is(in_place: tuple[Sliced, Sliced]) -> None:
    mr, _ = in_place
    assert mr.head.shape == mr.pixels.shape and mr.head.dtype == np.bool_ and mr.pixels.dtype == np.uint8
    assert np.median(mr.pixels[mr.head]) > 10 * np.median(mr.pixels[~mr.head])


def test_a_ct_is_hu_inside_the_head_and_air_where_the_couch_was(volumes: Path) -> None:
    ct = slices_of_ct(volumes / "ct" / "anna.nii.gz", COARSE, None)
    assert (ct.pixels[~ct.head] == 0).mean() > 0.98  # a pixel at the edge of the head mixes both
    hu = hu_of(ct)
    assert SOFT_HU[0] < np.median(hu[ct.head]) < SOFT_HU[1]
    assert 0.03 < (hu[ct.head] > BONE_HU).mean() < 0.2
    assert ct.limits == (-600.0, 1400.0) and ct.registration is None


def test_aligned_slices_of_mr_and_ct_show_the_same_place(in_place: tuple[Sliced, Sliced]) -> None:
    mr, ct = in_place
    assert mr.pixels.shape == ct.pixels.shape and len(mr.pixels) == 47
    assert 2 * (mr.head & ct.head).sum() > 0.95 * (mr.head.sum() + ct.head.sum())
    hu, inside = hu_of(ct), mr.head & ct.head
    soft = inside & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    assert np.median(mr.pixels[inside & (hu > BONE_HU)]) < 0.6 * np.median(mr.pixels[soft])  # bone is dark in an MR
    assert ct.registration is not None and ct.registration["method"] == "as the files lie"


@pytest.mark.usefixtures("quick_registration")
def test_a_registered_ct_is_sliced_as_if_it_had_never_moved(
    volumes: Path, anna: Seen, in_place: tuple[Sliced, Sliced]
) -> None:
    ct = slices_of_ct(volumes / "moved" / "anna.mha", REGISTER, anna)
    assert np.abs(hu_of(ct) - hu_of(in_place[1])).mean() < 15
    assert ct.registration is not None and ct.registration["metric"] < ct.registration["start"]
    turn, shift = np.split(np.array(ct.registration["transform"]), [9])
    assert np.abs(turn.reshape(3, 3) @ TURN - np.eye(3)).max() < 0.02
    assert np.abs(turn.reshape(3, 3) @ SHIFT + shift).max() < 2


def test_a_ct_that_is_said_to_be_aligned_and_is_not_is_refused(volumes: Path, anna: Seen) -> None:
    with pytest.raises(RegistrationError, match=r"anna\.mha: not aligned with its MR.*--register aligns them"):
        slices_of_ct(volumes / "moved" / "anna.mha", ALIGNED, anna)


def test_only_head_slices_are_kept_on_request_and_the_same_of_a_pair(volumes: Path) -> None:
    settings = replace(ALIGNED, head_slices_only=True)
    seen = see_mr(volumes / "mr" / "anna.nii.gz", settings)
    mr = slices_of_mr(volumes / "mr" / "anna.nii.gz", seen, settings)
    ct = slices_of_ct(volumes / "ct" / "anna.nii.gz", settings, seen)
    assert mr.head.any(axis=(1, 2)).all()
    assert len(ct.pixels) == len(mr.pixels) < MR_GRID.extent[0] / settings.slices.spacing_mm


def test_a_window_that_does_not_fit_the_scanner_is_told(volumes: Path, anna: Seen) -> None:
    path, seen = volumes / "mr" / "anna.nii.gz", anna
    fitting = slices_of_mr(path, seen, COARSE)
    wide, narrow = (replace(COARSE, mr_window=FixedWindow(0.0, high)) for high in (40000.0, 500.0))
    assert fitting.notes == ()
    assert slices_of_mr(path, seen, replace(COARSE, mr_window=PercentileWindow(0.0, 99.5))).notes == ()
    for settings in (wide, narrow):
        (note,) = slices_of_mr(path, seen, settings).notes
        assert note.endswith("--mr-percentile 0 99.5 fits every scanner")


def test_head_outside_the_slices_is_told(volumes: Path) -> None:
    low = replace(COARSE, slices=replace(COARSE.slices, rows=48))
    notes = slices_of_ct(volumes / "ct" / "dora.nii.gz", low, None).notes
    assert len(notes) == 1 and notes[0].endswith("of its head lie outside the slices, inferior")


def test_each_error_names_its_file(volumes: Path, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"dora\.nii\.gz: this is a CT"):
        see_mr(volumes / "ct" / "dora.nii.gz", COARSE)
    with pytest.raises(VolumeError, match=r"bob\.nii\.gz: this is no CT in HU"):
        slices_of_ct(volumes / "mr" / "bob.nii.gz", COARSE, None)
    head = read_volume(volumes / "mr" / "anna.nii.gz")
    flat = tmp_path / "flat.nii.gz"
    write_volume(Volume(np.where(head.voxels > 300, 500, 0).astype(np.int16), head.grid), flat)
    settings = replace(COARSE, mr_window=PercentileWindow(50.0, 99.5))
    with pytest.raises(VolumeError, match=r"flat\.nii\.gz: the MR has no contrast"):
        slices_of_mr(flat, see_mr(flat, settings), settings)


def test_an_mr_is_measured_for_the_gate_and_a_ct_is_not(in_place: tuple[Sliced, Sliced], anna: Seen) -> None:
    mr, ct = in_place
    assert mr.measured == measure(anna.volume, anna.head)
    assert ct.measured is None
