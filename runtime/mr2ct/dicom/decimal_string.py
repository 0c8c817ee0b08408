"""Numbers as DICOM's decimal strings."""

from __future__ import annotations

LONGEST = 16  # characters of a value of DS; PS3.5, table 6.2-1


def decimal_string(number: float) -> str:
    """A number in fixed notation, with as many decimals as 16 characters hold: 1e-10 mm and finer within 1000 mm.

    Never with an exponent, which DS allows and some readers do not: a cosine of 6e-17 is "0".
    Raises ValueError for what 16 characters cannot hold.
    """
    for decimals in range(LONGEST - 2, -1, -1):
        text = f"{number:.{decimals}f}"
        if len(text) <= LONGEST:
            break
    else:
        raise ValueError(f"{number} does not fit into the {LONGEST} characters of a decimal string")
    if not any(digit.isdigit() for digit in text):
        raise ValueError(f"{number} is no decimal number")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
