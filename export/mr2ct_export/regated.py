"""A model folder with another gate: nothing else of it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mr2ct.card import Card, FixedWindow
from mr2ct.gate.limiting import limits_of
from mr2ct.model import CARD, open_model
from mr2ct_export.folder import folder_or_nothing
from mr2ct_export.gate import measured_mrs


def with_gate(folder: Path, mrs: Sequence[Path], out: Path, *, overwrite: bool) -> Card:
    """Write a copy of a model folder whose limits are those of some MRs; out may be the folder itself.

    Graphs, reference slices and every other field of the card stay as they are, byte for byte. Raises ModelError when
    the folder is not as its card says, VolumeError when an MR cannot be used, OutputError when out cannot be written.
    """
    model = open_model(folder)
    limits = limits_of(measured_mrs(mrs), fixed_units=isinstance(model.card.mr_window, FixedWindow))
    card = replace(model.card, gate=limits)
    with folder_or_nothing(out, overwrite=overwrite) as new:
        for name in card.files:
            (new / name).write_bytes(model.read(name))
        (new / CARD).write_text(card.to_json(), encoding="utf-8")
    return card
