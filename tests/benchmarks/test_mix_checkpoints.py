"""Between two checkpoints lies a third, and nothing is mixed that does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mix_checkpoints import mix
from mr2ct.card import PAPER_MR_WINDOW, FixedWindow
from mr2ct_training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained


def test_weights_are_in_between_and_the_facts_tell_so(tmp_path: Path) -> None:
    first, second, out = (tmp_path / name for name in ("first.ckpt", "second.ckpt", "out.ckpt"))
    size = GeneratorConfig(2, 1)
    save_checkpoint(Checkpoint(untrained(size, seed=1), PAPER_MR_WINDOW), first)
    save_checkpoint(Checkpoint(untrained(size, seed=2), PAPER_MR_WINDOW, training={"state": "trained"}), second)
    mix(first, second, out, 0.25)
    one, other, mixed = (load_checkpoint(path) for path in (first, second, out))
    for name, weight in mixed.mr_to_ct.state_dict().items():
        a, b = one.mr_to_ct.state_dict()[name], other.mr_to_ct.state_dict()[name]
        torch.testing.assert_close(weight, 0.75 * a + 0.25 * b)
    assert mixed.training["state"] == "trained"
    assert mixed.training["mixed"]["of_second"] == 0.25


@pytest.mark.parametrize("what", ["another window", "another size"])
def test_what_does_not_fit_is_not_mixed(what: str, tmp_path: Path) -> None:
    first = Checkpoint(untrained(GeneratorConfig(2, 1)), PAPER_MR_WINDOW)
    if what == "another window":
        second = replace(first, mr_window=FixedWindow(0, 10))
    else:
        second = replace(first, mr_to_ct=untrained(GeneratorConfig(2, 2)))
    for name, checkpoint in (("first", first), ("second", second)):
        save_checkpoint(checkpoint, tmp_path / name)
    with pytest.raises(CheckpointError, match="second: "):
        mix(tmp_path / "first", tmp_path / "second", tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()
