"""A volume in numbers: everything the gate looks at, measured once."""

from __future__ import annotations

from dataclasses import dataclass

from mr2ct.gate.coarse import Cells, own_cells, upright_cells
from mr2ct.gate.extent import ends, extents
from mr2ct.gate.fineness import fineness
from mr2ct.gate.layers import layers, quantiles
from mr2ct.gate.measured import SCALARS, Measured
from mr2ct.gate.pose import UPRIGHT, Patch, packed, patch, symmetry
from mr2ct.head import Mask
from mr2ct.volume import Volume

DIGITS = 5  # behind the point, of what is kept


@dataclass(frozen=True)
class Look:
    """A volume in numbers, its head along the patient's axes, and that head as pose.py sees it."""

    measured: Measured
    upright: Cells
    patch: Patch


def look(mr: Volume, head: Mask) -> Look:
    """Measure an MR.

    mr: (k, j, i), any real dtype, scanner units, finite.  head: (k, j, i) bool, as head_mask finds it.  The same head
    in another order of voxels, or in other units, gives the same numbers, to rounding, but for the signal.
    """
    own, (low, high) = own_cells(mr, head)
    upright = upright_cells(own)
    seen = patch(upright, UPRIGHT)
    found = {
        "signal": high,
        **extents(mr, upright),
        **ends(own),
        **layers(upright),
        "symmetry": symmetry(seen),
        **fineness(mr, head, high - low),
    }
    scalars = {name: round(float(found[name]), DIGITS) for name in SCALARS}
    rising = tuple(round(value, DIGITS) for value in quantiles(upright))
    return Look(Measured(scalars, rising, packed(seen.signal), packed(seen.share)), upright, seen)


def measure(mr: Volume, head: Mask) -> Measured:
    """What of an MR a data set and a model's limits keep; see look."""
    return look(mr, head).measured
