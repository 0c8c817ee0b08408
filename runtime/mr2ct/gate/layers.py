"""How bright the head is, from the skin inwards, and how large its holes are."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from mr2ct.gate.coarse import Cells, Field
from mr2ct.gate.measured import QUANTILES
from mr2ct.head import Mask

CRANIUM_MM = 80.0  # from the vertex down: above orbits and ears there is nothing but scalp, skull and brain
# Under the skin: skull and CSF; cortex; white matter. In a T1 each is brighter than the one before, in a T2, a CT or
# an inverted volume darker, in a proton density or FLAIR volume cortex is as bright as white matter.
RIM_MM, CORTEX_MM, CORE_MM = (6.0, 18.0), (18.0, 27.0), (27.0, 51.0)
VOID = 0.1  # of the brightest tissue: air, compact bone, and metal's surroundings are darker
FACE_MM = 170.0  # from the vertex down: below the chin a mask is what it takes for the neck's
BRAIN_MM, DEEP_MM = 90.0, 20.0  # from the vertex down, and under the skin: no sinus reaches there
MOST = 10.0  # a ratio to a core that has a tenth of the signal or less, or that there is none of


def quantiles(upright: Cells) -> tuple[float, ...]:
    """(QUANTILES,) of the signal in the head, 0 to 1."""
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    values: list[float] = np.quantile(upright.signal[upright.head], levels).tolist()
    return tuple(values)


def layers(upright: Cells) -> dict[str, float]:
    """rim_to_core, cortex_to_core, void_mm and brain_void_mm of SCALARS."""
    below = _below_vertex(upright)
    highest = np.flatnonzero(below <= BRAIN_MM + DEEP_MM)  # what is deeper down is not asked for
    under = np.zeros(upright.head.shape, np.float32)
    under[highest] = _under(upright.head[highest], upright) - upright.mm[0] / 2  # of the skin, half a cell from air
    below = below[:, np.newaxis, np.newaxis]
    cranium = upright.head & (below <= CRANIUM_MM)
    shells = (cranium & (under >= low) & (under < high) for low, high in (RIM_MM, CORTEX_MM, CORE_MM))
    rim, cortex, core = (float(upright.signal[shell].mean()) if shell.any() else 0.0 for shell in shells)
    void = upright.head & (upright.signal < VOID)
    from_tissue = _under(void, upright)
    deep = void & (below <= BRAIN_MM) & (under > DEEP_MM)
    return {
        "rim_to_core": _ratio(rim, core),
        "cortex_to_core": _ratio(cortex, core),
        "void_mm": float(from_tissue[void & (below <= FACE_MM)].max(initial=0)),
        "brain_void_mm": float(from_tissue[deep].max(initial=0)),
    }


def _under(mask: Mask, cells: Cells) -> Field:
    """mm from each cell of the mask to the nearest that is not of it, 0 there (Maurer et al., IEEE PAMI 2003)."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    k, j, i = (slice(max(0, int(n.min()) - 1), int(n.max()) + 2) for n in np.nonzero(mask))
    image = sitk.GetImageFromArray((~mask[k, j, i]).view(np.uint8))
    image.SetSpacing(cells.grid.spacing)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    millimetres = np.zeros(mask.shape, np.float32)
    millimetres[k, j, i] = np.where(mask[k, j, i], sitk.GetArrayFromImage(distance), 0)
    return millimetres


def _below_vertex(upright: Cells) -> Field:
    """(k,) mm from the top of the head down."""
    levels = np.arange(upright.head.shape[0], dtype=np.float32)
    top = np.flatnonzero(upright.head.any(axis=(1, 2)))[-1]
    below: Field = (top - levels) * np.float32(upright.mm[0])
    return below


def _ratio(shell: float, core: float) -> float:
    return shell / core if shell < MOST * core else MOST
