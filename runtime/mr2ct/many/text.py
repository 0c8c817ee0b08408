"""Text from anywhere as part of a line."""

from __future__ import annotations


def one_line(text: object) -> str:
    """Text without control characters, line separators and bytes that are no text: "?" for each."""
    return "".join(character if character.isprintable() else "?" for character in str(text))
