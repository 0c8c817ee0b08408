"""A thinned data set is one to train on, and its pairs are still pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drawn_dataset import draw_dataset
from mr2ct_training.dataset import Dataset, DatasetError
from mr2ct_training.sampling import aligned_pairs
from thin_dataset import thin


def test_pairs_are_thinned_alike_and_the_rest_is_left(tmp_path: Path) -> None:
    whole = draw_dataset(tmp_path / "whole", slices=10)
    assert thin(tmp_path / "whole", tmp_path / "thin", 5, 2) == {"slices": 60, "kept": 4 * 2 + 2 * 5}
    thinned = Dataset(tmp_path / "thin")
    mr, ct = thinned.slices("mr", "train"), thinned.slices("ct", "train")
    assert len(aligned_pairs(mr, ct)) == len(mr) == 4
    of_whole = whole.slices("mr", "train")
    assert np.array_equal(mr[1], of_whole[7])
    assert np.array_equal(mr.head(2), of_whole.head(12))


def test_a_patient_is_kept_whole_and_has_to_be_there(tmp_path: Path) -> None:
    whole = draw_dataset(tmp_path / "whole", slices=10)
    patient = whole.slices("mr", "train").entries[0].patient
    assert thin(tmp_path / "whole", tmp_path / "thin", 5, 2, [patient])["kept"] == 2 * 10 + 2 * 2 + 2 * 5
    assert [entry.slices for entry in Dataset(tmp_path / "thin").slices("mr", "train").entries] == [10, 2]
    with pytest.raises(DatasetError, match="no patient nobody"):
        thin(tmp_path / "whole", tmp_path / "none", 5, 2, ["nobody"])


def test_nothing_is_thinned_without_a_pair(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "whole", slices=10, aligned=False)
    assert thin(tmp_path / "whole", tmp_path / "thin", 5, 1) == {"slices": 60, "kept": 60}


def test_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data set there"):
        thin(tmp_path, tmp_path / "thin", 5, 2)
