"""What a card says of ct_to_mr: what proves its graphs, and how much of an MR comes back through both networks."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CycleCertificate:
    """|cycled MR(engine) - cycled MR(PyTorch fp32)| inside the head over the reference slices.

    In percent of the MR window, [-1, 1] of the network: an MR has no unit. Both start from PyTorch's synthetic CT.
    file, precision: the artefact.  engine: what ran it.  slices, voxels: how many were compared.  mean_percent,
    p99_9_percent, max_percent: the error.  budget_percent: the limits it was held to, by the same names.
    """

    file: str
    precision: str
    engine: str
    slices: int
    voxels: int
    mean_percent: float
    p99_9_percent: float
    max_percent: float
    budget_percent: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether there are limits, and every error they name is a number within its own."""
        names = ("mean_percent", "p99_9_percent", "max_percent")
        errors: dict[str, float] = {name: getattr(self, name) for name in names}
        within = (0 <= errors.get(name, math.nan) <= limit for name, limit in self.budget_percent.items())
        return bool(self.budget_percent) and all(within)


@dataclass(frozen=True)
class CycleFacts:
    """How much of the reference slices' MR does not come back, and from where on that is too much.

    In percent of the MR's range inside the head, see mr2ct.cycle.  slices, voxels: how many were measured.
    mean_percent: over the slices, of each one's mean.  sd_percent: their sample SD, 0 of one slice.  p95_percent: that
    95 % of all voxels are within.  limit_percent: of the mean of a whole head.  input_name, output_name: of the graphs.
    Raises ValueError, which names the field, for figures that cannot be.
    """

    slices: int
    voxels: int
    mean_percent: float
    sd_percent: float
    p95_percent: float
    limit_percent: float
    certificates: tuple[CycleCertificate, ...]
    input_name: str = "synthetic_ct"
    output_name: str = "cycled_mr"

    def __post_init__(self) -> None:
        for name in ("mean_percent", "sd_percent", "p95_percent"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"cycle.{name} must be at least 0, not {getattr(self, name)}")
        if not self.limit_percent > 0:
            raise ValueError(f"cycle.limit_percent must be more than 0, not {self.limit_percent}")

    def certificate(self, file: str) -> CycleCertificate | None:
        """The passing certificate of a file of the folder, None where there is none."""
        return next((c for c in self.certificates if c.file == file and c.passed), None)
