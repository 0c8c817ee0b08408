"""Heads, generators and their model folders, each made once for the session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import phantom
from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_MR_WINDOW, PAPER_SLICES
from mr2ct.head import head_mask
from mr2ct.intensity import mr_limits, to_network
from mr2ct.model import Reference
from mr2ct.model_grid import place, to_model_grid
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_export.calibration import Calibration, calibration_from_volumes
from mr2ct_export.folder import Exported, export
from mr2ct_export.reference import answered, reference_from_volumes
from mr2ct_export.untrained import untrained_checkpoint
from mr2ct_training.checkpoint import Checkpoint, save_checkpoint
from mr2ct_training.generator import Generator, GeneratorConfig, untrained

COARSE = phantom.grid_around((0, 0, 0), (84, 84, 62), (3.0, 3.0, 3.0), phantom.SAGITTAL)
TRAINING = phantom.grid_around((0, 0, 0), (112, 112, 25), (2.3, 2.3, 7.5), phantom.SAGITTAL)
STEPS = 80


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads of PyTorch wait for each other on a busy machine: the tests then take three times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def head_mr() -> Volume:
    """An MR with noise, as scanners make them."""
    return phantom.draw(COARSE, seed=1)[0]


@pytest.fixture(scope="session")
def even_head_mr() -> Volume:
    """An MR without noise: all air is 0, as after defacing or masking."""
    return phantom.draw(COARSE)[0]


@pytest.fixture(scope="session")
def head_file(head_mr: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heads") / "t1.nii.gz"
    write_volume(Volume(np.rint(head_mr.voxels).astype(np.int16), head_mr.grid), path)
    return path


@pytest.fixture(scope="session")
def full_size() -> Checkpoint:
    return untrained_checkpoint(64, seed=0)


@pytest.fixture(scope="session")
def full_size_reference(full_size: Checkpoint, head_mr: Volume) -> Reference:
    return reference_from_volumes([head_mr], PAPER_SLICES, full_size.mr_window, full_size.mr_to_ct, count=2)


@pytest.fixture(scope="session")
def full_size_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full-size") / "model"


@pytest.fixture(scope="session")
def full_size_export(full_size: Checkpoint, full_size_reference: Reference, full_size_folder: Path) -> Exported:
    """The paper's network in a model folder; fp16 was asked for."""
    return export(full_size, full_size_reference, full_size_folder, fp16=True)


@pytest.fixture(scope="session")
def small(head_mr: Volume) -> Checkpoint:
    """Untrained, 8 channels and 1 residual block, with its own reference slices: quick to export."""
    network = untrained(GeneratorConfig(width=8, blocks=1), seed=0).eval()
    return with_reference(replace(untrained_checkpoint(8, seed=0), mr_to_ct=network), head_mr)


@pytest.fixture(scope="session")
def other_head_mr() -> Volume:
    """An MR of somebody else."""
    return phantom.draw(COARSE, phantom.Head(size=(1.05, 0.97, 1.02), person=5), seed=3)[0]


@pytest.fixture(scope="session")
def trained(other_head_mr: Volume) -> Checkpoint:
    """A narrow generator trained for seconds to turn one drawn head into its CT; its reference is another head."""
    checkpoint = Checkpoint(
        mr_to_ct=_trained_generator(),
        mr_window=PAPER_MR_WINDOW,
        training={"state": "trained", "steps": STEPS},
        about={"name": "a-little-trained", "version": "1", "description": "for tests", "data_source": "drawn heads"},
    )
    return with_reference(checkpoint, other_head_mr)


@pytest.fixture(scope="session")
def trained_file(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "brain.pt"
    save_checkpoint(trained, path)
    return path


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained-model") / "model"


@pytest.fixture(scope="session")
def trained_export(trained: Checkpoint, trained_folder: Path) -> Exported:
    assert trained.reference is not None
    mr, head = (part.numpy() for part in trained.reference)
    return export(trained, answered(mr, head, trained.mr_to_ct), trained_folder, fp16=True)


@pytest.fixture(scope="session")
def trained_calibration(trained: Checkpoint, head_mr: Volume) -> Calibration:
    """A few slices of a head that neither trained the generator nor proves it."""
    assert trained.reference is not None
    taken = calibration_from_volumes([head_mr], PAPER_SLICES, trained.mr_window, trained.reference[0].numpy())
    return Calibration(taken.calibrating[::5], taken.held_out[::4], taken.head[::4])


@pytest.fixture(scope="session")
def trained_reference(trained: Checkpoint, other_head_mr: Volume) -> Reference:
    """Five slices, over the whole breadth of a head."""
    return reference_from_volumes([other_head_mr], PAPER_SLICES, trained.mr_window, trained.mr_to_ct, count=5)


@pytest.fixture(scope="session")
def trained_int8_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained-int8-model") / "model"


@pytest.fixture(scope="session")
def trained_int8_export(
    trained: Checkpoint, trained_calibration: Calibration, trained_reference: Reference, trained_int8_folder: Path
) -> Exported:
    return export(trained, trained_reference, trained_int8_folder, fp16=False, int8=trained_calibration)


def with_reference(checkpoint: Checkpoint, mr: Volume) -> Checkpoint:
    taken = reference_from_volumes([mr], PAPER_SLICES, checkpoint.mr_window, checkpoint.mr_to_ct, count=2)
    return replace(checkpoint, reference=(torch.from_numpy(taken.mr), torch.from_numpy(taken.head)))


def _trained_generator() -> Generator:
    """Eight channels, L1, Adam with the paper's betas."""
    mr, ct = phantom.draw(TRAINING, seed=2)
    head = head_mask(mr)
    limits = mr_limits(PAPER_MR_WINDOW, mr.voxels, head)
    grid = place(mr.grid, head, PAPER_SLICES).grid
    inputs = torch.from_numpy(to_network(to_model_grid(mr, grid, outside=limits[0]), limits))
    targets = torch.from_numpy(to_network(to_model_grid(ct, grid, outside=-1000), PAPER_CT_WINDOW_HU))
    network = untrained(GeneratorConfig(width=8), seed=1)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
    order = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        n = torch.randint(20, len(inputs) - 20, (1,), generator=order)  # the outer 20 mm are ears and air
        loss = (network(inputs[n, None]) - targets[n, None]).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return network.eval()
