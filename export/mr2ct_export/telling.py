"""What mr2ct-export tells of the card it wrote."""

from __future__ import annotations

import click

from mr2ct.card import Card
from mr2ct.cycle_card import CycleFacts


def tell_cycle(facts: CycleFacts, card: Card) -> None:
    """Print what proves ct_to_mr, a line each, and what the cycle check will warn at."""
    for c in facts.certificates:
        click.echo(
            f"  {c.file}  {card.files[c.file].bytes / 1e6:.1f} MB  against PyTorch fp32 over {c.voxels:,} head voxels "
            f"of {c.slices} slices: mean {c.mean_percent:.2g}, max {c.max_percent:.2g} % of the MR window"
        )
    click.echo(
        f"  cycle check: {facts.mean_percent:.1f} +- {facts.sd_percent:.1f} % of the MR range over {facts.slices} "
        f"slices; it will warn above {facts.limit_percent:.1f} %"
    )


def gate_line(card: Card) -> str:
    """What the gate was taken from, or how to get one."""
    if card.gate is None:
        return "  no gate: the training set was not measured; --gate MR.nii.gz gives limits"
    return f"  gate: {card.gate.rule}"
