"""An MR series as a volume, and what its headers say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from mr2ct.volume import Volume


@dataclass(frozen=True)
class MrSeries:
    """One MR series of one patient.

    folder: where its files are.  files: which of them, sorted by name.  volume: voxels (k, j, i), in the scanner's own
    units with rescale applied, on a Grid in LPS mm; k runs along the slices, in the direction of the slice normal.
    headers: without pixels, one a slice, in the order of k; of an enhanced object the one it has.  source: the
    (SOPClassUID, SOPInstanceUID) the volume was made of, each once, in the order of k.
    """

    folder: Path
    files: tuple[Path, ...]
    volume: Volume
    headers: tuple[Dataset, ...]
    source: tuple[tuple[str, str], ...]

    @property
    def header(self) -> Dataset:
        """The first slice's, which speaks for patient, study, series and frame of reference."""
        return self.headers[0]
