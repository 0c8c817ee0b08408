"""A card says what a model is, in MONAI's words, and one that makes no sense is refused by the name of its field."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.card import (
    INTENDED_USE,
    PAPER_CT_WINDOW_HU,
    PAPER_MR_WINDOW,
    PAPER_SLICES,
    SCHEMA,
    Card,
    Certificate,
    FileFacts,
    FixedWindow,
    LayerError,
    MrWindow,
    PercentileWindow,
    Quantisation,
)
from mr2ct.cycle_card import CycleCertificate, CycleFacts
from mr2ct.errors import ModelError
from mr2ct.gate.limits import GateLimits
from mr2ct.gate.measured import HALF_PATCH, QUANTILES

Place = tuple[str | int, ...]  # the keys that lead to a value of card.json

WHERE = "model/card.json"
GRAPH = "mr_to_ct.fp32.onnx"
CERTIFICATE = Certificate(
    file=GRAPH,
    precision="fp32",
    engine="onnxruntime 1.32.0, CPU",
    slices=8,
    voxels=123456,
    mean_hu=0.001,
    p99_9_hu=0.004,
    max_hu=0.02,
    budget_hu={"max_hu": 0.1},
)
CARD = Card(
    name="paper",
    version="2",
    description="the generator of the paper",
    authors="mr2ct",
    data_source="heads of 24 patients",
    generator={"architecture": "residual", "width": 64, "parameters": 11_378_177},
    training={"state": "trained", "epochs": 200, "losses": {"cycle": 10.0}},
    slices=PAPER_SLICES,
    mr_window=PAPER_MR_WINDOW,
    ct_window_hu=PAPER_CT_WINDOW_HU,
    opset=20,
    max_batch=183,
    files={GRAPH: FileFacts("ab" * 32, 45_000_000), "reference.npz": FileFacts("cd" * 32, 900_000)},
    certificates=(CERTIFICATE,),
    quantisation=Quantisation(
        int8=("residual.0.body.1",),
        none=LayerError(0.2, 2.5),
        alone={"residual.0.body.1": LayerError(0.3, 3.5), "down.0": LayerError(1.5, 12.5)},
        limits_hu={"mean_hu": 0.8, "p99_9_hu": 10.0},
        calibrated_on=32,
        measured_on=12,
        engine="OpenVINO 2026.4.1, CPU, int8 and bf16",
    ),
    cycle=CycleFacts(
        slices=6,
        voxels=123456,
        mean_percent=3.5,
        sd_percent=0.5,
        p95_percent=9.5,
        limit_percent=5.5,
        certificates=(
            CycleCertificate(
                file="ct_to_mr.fp32.onnx",
                precision="fp32",
                engine="onnxruntime 1.32.0, CPU",
                slices=6,
                voxels=123456,
                mean_percent=0.0001,
                p99_9_percent=0.001,
                max_percent=0.002,
                budget_percent={"max_percent": 0.005},
            ),
        ),
    ),
    gate=GateLimits(
        volumes=1,
        seen={"noise": (0.01, 0.02), "likeness": (0.7, 0.9)},
        low={"likeness": 0.6},
        high={"noise": 0.05},
        quantiles=(tuple(n / QUANTILES for n in range(QUANTILES)),),
        signal="7f" * HALF_PATCH,
        share="ff" * HALF_PATCH,
        rule="the span of 1 MR",
    ),
)
FIELDS: dict[str, Any] = json.loads(CARD.to_json())
OPTIONAL = {"task", "intended_use", "mr2ct_version", "input_name", "output_name", "quantisation", "cycle", "gate"}
FREE = {"generator", "training", "network_data_format"}  # what is in there is not ours to judge

finite = st.floats(allow_nan=False, allow_infinity=False)
rising = st.tuples(finite, finite).filter(lambda limits: limits[0] < limits[1])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a JSON value, inner ones too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield (*place, key)
        yield from _places(entry, (*place, key))


def _at(fields: Any, place: Place) -> Any:
    for key in place:
        fields = fields[key]
    return fields


def _with(place: Place, value: Any) -> str:
    """The text of the card with another value at a place."""
    fields = copy.deepcopy(FIELDS)
    _at(fields, place[:-1])[place[-1]] = value
    return json.dumps(fields)


def _without(place: Place) -> str:
    fields = copy.deepcopy(FIELDS)
    del _at(fields, place[:-1])[place[-1]]
    return json.dumps(fields)


def _refusal(text: str) -> str:
    """The message with which a card is refused, once it is seen to be one line that begins with the file."""
    with pytest.raises(ModelError) as caught:
        Card.from_json(text, WHERE)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{WHERE}: ")
    assert len(message) < 400
    return message.removeprefix(WHERE)


PLACES = [p for p in _places(FIELDS) if p != ("schema",) and (p[0] not in FREE or p in {("generator",), ("training",)})]
TYPED = [pytest.param(place, id=".".join(map(str, place))) for place in PLACES]
REQUIRED = [
    pytest.param(place, id=".".join(map(str, place)))
    for place in PLACES
    if place[0] not in OPTIONAL or len(place) > 1
    if place[:-1] not in {("files",), ("certificates",), ("cycle", "certificates"), ("ct_window_hu",)}
    if place[-2:-1] not in {("budget_hu",), ("budget_percent",), ("limits_hu",), ("int8",), ("alone",)}
    if place not in {("cycle", "input_name"), ("cycle", "output_name")}
    if place[0] != "gate" or len(place) == 2
]


@pytest.mark.parametrize("window", [FixedWindow(0.0, 3500.0), PercentileWindow(0.5, 99.5)], ids=["fixed", "percentile"])
def test_a_card_comes_back_from_its_json_as_it_went(window: MrWindow) -> None:
    card = replace(CARD, mr_window=window)
    assert Card.from_json(card.to_json(), WHERE) == card


@given(
    window=rising.map(lambda limits: FixedWindow(*limits)),
    window_hu=rising,
    name=st.text(),
    error=st.floats(0, 1e6),
    free=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | finite | st.text(max_size=5), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_no_name_number_or_remark_is_lost_in_the_json(
    window: FixedWindow, window_hu: tuple[float, float], name: str, error: float, free: dict[str, Any]
) -> None:
    certified = (replace(CERTIFICATE, mean_hu=error),)
    card = replace(CARD, mr_window=window, ct_window_hu=window_hu, name=name, training=free, certificates=certified)
    assert Card.from_json(card.to_json(), WHERE) == card


def test_whole_numbers_are_good_where_a_card_has_fractions() -> None:
    card = Card.from_json(_with(("ct_window_hu",), [-600, 1400]), WHERE)
    assert card.ct_window_hu == (-600.0, 1400.0)
    assert all(isinstance(limit, float) for limit in card.ct_window_hu)


def test_a_card_has_the_names_that_a_monai_bundle_has() -> None:
    for name in ("version", "task", "description", "authors", "intended_use", "data_source"):
        assert isinstance(FIELDS[name], str)
        assert FIELDS[name]
    network = FIELDS["network_data_format"]
    mr, ct = network["inputs"]["mr"], network["outputs"]["synthetic_ct"]
    for image, modality in ((mr, "MR"), (ct, "CT")):
        assert image["type"] == "image"
        assert image["modality"] == modality
        assert image["num_channels"] == 1
        assert image["spatial_shape"] == [256, 256]
        assert image["dtype"] == "float32"
        assert image["value_range"] == [-1, 1]
        assert set(image["channel_def"]) == {"0"}


def test_the_network_format_follows_the_slices_and_names_of_the_card() -> None:
    card = replace(CARD, slices=replace(PAPER_SLICES, rows=320, columns=288), input_name="t1", output_name="hu")
    network = json.loads(card.to_json())["network_data_format"]
    assert network["inputs"]["t1"]["spatial_shape"] == [320, 288]
    assert network["outputs"]["hu"]["spatial_shape"] == [320, 288]


def test_every_card_says_that_it_is_no_medical_device() -> None:
    assert FIELDS["intended_use"] == INTENDED_USE
    assert "not a medical device" in INTENDED_USE.lower()
    assert Card.from_json(_without(("intended_use",)), WHERE).intended_use == INTENDED_USE


def test_the_paper_saw_pixels_of_just_under_a_millimetre() -> None:
    assert PAPER_SLICES.pixel_mm == pytest.approx(0.97875)
    assert PAPER_SLICES.rows * PAPER_SLICES.pixel_mm == pytest.approx(288 * 0.87)


def test_a_field_that_a_later_version_adds_is_no_reason_to_refuse() -> None:
    assert Card.from_json(_with(("licence",), "CC-BY-4.0"), WHERE) == CARD


@pytest.mark.parametrize("place", [("slices",), ("mr_window",), ("certificates", 0), ("files", GRAPH)], ids=str)
def test_an_unknown_word_inside_a_known_field_is_refused_by_name(place: Place) -> None:
    assert "mirrored" in _refusal(_with((*place, "mirrored"), True))


@pytest.mark.parametrize(
    "text",
    ["", "{", "\x00\x01", "schema: mr2ct", '{"schema": }', "[" * 100_000, '{"a":' * 100_000, "1" * 5000],
    ids=["empty", "cut off", "binary", "yaml", "hole", "deep list", "deep object", "endless number"],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    assert "not JSON" in _refusal(text)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"mr2ct-model/1"', "{}", '{"schema": "mr2ct-model/2"}'])
def test_json_that_is_no_card_of_ours_is_refused_and_told_the_known_schema(text: str) -> None:
    assert f"known: {SCHEMA!r}" in _refusal(text)


@pytest.mark.parametrize("schema", [None, 1, True, ["x"] * 9999, {"x": 1}, "a\nb", "x" * 9999, "\ud800"], ids=range(8))
def test_a_schema_of_any_kind_is_told_on_one_short_line(schema: Any) -> None:
    assert "not the card of an mr2ct model" in _refusal(json.dumps({**FIELDS, "schema": schema}))


@pytest.mark.parametrize("place", REQUIRED)
def test_a_missing_field_is_named(place: Place) -> None:
    assert str(place[-1]) in _refusal(_without(place))


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_a_card_without_an_optional_field_has_its_default(name: str) -> None:
    assert getattr(Card.from_json(_without((name,)), WHERE), name) == Card.__dataclass_fields__[name].default


def test_a_card_without_an_int8_graph_or_a_way_back_has_nothing_to_say_of_it() -> None:
    card = replace(CARD, quantisation=None, cycle=None)
    assert not {"quantisation", "cycle"} & set(json.loads(card.to_json()))
    assert Card.from_json(card.to_json(), WHERE) == card


@pytest.mark.parametrize("place", TYPED)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_field(place: Place) -> None:
    value = _at(FIELDS, place)
    wrong: list[Any] = [None, True, False, [[]]]
    if place[0] not in FREE:
        wrong.append({"": {}})
    wrong += ["12", "nan", ""] if not isinstance(value, str) else [12, 1.5]
    wrong += [1.5, math.nan, math.inf, -math.inf] if not isinstance(value, float) else [math.nan, math.inf, -math.inf]
    if isinstance(value, float):
        wrong.append(10**400)  # no float is that large
    for other in wrong:
        message = _refusal(_with(place, other))
        named = [key for key in place if isinstance(key, str)][-1]
        assert named in message, f"{other!r} at {place}"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["generator", "training"])
def test_what_is_no_number_is_refused_in_free_text_too(name: str, constant: str) -> None:
    text = CARD.to_json().replace(f'"{name}": {{', f'"{name}": {{"x": {constant},', 1)
    _refusal(text)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("slices", "plane"), "axial", "slices.plane"),
        (("slices", "plane"), "Sagittal", "slices.plane"),
        (("slices", "rows"), 0, "slices.rows"),
        (("slices", "columns"), -256, "slices.columns"),
        (("slices", "rows"), 256.0, "slices.rows"),
        (("slices", "pixel_mm"), 0, "slices.pixel_mm"),
        (("slices", "pixel_mm"), -0.9, "slices.pixel_mm"),
        (("slices", "spacing_mm"), 0.0, "slices.spacing_mm"),
        (("slices", "spacing_mm"), -1, "slices.spacing_mm"),
        (("max_batch",), 0, "max_batch"),
        (("max_batch",), -1, "max_batch"),
        (("mr_window",), {"kind": "fixed", "low": 3500, "high": 0}, "mr_window"),
        (("mr_window",), {"kind": "fixed", "low": 5, "high": 5}, "mr_window"),
        (("mr_window",), {"kind": "percentile", "low": -1, "high": 99}, "mr_window"),
        (("mr_window",), {"kind": "percentile", "low": 1, "high": 100.5}, "mr_window"),
        (("mr_window",), {"kind": "percentile", "low": 99, "high": 1}, "mr_window"),
        (("mr_window",), {"kind": "z-score", "low": 0, "high": 1}, "known: fixed, percentile"),
        (("mr_window",), {"kind": ["fixed"], "low": 0, "high": 1}, "mr_window"),
        (("mr_window",), {"low": 0, "high": 1}, "mr_window"),
        (("ct_window_hu",), [1400, -600], "ct_window_hu"),
        (("ct_window_hu",), [0, 0], "ct_window_hu"),
        (("ct_window_hu",), [0], "ct_window_hu"),
        (("ct_window_hu",), [0, 1, 2], "ct_window_hu"),
        (("ct_window_hu",), [], "ct_window_hu"),
        (("ct_window_hu",), "ab", "ct_window_hu"),
        (("ct_window_hu",), ["-600", "1400"], "ct_window_hu[0]"),
        (("files", GRAPH), "sha", f'files["{GRAPH}"]'),
        (("certificates",), {}, "certificates"),
        (("quantisation", "int8"), ["exit.1"], "quantisation.int8"),
        (("cycle", "mean_percent"), -1.0, "cycle.mean_percent"),
        (("cycle", "limit_percent"), 0, "cycle.limit_percent"),
        (("cycle", "certificates", 0, "max_percent"), "none", "cycle.certificates[0].max_percent"),
    ],
)
def test_a_card_that_cannot_be_meant_is_refused_by_the_name_of_its_field(place: Place, value: Any, told: str) -> None:
    assert told in _refusal(_with(place, value))


@given(place=st.sampled_from([place for place in _places(FIELDS) if place != ("schema",)]), value=json_values)
@settings(max_examples=300, deadline=None)
def test_no_value_anywhere_makes_more_of_a_card_than_a_card_or_a_model_error(place: Place, value: Any) -> None:
    text = _with(place, value)
    try:
        card = Card.from_json(text, WHERE)
    except ModelError as error:
        assert str(error).isprintable()
        return
    assert isinstance(card.trained, bool)
    for certificate in card.certificates:
        assert isinstance(certificate.passed, bool)
    assert Card.from_json(card.to_json(), WHERE) == card


@given(st.binary(max_size=40), st.integers(0, len(CARD.to_json())))
@settings(max_examples=100, deadline=None)
def test_no_damage_to_the_text_makes_more_of_a_card_than_a_card_or_a_model_error(junk: bytes, at: int) -> None:
    text = CARD.to_json()
    damaged = text[:at] + junk.decode("latin-1") + text[at + len(junk) :]
    try:
        Card.from_json(damaged, WHERE)
    except ModelError as error:
        assert str(error).startswith(WHERE)


def test_a_certificate_passes_up_to_its_budget_and_not_beyond() -> None:
    assert CERTIFICATE.passed
    assert replace(CERTIFICATE, max_hu=0.1).passed
    assert not replace(CERTIFICATE, max_hu=math.nextafter(0.1, 1)).passed


@pytest.mark.parametrize("name", ["mean_hu", "p99_9_hu", "max_hu"])
@pytest.mark.parametrize("error", [math.nan, math.inf, -math.inf, 0.51])
def test_one_error_that_is_no_number_within_its_limit_fails_a_certificate(name: str, error: float) -> None:
    budget = {"mean_hu": 0.5, "p99_9_hu": 0.5, "max_hu": 0.5}
    fine = replace(CERTIFICATE, budget_hu=budget)
    assert fine.passed
    changed: dict[str, Any] = {name: error}
    assert not replace(fine, **changed).passed


@pytest.mark.parametrize(
    "budget", [{}, {"max_hu": math.nan}, {"voxels": 1e9}, {"max_hu": 0.1, "worst_hu": 1.0}], ids=str
)
def test_a_budget_that_limits_nothing_known_passes_nothing(budget: dict[str, float]) -> None:
    assert not replace(CERTIFICATE, budget_hu=budget).passed


def test_only_a_passing_certificate_of_that_very_file_counts() -> None:
    failed = replace(CERTIFICATE, max_hu=1.0)
    assert CARD.certificate(GRAPH) == CERTIFICATE
    assert CARD.certificate("mr_to_ct.fp16.onnx") is None
    assert replace(CARD, certificates=(failed,)).certificate(GRAPH) is None
    assert replace(CARD, certificates=(failed, CERTIFICATE)).certificate(GRAPH) == CERTIFICATE


@pytest.mark.parametrize(
    ("training", "trained"),
    [({"state": "trained"}, True), ({"state": "untrained"}, False), ({}, False), ({"state": True}, False)],
    ids=str,
)
def test_only_a_card_that_says_so_is_trained(training: dict[str, Any], trained: bool) -> None:
    assert replace(CARD, training=training).trained is trained


def test_everything_on_a_card_is_in_its_json() -> None:
    written = {name for name in asdict(CARD) if name in FIELDS}
    assert written == set(Card.__dataclass_fields__)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("gate", "low", "noise"), 0.07, "gate.low.noise is 0.07, more than gate.high's 0.05"),
        (("gate", "high", "colour"), 1.0, "gate.high: no measure is called 'colour'"),
        (("gate", "volumes"), 2, "gate.quantiles are of 1 volumes, gate.volumes is 2"),
        (("gate", "quantiles", 0, 3), 2.0, "gate.quantiles[0] must be 32 rising numbers"),
        (("gate", "signal"), "7f", "gate.signal must be"),
        (("gate", "share"), "g" * 2 * HALF_PATCH, "gate.share must be"),
        (("gate",), {"volumes": 1}, "the field gate.seen is missing"),
    ],
    ids=str,
)
def test_a_gate_that_cannot_be_is_refused(place: Place, value: Any, told: str) -> None:
    assert told in _refusal(_with(place, value))


def test_a_card_without_a_gate_does_not_name_it() -> None:
    card = replace(CARD, gate=None)
    assert "gate" not in json.loads(card.to_json())
    assert Card.from_json(card.to_json(), WHERE) == card
