"""card.json: what a model is and how it is fed.

Names follow the MONAI bundle's metadata.json where it has the same thing (version, task, description, authors,
intended_use, data_source, network_data_format), https://docs.monai.io/en/stable/mb_specification.html
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from mr2ct.cycle_card import CycleFacts
from mr2ct.errors import ModelError
from mr2ct.gate.limits import GateLimits

SCHEMA = "mr2ct-model/1"
INTENDED_USE = "Research only. Not a medical device; not for diagnosis or treatment."


@dataclass(frozen=True)
class SliceGrid:
    """The slices a network sees: rows x columns pixels of pixel_mm, spacing_mm apart. plane: "sagittal".

    Raises ValueError, which names the field, for a grid that cannot be.
    """

    plane: str
    rows: int
    columns: int
    pixel_mm: float
    spacing_mm: float

    def __post_init__(self) -> None:
        if self.plane != "sagittal":
            raise ValueError(f"slices.plane {_short(self.plane)} is not known; known: 'sagittal'")
        for place, pixels in (("slices.rows", self.rows), ("slices.columns", self.columns)):
            if not (isinstance(pixels, int) and pixels >= 1):
                raise ValueError(f"{place} must be at least 1, not {pixels}")
        for place, millimetres in (("slices.pixel_mm", self.pixel_mm), ("slices.spacing_mm", self.spacing_mm)):
            if not (isinstance(millimetres, (int, float)) and millimetres > 0):
                raise ValueError(f"{place} must be more than 0, not {millimetres}")


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
        """Whether there are limits, and every error they name is a number within its own."""
        errors = {"mean_hu": self.mean_hu, "p99_9_hu": self.p99_9_hu, "max_hu": self.max_hu}
        within = (0 <= errors.get(name, math.nan) <= limit for name, limit in self.budget_hu.items())
        return bool(self.budget_hu) and all(within)


@dataclass(frozen=True)
class LayerError:
    """Mean and 99.9th percentile of |HU(engine) - HU(PyTorch fp32)| inside the head."""

    mean_hu: float
    p99_9_hu: float


@dataclass(frozen=True)
class Quantisation:
    """Why the int8 graph has the convolutions in eight bits that it has.

    int8: those convolutions.  none, alone: the error with none of them in int8, and with one of them alone, for each
    that could be; those that are not in int8 were left out to stay within limits_hu.  calibrated_on, measured_on: how
    many slices; no slice is of both, nor a reference slice.  engine: what computed it.
    """

    int8: tuple[str, ...]
    none: LayerError
    alone: dict[str, LayerError]
    limits_hu: dict[str, float]
    calibrated_on: int
    measured_on: int
    engine: str


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
    quantisation: Quantisation | None = None  # of the int8 graph; where there is none, the field is not in card.json
    cycle: CycleFacts | None = None  # of ct_to_mr, likewise
    gate: GateLimits | None = None  # which MRs it may judge; where that is not known, the field is not in card.json

    @property
    def trained(self) -> bool:
        """False for a generator with random weights, which is for geometry and speed only."""
        return self.training.get("state") == "trained"

    def certificate(self, file: str) -> Certificate | None:
        """The passing certificate of a file of the folder, None where there is none."""
        return next((c for c in self.certificates if c.file == file and c.passed), None)

    def to_json(self) -> str:
        """The text of card.json."""
        card = asdict(self)
        card["mr_window"] = {"kind": _WINDOW_KINDS[type(self.mr_window)], **card["mr_window"]}
        card["network_data_format"] = self._network_data_format()
        if self.quantisation is None:
            del card["quantisation"]
        if self.cycle is None:
            del card["cycle"]
        if self.gate is None:
            del card["gate"]
        return json.dumps({"schema": SCHEMA, **card}, indent=2) + "\n"

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
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: not JSON ({error})") from error
        schema = told.get("schema") if isinstance(told, dict) else None
        if schema != SCHEMA:
            raise ModelError(f"{where}: not the card of an mr2ct model (schema {_short(schema)}, known: {SCHEMA!r})")
        try:
            card: Card = _read(cls, {name: told[name] for name in cls.__dataclass_fields__ if name in told}, "")
            _refuse_impossible(card)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: {error}") from error
        return card


_WINDOW_KINDS: dict[type, str] = {FixedWindow: "fixed", PercentileWindow: "percentile"}
_NAMES: dict[type, str] = {str: "text", int: "a whole number", float: "a number", dict: "an object", list: "a list"}


def _read(kind: Any, value: Any, place: str) -> Any:
    """A value of JSON as the type that Card declares. Raises ValueError, which tells the place of what is wrong."""
    if kind == MrWindow:
        return _read_window(value, place)
    if kind == Quantisation | None:
        kind = Quantisation
    if kind == CycleFacts | None:
        kind = CycleFacts
    if kind == GateLimits | None:
        kind = GateLimits
    if is_dataclass(kind):
        return _read_fields(kind, value, place)
    if kind == dict[str, Any]:
        json.dumps(_plain(dict, value, place), allow_nan=False)
        return value
    if get_origin(kind) is dict:
        entries = _plain(dict, value, place).items()
        return {name: _read(get_args(kind)[1], entry, f"{place}[{_short(name)}]") for name, entry in entries}
    if get_origin(kind) is tuple:
        items, kinds = _plain(list, value, place), get_args(kind)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(items)
        if len(items) != len(kinds):
            raise ValueError(f"{place} must be a list of {len(kinds)}, not of {len(items)}")
        return tuple(_read(k, item, f"{place}[{n}]") for n, (k, item) in enumerate(zip(kinds, items, strict=True)))
    return _plain(kind, value, place)


def _read_window(value: Any, place: str) -> Any:
    kinds = {name: window for window, name in _WINDOW_KINDS.items()}
    limits = {**_plain(dict, value, place)}
    kind = limits.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{place}: kind {_short(kind)} is not known; known: {', '.join(kinds)}")
    return _read_fields(kinds[kind], limits, place)


def _read_fields(kind: Any, value: Any, place: str) -> Any:
    """A dataclass of an object that holds its fields, and no others: what they would mean is not known here."""
    given, types, prefix = _plain(dict, value, place), get_type_hints(kind), f"{place}." if place else ""
    for name in given:
        if name not in types:
            raise ValueError(f"{place}: the field {_short(name)} is not known")
    for field in fields(kind):
        if field.name not in given and field.default is MISSING:
            raise ValueError(f"the field {prefix}{field.name} is missing")
    return kind(**{name: _read(types[name], entry, f"{prefix}{name}") for name, entry in given.items()})


def _plain(kind: type, value: Any, place: str) -> Any:
    right = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if not right or (kind is float and not abs(value) <= sys.float_info.max):  # NaN, infinity, 10**400
        raise ValueError(f"{place} must be {_NAMES[kind]}, not {_short(value)}")
    return float(value) if kind is float else value


def _short(value: Any) -> str:
    """A value of JSON in a few words, on one line."""
    if isinstance(value, (dict, list)):
        return _NAMES[type(value)]
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_impossible(card: Card) -> None:
    window, (low_hu, high_hu) = card.mr_window, card.ct_window_hu
    if card.max_batch < 1:
        raise ValueError(f"max_batch must be at least 1, not {card.max_batch}")
    for place, low, high in (("mr_window", window.low, window.high), ("ct_window_hu", low_hu, high_hu)):
        if not low < high:
            raise ValueError(f"{place} must go from low to high, not from {low:g} to {high:g}")
    if card.quantisation is not None and not set(card.quantisation.int8) <= set(card.quantisation.alone):
        raise ValueError("quantisation.int8 names a convolution that quantisation.alone does not")
    if isinstance(window, PercentileWindow) and not (window.low >= 0 and window.high <= 100):
        raise ValueError("mr_window: percentiles must lie in [0, 100]")
