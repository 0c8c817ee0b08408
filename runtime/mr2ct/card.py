"""card.json: what a model is and how it is fed.

Names follow the MONAI bundle's metadata.json where it has the same thing (version, task, description, authors,
intended_use, data_source, network_data_format), https://docs.monai.io/en/stable/mb_specification.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mr2ct.errors import ModelError

SCHEMA = "mr2ct-model/1"
INTENDED_USE = "Research only. Not a medical device; not for diagnosis or treatment."


@dataclass(frozen=True)
class SliceGrid:
    """The slices a network sees: rows x columns pixels of pixel_mm, spacing_mm apart. plane: "sagittal"."""

    plane: str
    rows: int
    columns: int
    pixel_mm: float
    spacing_mm: float


# Section 4 of the paper: slices of 288 x 288 voxels of 0.87 mm resampled to 256 x 256 pixels; section 2: 1.00 mm apart.
PAPER_SLICES = SliceGrid(plane="sagittal", rows=256, columns=256, pixel_mm=288 * 0.87 / 256, spacing_mm=1.0)
PAPER_CT_WINDOW_HU = (-600.0, 1400.0)  # section 4


@dataclass(frozen=True)
class FixedWindow:
    """MR values, in the scanner's units, that become -1 and 1."""

    low: float
    high: float


@dataclass(frozen=True)
class PercentileWindow:
    """Percentiles of the MR inside the head that become -1 and 1: for scanners whose units differ."""

    low: float
    high: float


MrWindow = FixedWindow | PercentileWindow
PAPER_MR_WINDOW = FixedWindow(0.0, 3500.0)  # section 4


@dataclass(frozen=True)
class FileFacts:
    """What a file of the model folder must be: its sha256 (hex) and size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Certificate:
    """|HU(engine) - HU(PyTorch fp32)| inside the head over the reference slices.

    file, precision: the artefact.  engine: what ran it ("onnxruntime 1.32.0, CPU").  slices, voxels: how many were
    compared.  mean_hu, p99_9_hu, max_hu: the error.  budget_hu: the limits it was held to, by the same names.
    """

    file: str
    precision: str
    engine: str
    slices: int
    voxels: int
    mean_hu: float
    p99_9_hu: float
    max_hu: float
    budget_hu: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every error is a number within its limit."""
        return all(getattr(self, name) <= limit for name, limit in self.budget_hu.items()) and bool(self.budget_hu)


@dataclass(frozen=True)
class Card:
    """A model's card; the fields of card.json, less the schema's name."""

    name: str
    version: str
    description: str
    authors: str
    data_source: str
    generator: dict[str, Any]  # architecture, width, parameters
    training: dict[str, Any]  # state ("trained", "untrained"), and what is known of the run
    slices: SliceGrid
    mr_window: MrWindow
    ct_window_hu: tuple[float, float]
    opset: int
    max_batch: int
    files: dict[str, FileFacts]
    certificates: tuple[Certificate, ...]
    task: str = "synthetic CT from T1-weighted brain MR"
    intended_use: str = INTENDED_USE
    mr2ct_version: str = ""
    input_name: str = "mr"
    output_name: str = "synthetic_ct"

    @property
    def trained(self) -> bool:
        """False for a generator with random weights, which is for geometry and speed only."""
        return self.training.get("state") == "trained"

    def certificate(self, file: str) -> Certificate | None:
        """The passing certificate of a file of the folder, None where there is none."""
        return next((c for c in self.certificates if c.file == file and c.passed), None)

    def to_json(self) -> str:
        """The text of card.json."""
        fields = asdict(self)
        fields["mr_window"] = {"kind": _WINDOW_KINDS[type(self.mr_window)], **fields["mr_window"]}
        fields["network_data_format"] = self._network_data_format()
        return json.dumps({"schema": SCHEMA, **fields}, indent=2) + "\n"

    def _network_data_format(self) -> dict[str, Any]:
        common = {
            "type": "image",
            "num_channels": 1,
            "spatial_shape": [self.slices.rows, self.slices.columns],
            "dtype": "float32",
            "value_range": [-1, 1],
        }
        return {
            "inputs": {self.input_name: {**common, "modality": "MR", "channel_def": {"0": "T1-weighted MR"}}},
            "outputs": {self.output_name: {**common, "modality": "CT", "channel_def": {"0": "synthetic CT"}}},
        }

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """Parse card.json. Raises ModelError, which names the field, for anything this version cannot use."""
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise ModelError(f"{where}: not JSON ({error})") from error
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            schema = fields.get("schema") if isinstance(fields, dict) else None
            raise ModelError(f"{where}: not the card of an mr2ct model (schema {schema!r}, known: {SCHEMA!r})")
        try:
            card = cls(**_card_fields(fields))
            _refuse_impossible(card)
        except KeyError as error:
            raise ModelError(f"{where}: the field {error} is missing") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"{where}: {error}") from error
        return card


_WINDOW_KINDS: dict[type, str] = {FixedWindow: "fixed", PercentileWindow: "percentile"}


def _card_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: fields[name] for name in Card.__dataclass_fields__ if name in fields}
    window = dict(fields["mr_window"])
    kinds = {kind: window_type for window_type, kind in _WINDOW_KINDS.items()}
    kind = window.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"mr_window: kind {kind!r} is not known; known: {', '.join(kinds)}")
    low, high = fields["ct_window_hu"]
    return {
        **known,
        "slices": SliceGrid(**fields["slices"]),
        "mr_window": kinds[kind](**window),
        "ct_window_hu": (float(low), float(high)),
        "files": {name: FileFacts(**facts) for name, facts in fields["files"].items()},
        "certificates": tuple(Certificate(**certificate) for certificate in fields["certificates"]),
    }


def _refuse_impossible(card: Card) -> None:
    slices, window, (low_hu, high_hu) = card.slices, card.mr_window, card.ct_window_hu
    if slices.plane != "sagittal":
        raise ValueError(f"slices: plane {slices.plane!r} is not known; known: 'sagittal'")
    if not all(isinstance(n, int) and n >= 1 for n in (slices.rows, slices.columns, card.max_batch)):
        raise ValueError("rows, columns and max_batch must be whole numbers of at least 1")
    if not (0 < slices.pixel_mm < math.inf and 0 < slices.spacing_mm < math.inf):
        raise ValueError("slices: pixel_mm and spacing_mm must be more than 0")
    if not (-math.inf < window.low < window.high < math.inf and -math.inf < low_hu < high_hu < math.inf):
        raise ValueError("mr_window and ct_window_hu must go from low to high")
    if isinstance(window, PercentileWindow) and not (window.low >= 0 and window.high <= 100):
        raise ValueError("mr_window: percentiles must lie in [0, 100]")
