"""An image volume of a patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.grid import Grid


@dataclass(frozen=True)
class SourceHeader:
    """The raw header of the file a volume was read from, and the grid that header describes.

    raw: the 348 bytes of NIfTI-1, or the text of NRRD's header. A writer of the same format carries its geometry over
    bit for bit, as long as the volume still lies on that grid.
    """

    raw: bytes
    grid: Grid


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

    voxels: (k, j, i), any real dtype; MR in the scanner's own units, CT in HU.
    grid: their place in the patient, LPS mm.
    header: what the file they were read from said of that place, if it was NIfTI or NRRD.
    remarks: what a user should know of that file, a line each.
    """

    voxels: NDArray[Any]
    grid: Grid
    header: SourceHeader | None = field(default=None, compare=False, repr=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.voxels.shape != self.grid.shape:
            raise ValueError(f"voxels of shape {self.voxels.shape} do not lie on a grid of shape {self.grid.shape}")

    @classmethod
    def of(cls, image: sitk.Image) -> Volume:
        """The volume of a 3D scalar SimpleITK image; the voxels are copied."""
        return cls(sitk.GetArrayFromImage(image), Grid.of(image))

    def image(self) -> sitk.Image:
        """The volume as a SimpleITK image; the voxels are copied."""
        return self.grid.image(self.voxels)
