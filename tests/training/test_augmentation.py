"""Varied slices are still heads: geometry moves both alike, intensity is the MR's alone, air stays air."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mr2ct_training.augmentation import varied


def discs(count: int) -> Tensor:
    """(count, 1, 64, 64): a disc of 0 with an off-centre hole, in air."""
    down, across = torch.meshgrid(*(torch.linspace(-1, 1, 64),) * 2, indexing="ij")
    inside = (down**2 + across**2 < 0.5) & ((down - 0.3) ** 2 + across**2 > 0.02)
    return (inside.float() - 1).expand(count, 1, 64, 64).clone()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 300), step=st.integers(0, 5000))
def test_a_pair_moves_alike_and_air_stays_air(seed: int, epoch: int, step: int) -> None:
    mr, ct = varied((discs(3), discs(3)), seed, (epoch, step), range(3), alike=True)
    assert mr.shape == ct.shape == (3, 1, 64, 64)
    assert mr.dtype == torch.float32
    assert mr.min() >= -1
    assert mr.max() <= 1
    assert torch.all(mr[ct == -1] == -1)
    assert torch.all(ct[mr == -1] < -1 + 1e-4)  # what is air but for a millionth may be air in another contrast
    assert torch.equal(ct <= 0, torch.ones_like(ct, dtype=torch.bool))  # a CT's HU mean something
    assert (mr[:, :, :4] == -1).all()
    assert 0.1 < (ct > -0.5).float().mean() < 0.5


def test_unpaired_slices_move_apart_and_no_two_are_alike() -> None:
    mr, ct = varied((discs(8), discs(8)), 0, (0, 0), range(8), alike=False)
    assert not torch.equal(mr > -1, ct > -1)
    assert len({one.numpy().tobytes() for one in (*mr, *ct)}) == 16


def test_a_slice_is_varied_the_same_however_its_batch_is_spread() -> None:
    mr = discs(4)
    whole = varied((mr, mr), 5, (2, 7), range(4), alike=False)
    apart = [varied((mr[:1], mr[:1]), 5, (2, 7), [place], alike=False) for place in range(4)]
    for modality in (0, 1):
        torch.testing.assert_close(whole[modality], torch.cat([one[modality] for one in apart]), atol=1e-6, rtol=0)
