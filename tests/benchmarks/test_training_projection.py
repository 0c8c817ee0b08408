"""The projection's arithmetic on made-up numbers, and the committed one against the committed measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import training_projection
from training_projection import LINKS, Link, exchange_seconds, projection
from training_projection_picture import draw

RATES = {"h100": 100.0, "cpu": 0.5}
MESSAGES = {"generators": 90_000_000, "discriminators": 20_000_000, "stop": 4}


@pytest.mark.parametrize(("gpus", "carried", "turns"), [(1, 0.0, 0), (2, 1.0, 2), (4, 1.5, 6), (64, 126 / 64, 126)])
def test_a_ring_carries_nearly_twice_what_is_sent_in_turns_that_grow_with_it(
    gpus: int, carried: float, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_projection, "REACHED", 0.5)
    monkeypatch.setattr(training_projection, "MEMORY_BYTES_PER_SECOND", 4e9)
    link = Link("slow", 2e9, 1e-3, 64, "made up")
    copies = 6 * 3e9 / 2e9 if gpus > 1 else 0
    expected = carried * 3e9 / 1e9 + 2 * turns * 1e-3 + copies  # two messages
    assert exchange_seconds(link, gpus, {"a": 2_000_000_000, "b": 1_000_000_000}) == pytest.approx(expected)


def test_as_many_pairs_are_seen_however_they_are_spread() -> None:
    result = projection(RATES, MESSAGES)
    rows = {(row["pairs_a_gpu"], row["gpus"], row["link"]): row for row in result["rows"]}
    assert len(rows) == 2 * (4 + 7 + 7)  # NVLink ends with its node
    for row in rows.values():
        assert result["pairs"] <= row["steps"] * row["global_batch"] < result["pairs"] + row["global_batch"]
        assert row["hours"] * 3600 == pytest.approx(row["steps"] * (row["compute_seconds"] + row["exchange_seconds"]))
    alone, two = rows[8, 1, "10 GbE"], rows[8, 2, "10 GbE"]
    assert alone["hours"] == pytest.approx(658_800 / 100 / 3600)
    assert (alone["efficiency"], alone["speed_measured"], two["speed_measured"]) == (1.0, True, False)
    assert two["exchange_seconds"] == pytest.approx(
        110_000_004 / (1.25e9 * 0.8) + 3 * 2 * 50e-6 + 6 * 110_000_004 / (3.35e12 * 0.8)
    )
    assert not rows[1, 1, "10 GbE"]["speed_measured"]
    assert result["hours_of_two_cpu_cores"] == pytest.approx(658_800 / 0.5 / 3600)


def test_every_input_says_how_it_is_known() -> None:
    inputs = projection(RATES, MESSAGES)["inputs"]
    assert {one["known"] for one in inputs} == {"measured", "counted", "counted; assumed", "assumed", "as the code is"}
    assumed = " ".join(one["what"] for one in inputs if one["known"] == "assumed")
    assert all(link.name in assumed for link in LINKS)


def test_the_committed_projection_is_of_the_committed_measurements_and_of_todays_networks() -> None:
    committed = json.loads((training_projection.RESULTS / "training-projection.json").read_text())
    made = projection(training_projection.measured_pairs_per_second(), training_projection.message_bytes())
    assert committed == json.loads(json.dumps(made))


def test_a_message_has_four_bytes_a_weight() -> None:
    assert training_projection.message_bytes()["generators"] == 2 * 4 * 11_365_633  # the card's parameters


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(projection(RATES, MESSAGES), tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
