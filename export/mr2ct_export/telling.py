"""What mr2ct-export tells of the card it wrote."""

from __future__ import annotations

from pathlib import Path

import click

from mr2ct.card import Card
from mr2ct.cycle_card import CycleFacts


def tell_model(card: Card, out: Path) -> None:
    """Print what was written to a model folder."""
    click.echo(f"{card.name}: {card.generator['parameters']:,} parameters; {card.description}")
    for c in card.certificates:
        megabytes = card.files[c.file].bytes / 1e6
        click.echo(
            f"  {c.file}  {megabytes:.1f} MB  against PyTorch fp32 over {c.voxels:,} head voxels of {c.slices} slices: "
            f"mean {c.mean_hu:.2g}, p99.9 {c.p99_9_hu:.2g}, max {c.max_hu:.2g} HU"
        )
    if card.quantisation is not None:
        q = card.quantisation
        click.echo(f"  in int8: {len(q.int8)} of the {len(q.alone)} convolutions that could be, by {q.engine}")
    if card.cycle is not None:
        tell_cycle(card.cycle, card)
    if card.trained or card.gate is not None:
        click.echo(gate_line(card))
    click.echo(f"model folder: {out}")


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
