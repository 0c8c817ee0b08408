"""Where voxels lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

# Of a direction cosine; the square of less is no normal float64. At 500 mm it is nothing: rounding leaves 1e-17.
UNDERFLOW = 1e-100


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxel centres in the patient coordinate system (LPS, mm).

    LPS is DICOM's and ITK's: x grows to the patient's Left, y to Posterior, z to Superior. Index axes are (i, j, k),
    i fastest in memory; the numpy array of a volume on this grid has shape (k, j, i).

    size: voxels along i, j, k.  spacing: mm between centres along i, j, k.  origin: centre of voxel (0, 0, 0), LPS mm.
    direction: 3 x 3, row-major; column a is the LPS unit vector along index axis a.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, float, float, float, float, float, float, float, float]

    def __post_init__(self) -> None:
        """Cosines that are nothing but underflow become 0: ITK's inverse of a direction goes wrong by them."""
        if any(0 < abs(cosine) < UNDERFLOW for cosine in self.direction):
            cleared = tuple(0.0 if abs(cosine) < UNDERFLOW else cosine for cosine in self.direction)
            object.__setattr__(self, "direction", cleared)

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of a 3D SimpleITK image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, int, int]:
        """The numpy shape (k, j, i)."""
        return (self.size[2], self.size[1], self.size[0])

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3) float64: column a is the LPS unit vector along index axis a."""
        return np.array(self.direction, dtype=np.float64).reshape(3, 3)

    def points(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm, shape (..., 3), of continuous indices (..., 3) in the order (i, j, k)."""
        points: NDArray[np.float64] = (np.asarray(index) * self.spacing) @ self.axes.T + np.array(self.origin)
        return points

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) LPS mm: the middle of the volume, half-way between its outer voxel faces."""
        return self.points((np.array(self.size, dtype=np.float64) - 1) / 2)

    @property
    def extent(self) -> NDArray[np.float64]:
        """(3,) mm: size of the axis-aligned LPS box around the whole volume, outer voxel faces included."""
        box: NDArray[np.float64] = np.abs(self.axes) @ (np.array(self.size) * np.array(self.spacing))
        return box

    def slab(self, slices: range) -> Grid:
        """The same lattice, of some neighbouring slices (along k) only. slices: of step 1, within the grid."""
        origin = self.points(np.array([0.0, 0.0, float(slices.start)]))
        i, j, _ = self.size
        return Grid(
            (i, j, len(slices)), self.spacing, (float(origin[0]), float(origin[1]), float(origin[2])), self.direction
        )

    def image(self, voxels: NDArray[np.generic]) -> sitk.Image:
        """A SimpleITK image of voxels (k, j, i) on this grid; the voxels are copied."""
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image
