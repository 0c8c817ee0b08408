"""One volume as the slices a network sees: an MR just as the runtime makes them, a CT likewise, without its couch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_MR_WINDOW, PAPER_SLICES, MrWindow, PercentileWindow, SliceGrid
from mr2ct.errors import VolumeError
from mr2ct.gate.measured import Measured
from mr2ct.gate.measuring import measure
from mr2ct.grid import Grid
from mr2ct.head import head_mask
from mr2ct.intensity import AIR_HU, mr_limits, to_network
from mr2ct.modality import refuse_ct
from mr2ct.model_grid import place, to_model_grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_training.ct_head import ct_head_mask, refuse_no_ct, without_surroundings
from mr2ct_training.dataset import to_bytes
from mr2ct_training.registration import LEAST_OVERLAP, RegistrationError, register

BRIGHT_PERCENTILE = 99.5  # of the head: the brightest tissue of an MR
FITTING = (0.3, 1.5)  # of the MR window: where the brightest tissue should lie
IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]

Mask = NDArray[np.bool_]
Pairing = Literal["none", "aligned", "register"]


@dataclass(frozen=True)
class Settings:
    """How slices are made; the defaults are the paper's (section 4).

    pairing: of a patient's CT with the MR: "none", each has slices of its own; "aligned", it lies there already;
    "register", it is laid there.  head_slices_only: leave out the slices at both ends that hold no head.
    """

    mr_window: MrWindow = PAPER_MR_WINDOW
    ct_window_hu: tuple[float, float] = PAPER_CT_WINDOW_HU
    slices: SliceGrid = PAPER_SLICES
    pairing: Pairing = "none"
    head_slices_only: bool = False


@dataclass(frozen=True)
class Seen:
    """A volume with its head, (k, j, i), the grid on which the network sees it, and which of its slices are taken."""

    volume: Volume
    head: Mask
    grid: Grid
    taken: slice
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sliced:
    """A volume as slices. pixels: (slices, rows, columns) uint8, 0..255 are [-1, 1].  head: likewise, bool.

    limits: the values that became -1 and 1, scanner units or HU.  registration: see dataset.Entry.  notes: what a user
    should know of it, a line each.  measured: of an MR, for the gate of a model.
    """

    pixels: NDArray[np.uint8]
    head: Mask
    limits: tuple[float, float]
    registration: dict[str, Any] | None
    notes: tuple[str, ...]
    measured: Measured | None = None


def see_mr(path: Path, settings: Settings) -> Seen:
    """Read an MR and lay the model's grid over it. Raises VolumeError, which names the file."""
    volume = read_volume(path)
    with _about(path):
        refuse_ct(volume)
        return _placed(volume, head_mask(volume), settings)


def slices_of_mr(path: Path, seen: Seen, settings: Settings) -> Sliced:
    """An MR as slices. Raises VolumeError, which names the file, when it has no contrast."""
    with _about(path):
        limits = mr_limits(settings.mr_window, seen.volume.voxels, seen.head)
    notes = (*seen.notes, *_window_notes(seen, limits, settings.mr_window))
    measured = measure(seen.volume, seen.head)
    return Sliced(_pixels(seen, limits, outside=limits[0]), _inside(seen), limits, None, notes, measured)


def slices_of_ct(path: Path, settings: Settings, mr: Seen | None) -> Sliced:
    """A CT as slices: those of its patient's MR where that is given, else placed by the CT's own head.

    Raises VolumeError when it is no CT or shows no head, RegistrationError when it is not where the MR is and cannot be
    laid there; both name the file.
    """
    ct = read_volume(path)
    with _about(path):
        refuse_no_ct(ct)
        head = ct_head_mask(ct)
        alone = without_surroundings(ct, head)
        registration = None
        if mr is None:
            seen = _placed(alone, head, settings)
        elif settings.pairing == "register":
            found = register(alone, head, mr.volume, mr.head)
            registration = {"method": "mutual information", **found.to_json()}
            seen = Seen(found.moved(alone), head, mr.grid, mr.taken, ())
        else:
            registration = {"method": "as the files lie", "transform": IDENTITY}
            seen = Seen(alone, head, mr.grid, mr.taken, ())
            _refuse_apart(_inside(seen), _inside(mr))
    limits = settings.ct_window_hu
    notes = (*ct.remarks, *seen.notes)
    return Sliced(_pixels(seen, limits, outside=AIR_HU), _inside(seen), limits, registration, notes)


def _placed(volume: Volume, head: Mask, settings: Settings) -> Seen:
    placement = place(volume.grid, head, settings.slices)
    beyond = [f"{mm:.0f} mm of its head lie outside the slices, {side}" for side, mm in placement.beyond.items()]
    everything = Seen(volume, head, placement.grid, slice(None), (*volume.remarks, *beyond))
    if not settings.head_slices_only:
        return everything
    with_head = np.flatnonzero(_inside(everything).any(axis=(1, 2)))
    taken = slice(int(with_head[0]), int(with_head[-1]) + 1)
    return Seen(volume, head, placement.grid, taken, everything.notes)


def _pixels(seen: Seen, limits: tuple[float, float], outside: float) -> NDArray[np.uint8]:
    return to_bytes(to_network(to_model_grid(seen.volume, seen.grid, outside)[seen.taken], limits))


def _inside(seen: Seen) -> Mask:
    """(slices, rows, columns): the head in the slices."""
    head = Volume(seen.head.view(np.uint8), seen.volume.grid)
    inside: Mask = to_model_grid(head, seen.grid, outside=0)[seen.taken] > 0.5
    return inside


def _refuse_apart(ct: Mask, mr: Mask) -> None:
    overlap = int((ct & mr).sum()) / max(1, min(int(ct.sum()), int(mr.sum())))
    if overlap < LEAST_OVERLAP:
        raise RegistrationError(
            f"not aligned with its MR: {overlap:.0%} of the smaller head lies in the other, at least "
            f"{LEAST_OVERLAP:.0%} should; --register aligns them"
        )


def _window_notes(seen: Seen, limits: tuple[float, float], window: MrWindow) -> list[str]:
    if isinstance(window, PercentileWindow):
        return []
    bright = float(np.percentile(seen.volume.voxels[seen.head], BRIGHT_PERCENTILE))
    part = (bright - limits[0]) / (limits[1] - limits[0])
    if FITTING[0] <= part <= FITTING[1]:
        return []
    note = (
        f"its brightest tissue, {bright:g}, lies at {part:.0%} of the MR window, {limits[0]:g} to {limits[1]:g}; "
        f"--mr-percentile 0 {BRIGHT_PERCENTILE:g} fits every scanner"
    )
    return [note]


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Say of which file an error tells."""
    try:
        yield
    except (VolumeError, RegistrationError) as error:
        raise type(error)(f"{path}: {error}") from error
