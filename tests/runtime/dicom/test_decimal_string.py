"""Decimal strings: 16 characters, no exponent, as near as they can be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.dicom.decimal_string import decimal_string
from runtime.volumes import quick


@quick
@given(st.floats(-99_999.0, 99_999.0))
def test_any_coordinate_fits_without_an_exponent_and_within_a_nanometre(number: float) -> None:
    text = decimal_string(number)
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text), text
    assert len(text) <= 16
    assert abs(float(text) - number) < 1e-6
    if abs(number) < 1000:
        assert abs(float(text) - number) < 1e-10


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (6.1e-17, "0"),
        (-6.1e-17, "0"),
        (1.0, "1"),
        (-1024.0, "-1024"),
        (1 / 3, "0.33333333333333"),
        (-1 / 3, "-0.3333333333333"),
        (99.99999999999999, "100"),
        (9.9999999999999999, "10"),
        (-123456.7890121, "-123456.7890121"),
        (1e15, "1000000000000000"),
    ],
)
def test_what_a_number_becomes(number: float, text: str) -> None:
    assert decimal_string(number) == text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 1e17, -1e15])
def test_what_16_characters_cannot_hold_is_an_error(number: float) -> None:
    with pytest.raises(ValueError, match="decimal"):
        decimal_string(number)
