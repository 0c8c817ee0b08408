"""The cycle check: the synthetic CT mapped back to MR, and how much of the MR comes back (figure 6 of the paper).

It finds a CT that has lost or moved what the MR shows. It proves no HU: a generator may keep in the CT what ct_to_mr
needs where no eye sees it (Chu, Zhmoginov and Sandler, arXiv 1712.02950).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mr2ct.cycle_error import MOST, mr_range, relative_error
from mr2ct.model import Model
from mr2ct.model_grid import from_model_grid, mask_to_model_grid
from mr2ct.synthesis import SyntheticCT, through
from mr2ct.volume import Volume
from mr2ct.way_back import WayBack, choose_way_back


@dataclass(frozen=True)
class CycleCheck:
    """What came back of an MR.

    mean_percent, p95_percent: |cycled MR - MR| inside the head, in percent of the width of the MR's range there.
    limit_percent: of the mean, above which the card warns; None where the card has no such limit.
    error: float32 percent on the MR's own grid, 0 outside the head.  engine: Backend.description of the way back.
    certified: whether that engine is proved equal to PyTorch; else it was run with --uncertified.
    """

    mean_percent: float
    p95_percent: float
    limit_percent: float | None
    error: Volume
    engine: str
    certified: bool = True

    @property
    def within(self) -> bool:
        """Whether as much came back as should; True where there is no limit."""
        return self.limit_percent is None or self.mean_percent <= self.limit_percent

    @property
    def said(self) -> str:
        """The check in one line, for people."""
        limit = "" if self.limit_percent is None else f", limit {self.limit_percent:.1f} %"
        return (
            f"cycle check: {self.mean_percent:.1f} % of the MR range on average "
            f"({MOST} % of voxels within {self.p95_percent:.1f} %){limit}"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must know of it, a line each; empty where as much came back as should, by a proved engine."""
        lines = []
        if not self.within:
            lines.append(
                f"cycle check: {self.mean_percent:.1f} % of the MR range does not come back, where the model's limit "
                f"is {self.limit_percent:.1f} %: do not trust this CT; the map of the error shows where"
            )
        if not self.certified:
            lines.append("cycle check: ct_to_mr has NO certificate here: its error may be the engine's")
        return tuple(lines)

    def as_json(self) -> dict[str, Any]:
        """All but the map, as JSON values; percent."""
        told = {name: value for name, value in vars(self).items() if name != "error"}
        return {**told, "within": self.within}


def cycle_check(
    result: SyntheticCT,
    mr: Volume,
    model: Model,
    back: WayBack | None = None,
    *,
    batch: int | None = None,
    on_slices: Callable[[int, int], None] | None = None,
) -> CycleCheck:
    """Map the network's own answer back to MR and compare it with the slices that the network saw.

    result: of mr, made by model with keep_network.  back: the engine, None for choose_way_back(model, result.choice).
    batch: slices a call of it, None for its own.  on_slices(done, all): called after each call.
    Measured on the model's slices, in all voxels of them that are head; what of the head they do not reach (see
    SyntheticCT.beyond) is not measured, and 0 in the map.
    Raises ModelError when the folder has no certified ct_to_mr, DeviceError when its engine fails, VolumeError where
    the MR has no contrast, ValueError for a result without its slices.
    """
    if back is None:
        with choose_way_back(model, result.choice) as opened:
            return cycle_check(result, mr, model, opened, batch=batch, on_slices=on_slices)
    network = result.network
    if network is None:
        raise ValueError("a cycle check needs the network's slices: synthesize(..., keep_network=True)")
    facts = model.card.cycle
    cycled = through(back.backend, network.ct, batch, model.card.max_batch, on_slices)
    head = mask_to_model_grid(result.head, mr.grid, network.grid)
    error = relative_error(cycled, network.mr, mr_range(network.mr, head))
    inside = error[head]
    seen = from_model_grid(error.astype(np.float32), network.grid, mr.grid, outside=0)
    seen[~result.head] = 0
    return CycleCheck(
        mean_percent=float(inside.mean()),
        p95_percent=float(np.percentile(inside, MOST)),
        limit_percent=None if facts is None else facts.limit_percent,
        error=Volume(seen, mr.grid, mr.header),
        engine=back.backend.description,
        certified=back.certificate is not None,
    )
