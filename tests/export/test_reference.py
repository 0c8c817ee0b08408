"""Reference slices are what the runtime will feed an engine, and PyTorch's answers to them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

import phantom
from mr2ct import synthesize
from mr2ct.card import PAPER_MR_WINDOW, PAPER_SLICES, MrWindow, PercentileWindow
from mr2ct.choosing import Choice
from mr2ct.errors import VolumeError
from mr2ct.model import Model, Reference
from mr2ct.volume import Volume
from mr2ct_export.reference import LEAST_HEAD, SLICES, answered, packed, reference_from_volumes
from mr2ct_training.generator import GeneratorConfig, untrained
from small_models import write_model


class Recorder:
    """A backend that keeps what it was given."""

    description, batch = "a recorder", 32

    def __init__(self) -> None:
        self.given: list[NDArray[np.float32]] = []

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answers a batch with itself."""
        self.given.append(batch.copy())
        return batch.copy()


@pytest.fixture(scope="module")
def six(head_mr: Volume) -> Reference:
    return reference_of(head_mr)


def reference_of(*volumes: Volume, window: MrWindow = PAPER_MR_WINDOW, count: int = SLICES) -> Reference:
    return reference_from_volumes(volumes, PAPER_SLICES, window, nn.Identity(), count)


@pytest.mark.parametrize("window", [PAPER_MR_WINDOW, PercentileWindow(0.5, 99.5)])
def test_reference_slices_are_what_the_runtime_gives_its_engine(
    window: MrWindow, head_mr: Volume, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model: Model = write_model(tmp_path_factory.mktemp("identity") / "model", mr_window=window)
    recorder = Recorder()
    synthesize(head_mr, model, Choice(recorder, "", "fp32", "", None))
    given = np.concatenate(recorder.given)
    taken = reference_of(head_mr, window=window).mr
    # the same but for the order of sums: with air left out matrices have other shapes, which some processors round by
    off = [np.abs(given - one).max(axis=(1, 2, 3)).min() for one in taken]
    assert len(off) == SLICES
    assert max(off) < 1e-6


def test_reference_slices_hold_head_and_air_in_the_network_s_range(six: Reference) -> None:
    reference = six
    assert reference.mr.shape == (SLICES, 1, PAPER_SLICES.rows, PAPER_SLICES.columns)
    assert reference.head.shape == (SLICES, PAPER_SLICES.rows, PAPER_SLICES.columns)
    assert reference.mr.dtype == np.float32
    assert reference.head.dtype == np.bool_
    assert reference.mr.min() >= -1
    assert reference.mr.max() <= 1
    shares = reference.head.mean(axis=(1, 2))
    assert (shares >= LEAST_HEAD).all()
    assert (shares < 0.9).all()
    inside, outside = reference.mr[:, 0][reference.head], reference.mr[:, 0][~reference.head]
    assert inside.mean() > outside.mean() + 0.3


def test_slices_are_shared_out_evenly_between_the_mrs(head_mr: Volume, even_head_mr: Volume) -> None:
    both = reference_of(head_mr, even_head_mr, count=5)
    alone = [reference_of(head_mr, count=3), reference_of(even_head_mr, count=2)]
    np.testing.assert_array_equal(both.mr, np.concatenate([part.mr for part in alone]))
    np.testing.assert_array_equal(both.head, np.concatenate([part.head for part in alone]))


def test_slices_come_from_over_the_whole_breadth_of_the_head(six: Reference) -> None:
    areas = six.head.sum(axis=(1, 2))
    assert areas.argmax() in (2, 3)  # the middle of a head is its largest slice
    assert areas[[0, -1]].max() < 0.7 * areas.max()


def test_a_ct_is_refused() -> None:
    ct = phantom.draw(phantom.grid_around((0, 0, 0), (50, 50, 40), (5, 5, 5)))[1]
    with pytest.raises(VolumeError, match="this is a CT"):
        reference_of(ct)


def test_an_mr_of_something_much_smaller_than_a_head_is_refused() -> None:
    grid = phantom.grid_around((0, 0, 0), (40, 40, 40), (2, 2, 2))
    mouse = phantom.draw(grid, phantom.Head(size=(0.3, 0.3, 0.3), asymmetry_mm=0, marker_mm=0))[0]
    with pytest.raises(VolumeError, match="too little head"):
        reference_of(mouse)


def test_an_answer_does_not_depend_on_the_slices_beside_it(six: Reference) -> None:
    network = untrained(GeneratorConfig(width=4))
    both = answered(six.mr[:2], six.head[:2], network.train()).synthetic_ct
    one = answered(six.mr[1:2], six.head[1:2], network).synthetic_ct
    np.testing.assert_array_equal(both[1:], one)
    assert both.dtype == np.float32


def test_packed_slices_are_the_same_bytes_for_the_same_mr_and_unpack_to_them(six: Reference, head_mr: Volume) -> None:
    content = packed(six)
    assert packed(reference_of(head_mr)) == content
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["mr"], six.mr)
        np.testing.assert_array_equal(arrays["synthetic_ct"], six.synthetic_ct)
        np.testing.assert_array_equal(arrays["head"], six.head)


def test_six_slices_of_a_head_stay_under_three_megabytes(six: Reference) -> None:
    assert len(packed(six)) < 3e6
