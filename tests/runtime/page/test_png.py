"""A PNG that other readers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mr2ct.page.png import png_bytes


@pytest.mark.parametrize("shape", [(1, 1), (40, 71), (3, 500)])
def test_a_png_comes_back(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(png_bytes(picture))
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png"), imageIO="PNGImageIO"))
    np.testing.assert_array_equal(back, picture)
