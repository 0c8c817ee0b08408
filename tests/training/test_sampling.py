"""What a step sees follows from the seed and the position alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn_dataset import draw_dataset
from mr2ct_training.config import TrainConfig
from mr2ct_training.dataset import MANIFEST, Dataset, DatasetError, Manifest, Slices, from_bytes
from mr2ct_training.pool import ImagePool
from mr2ct_training.sampling import AnchorSampler, PairedSampler, UnpairedSampler, aligned_pairs, without_pairs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=6)


def unpaired(data: Dataset, **settings: int) -> UnpairedSampler:
    return UnpairedSampler(
        TrainConfig(**{"pad": 36, **settings}), data.slices("mr", "train"), data.slices("ct", "train")
    )


def test_an_epoch_shows_every_slice_of_the_larger_modality_once(data: Dataset) -> None:
    sampler = unpaired(data, pad=0)
    seen = sorted(sampler.batch(0, step, [0])[0].numpy().tobytes() for step in range(sampler.steps))
    mr = data.slices("mr", "train")
    assert sampler.steps == len(mr) == 12
    everything = torch.cat([sampler.batch(0, step, [0])[0] for step in range(12)])
    assert everything.shape == (12, 1, 32, 32)
    assert len(set(seen)) == 12
    assert [sampler.batch(1, s, [0])[0].numpy().tobytes() for s in range(12)] != [
        sampler.batch(0, s, [0])[0].numpy().tobytes() for s in range(12)
    ]


@settings(max_examples=25, deadline=None)
@given(epoch=st.integers(0, 300), step=st.integers(0, 5), batch=st.sampled_from([1, 2, 4]))
def test_a_batch_is_the_same_however_it_is_spread_and_whenever_it_is_asked_for(
    data: Dataset, epoch: int, step: int, batch: int
) -> None:
    sampler = unpaired(data, batch=batch)
    whole = sampler.batch(epoch, step, range(batch))
    apart = [sampler.batch(epoch, step, [place]) for place in range(batch)]
    for modality in (0, 1):
        assert torch.equal(whole[modality], torch.cat([one[modality] for one in apart]))


def test_mr_and_ct_are_cropped_apart_when_unpaired_and_alike_when_paired(data: Dataset) -> None:
    config = TrainConfig(pad=40)
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    sampler = PairedSampler(config, mr, ct)
    assert sampler.steps == 12
    for step in range(12):
        one, other = (image[0, 0].numpy() > -0.99 for image in sampler.batch(0, step, [0]))
        both = (one & other).sum() / max(1, min(one.sum(), other.sum()))
        assert both > 0.7  # the head lies on itself


def test_padding_is_air_and_cropping_only_moves() -> None:
    from mr2ct_training.sampling import CROP, _cropped, stream

    image = np.arange(1, 1 + 32 * 32, dtype=np.uint16).reshape(32, 32).astype(np.uint8) | 1
    places = set()
    for step in range(60):
        (cut,) = _cropped([image], 36, stream(0, CROP, 0, step, 0))
        assert cut.shape == (32, 32)
        row, column = np.argwhere(cut)[0]
        places.add((int(row), int(column), int((cut == 0).sum())))
    assert len(places) > 10
    (same,) = _cropped([image], 0, stream(0, CROP, 0, 0, 0))
    assert np.array_equal(same, image)


def test_pairs_that_are_not_aligned_are_no_pairs(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path, slices=4, aligned=False)
    with pytest.raises(DatasetError, match="aligned"):
        PairedSampler(TrainConfig(), data.slices("mr", "train"), data.slices("ct", "train"))


def test_the_pool_gives_half_of_the_time_an_earlier_slice() -> None:
    pool, random = ImagePool(5), np.random.default_rng(0)
    given = [torch.full((1, 2, 2), float(number)) for number in range(2000)]
    back = [pool.swap(one, random)[0, 0, 0].item() for one in given]
    assert back[:5] == [0, 1, 2, 3, 4]
    earlier = [b < n for n, b in enumerate(back)][5:]
    assert 0.45 < np.mean(earlier) < 0.55
    swapped_out = [b for n, b in enumerate(back) if n >= 5 and b < n]
    assert len(swapped_out) == len(set(swapped_out))  # what left the pool is not there any more


def test_a_pool_of_none_keeps_nothing() -> None:
    pool = ImagePool(0)
    one = torch.zeros(1, 2, 2)
    assert pool.swap(one, np.random.default_rng(0)) is one


def test_an_anchor_shows_aligned_pairs_and_the_rest_are_the_unpaired(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path, slices=6, patients=4)
    lone = Manifest.from_json((tmp_path / MANIFEST).read_text(), "manifest")
    entries = [replace(e, registration=None) if (e.patient, e.modality) == ("p1", "ct") else e for e in lone.entries]
    (tmp_path / MANIFEST).write_text(replace(lone, entries=tuple(entries)).to_json())
    data = Dataset(tmp_path)
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    assert [[e.patient for e in slices.entries] for slices in without_pairs(mr, ct)] == [["p1"], ["p1"]]
    anchors = AnchorSampler(TrainConfig(anchor_weight=1, pad=0), mr, ct)
    pairs = {(m.tobytes(), c.tobytes()) for m, c in (_bytes(mr, ct, pair) for pair in aligned_pairs(mr, ct))}
    shown = [anchors.batch(0, step, [0, 1]) for step in range(20)]
    seen = {(m.numpy().tobytes(), c.numpy().tobytes()) for mrs, cts in shown for m, c in zip(mrs, cts, strict=True)}
    assert seen <= pairs
    assert len(seen) > 6


def test_a_patient_whose_slices_are_no_pairs_is_one_of_the_unpaired(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path, slices=6, patients=4)
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    fewer = replace(ct.entries[1], slices=5), ct.pixels[1][:5], ct.heads[1][:5]  # of p1, one is missing
    entries, pixels, heads = ((*all_[:1], one, *all_[2:]) for all_, one in zip(vars(ct).values(), fewer, strict=True))
    ct = Slices(entries, pixels, heads)
    assert [[e.patient for e in slices.entries] for slices in without_pairs(mr, ct)] == [["p1"], ["p1"]]


def test_where_every_patient_is_a_pair_all_are_unpaired_too(data: Dataset) -> None:
    mr, ct = data.slices("mr", "train"), data.slices("ct", "train")
    assert [len(slices) for slices in without_pairs(mr, ct)] == [len(mr), len(ct)]


def _bytes(mr: Slices, ct: Slices, pair: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return from_bytes(mr[pair[0]]), from_bytes(ct[pair[1]])
