"""Validation: figures of translations whose errors are known, and the pictures that go with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

from drawn_dataset import draw_dataset
from mr2ct_training.config import TrainConfig
from mr2ct_training.cyclegan import CycleGAN
from mr2ct_training.dataset import Dataset, from_bytes
from mr2ct_training.paired import Paired
from mr2ct_training.validation import Validation

SMALL = TrainConfig(width=4, blocks=1, discriminator_width=4)
CPU = torch.device("cpu")


class Known(CycleGAN):
    """Makes 140 HU, which is -0.26, of everything; its cycled MR is the MR, brighter by 5 % of the window."""

    def translate(self, mr: Tensor) -> tuple[Tensor, Tensor | None]:
        return torch.full_like(mr, -0.26), mr + 0.1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn"), slices=6)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_the_figures_of_a_constant_ct_are_those_counted_by_hand(data: Dataset, fabric: Fabric) -> None:
    ct = data.slices("ct", "validation")
    hu = np.stack([from_bytes(ct[k]) for k in range(len(ct))]) * 1000 + 400
    head = np.stack([ct.head(k) for k in range(len(ct))])
    error = (hu - 140)[head]
    measured = Validation(data).measure(Known(SMALL, CPU, range(1)), fabric)
    assert measured.mae_hu == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert measured.psnr_db == pytest.approx(20 * np.log10(4095 / np.sqrt((error**2).mean())), rel=1e-4)
    assert measured.cycle_error == pytest.approx(0.05, rel=1e-3)
    assert measured.score == measured.mae_hu


def test_without_a_reference_ct_only_the_cycle_is_measured(tmp_path: Path, fabric: Fabric) -> None:
    unpaired = draw_dataset(tmp_path, slices=6, aligned=False)
    measured = Validation(unpaired).measure(Known(SMALL, CPU, range(1)), fabric)
    assert (measured.mae_hu, measured.psnr_db) == (None, None)
    assert measured.score == measured.cycle_error == pytest.approx(0.05, rel=1e-3)


def test_the_pictures_show_the_way_there_and_the_way_back(data: Dataset, fabric: Fabric) -> None:
    pictures = Validation(data).panels(CycleGAN(SMALL, CPU, range(1)), fabric)
    assert list(pictures) == ["MR, synthetic CT, cycled MR, difference", "CT, synthetic MR, cycled CT, difference"]
    there, back = pictures.values()
    assert there.shape == (3 * 32, 5 * 32)  # the CT stands last, where there is one
    assert back.shape == (3 * 32, 4 * 32)
    mr, ct = data.slices("mr", "validation"), data.slices("ct", "validation")
    assert any(np.array_equal(there[:32, :32], mr[k]) for k in range(len(mr)))
    assert any(np.array_equal(back[:32, :32], ct[k]) for k in range(len(ct)))


def test_a_scheme_without_a_way_back_shows_none(data: Dataset, fabric: Fabric) -> None:
    pictures = Validation(data).panels(Paired(SMALL, CPU, range(1)), fabric)
    assert [picture.shape for picture in pictures.values()] == [(3 * 32, 3 * 32)]
