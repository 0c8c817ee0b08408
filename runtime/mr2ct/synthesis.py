"""The trip of a volume: MR in, synthetic CT out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.card import Card
from mr2ct.choosing import Choice, choose_backend
from mr2ct.errors import DeviceError
from mr2ct.grid import Grid
from mr2ct.head import Mask, head_mask
from mr2ct.intensity import AIR_HU, mr_limits, to_ct, to_hu, to_network
from mr2ct.modality import refuse_ct
from mr2ct.model import Model
from mr2ct.model_grid import from_model_grid, place, to_model_grid
from mr2ct.stages import Stages
from mr2ct.volume import Volume


@dataclass(frozen=True)
class NetworkSlices:
    """What a network saw and what it answered: mr, ct (n, rows, columns) float32 in [-1, 1], on grid, LPS mm."""

    mr: NDArray[np.float32]
    ct: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True)
class SyntheticCT:
    """A synthetic CT and what is to be told of it.

    volume: int16 HU on the MR's own grid, -1000 outside the head, within [-1024, 3071].
    head: (k, j, i) bool, the voxels that are not air by definition.
    beyond: mm of head that the model could not see and that is written as air, by side.
    mr_limits: the MR values the network saw as -1 and 1.
    slices: how many went through the engine.  skipped: how many did not, for they hold no head.
    choice: which engine, and why.  seconds: by stage.  network: where it was to be kept.
    """

    volume: Volume
    head: NDArray[np.bool_]
    beyond: dict[str, float]
    mr_limits: tuple[float, float]
    slices: int
    skipped: int
    choice: Choice
    seconds: dict[str, float]
    network: NetworkSlices | None = None


@dataclass(frozen=True)
class Prepared:
    """An MR as the network takes it.

    head: (k, j, i) bool.  limits: the MR values that are -1 and 1.  grid: of the slices.  slices: (n, rows, columns)
    float32 in [-1, 1].  skipped, beyond, seconds: see SyntheticCT.
    """

    head: Mask
    limits: tuple[float, float]
    grid: Grid
    slices: NDArray[np.float32]
    skipped: int
    beyond: dict[str, float]
    seconds: dict[str, float]


def prepare(
    mr: Volume, card: Card, *, skip_air: bool = True, check: Callable[[Volume, Mask], None] | None = None
) -> Prepared:
    """Find the head in an MR and make the model's slices of it; no engine is needed for that.

    skip_air: leave out slices that no head voxel is made from; the CT is the same.  check: called with the MR and its
    head, (k, j, i) bool, before anything else is made of them; what it raises ends the run.
    Raises VolumeError when the MR cannot be used.
    """
    stages = Stages()
    with stages("mask"):
        refuse_ct(mr)
        head = head_mask(mr)
    if check is not None:
        with stages("gate"):
            check(mr, head)
    with stages("grid"):
        limits = mr_limits(card.mr_window, mr.voxels, head)
        placement = place(mr.grid, head, card.slices)
        seen = placement.grid.slab(placement.slices) if skip_air else placement.grid
        slices = to_network(to_model_grid(mr, seen, outside=limits[0]), limits)
    skipped = placement.grid.size[2] - len(slices)
    return Prepared(head, limits, seen, slices, skipped, placement.beyond, stages.seconds)


def synthesize(
    mr: Volume,
    model: Model,
    choice: Choice | None = None,
    *,
    prepared: Prepared | None = None,
    batch: int | None = None,
    skip_air: bool = True,
    check: Callable[[Volume, Mask], None] | None = None,
    keep_network: bool = False,
    on_slices: Callable[[int, int], None] | None = None,
) -> SyntheticCT:
    """Make a synthetic CT from an MR of a head, on the MR's own grid.

    mr: T1-weighted, any orientation and spacing.  choice: the engine, None for choose_backend(model).  prepared: what
    prepare made of this MR for this model, None to do that now.  batch: slices a call of the engine, None for its own.
    skip_air, check: see prepare.  keep_network: keep the slices, for mr2ct.cycle; 0.5 MB each.  on_slices(done, all):
    called after each call.
    Raises VolumeError when the MR cannot be used, DeviceError when the engine fails, ModelError from choose_backend.
    """
    stages = Stages()
    card = model.card
    if choice is None:
        with stages("load"):
            opened = choose_backend(model)
        with opened:
            result = synthesize(
                mr, model, opened, prepared=prepared, batch=batch, skip_air=skip_air, check=check,
                keep_network=keep_network, on_slices=on_slices,
            )  # fmt: skip
        return replace(result, seconds={**stages.seconds, **result.seconds})
    if prepared is None:
        prepared = prepare(mr, card, skip_air=skip_air, check=check)
    with stages("engine"):
        output = through(choice.backend, prepared.slices, batch, card.max_batch, on_slices)
    # to_hu works in place
    network = NetworkSlices(prepared.slices, output.copy(), prepared.grid) if keep_network else None
    with stages("back"):
        hu = from_model_grid(to_hu(output, card.ct_window_hu), prepared.grid, mr.grid, outside=AIR_HU)
        ct = Volume(to_ct(hu, prepared.head), mr.grid, mr.header)
    return SyntheticCT(
        ct, prepared.head, prepared.beyond, prepared.limits, len(prepared.slices), prepared.skipped, choice,
        {**prepared.seconds, **stages.seconds}, network,
    )  # fmt: skip


def through(
    backend: Backend,
    slices: NDArray[np.float32],
    batch: int | None,
    max_batch: int,
    on_slices: Callable[[int, int], None] | None,
) -> NDArray[np.float32]:
    """All slices, (slices, rows, columns) in [-1, 1], through an engine, batch at a time; the same shape back.

    batch, on_slices: see synthesize.  max_batch: the model's.  Raises DeviceError when the engine fails.
    """
    step = backend.batch if batch is None else batch
    if not 1 <= step <= max_batch:
        raise DeviceError(f"a batch of {step} slices; this model takes 1 to {max_batch}")
    output = np.empty_like(slices)
    for start in range(0, len(slices), step):
        taken = slices[start : start + step, np.newaxis]  # (n, 1, rows, columns)
        answer = backend.run(taken)
        if not np.isfinite(answer).all():
            last = start + len(taken) - 1
            raise DeviceError(f"{backend.description}: NaN or infinity came out for slices {start} to {last}")
        output[start : start + step] = answer[:, 0]
        if on_slices is not None:
            on_slices(min(start + step, len(slices)), len(slices))
    return output
