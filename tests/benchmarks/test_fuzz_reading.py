"""The fuzz script finds what is wrong, and says the same of the same seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

import fuzz_reading
from fuzz_files import Seed, damaged, seeds
from fuzz_reading import Reader, fuzz, unsound
from mr2ct.grid import Grid
from mr2ct.volume import Volume

GRID = Grid((2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    """Small sound files of every kind."""
    return seeds(tmp_path_factory.mktemp("sound"))[0]


def test_sound_files_are_read_and_damaged_ones_are_counted(sound: list[Seed], tmp_path: Path) -> None:
    reader = Reader()
    for number, one in enumerate(sound):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in one.files.items():
            (folder / name).write_bytes(content)
        assert reader.read(folder if one.is_dicom else folder / one.victim) == ("volume", ""), one.kind
    reader.close()
    result = fuzz(sound, 2 * len(sound), 5, tmp_path / "damaged", None)
    assert result["failures"] == []
    assert result["volumes"] + result["refused"] == 2 * len(sound)
    assert set(result["by_kind"]) == {one.kind for one in sound}


def test_the_same_seed_is_the_same_damage(sound: list[Seed]) -> None:
    one = sound[0]
    assert damaged(one, sound, Random(3)) == damaged(one, sound, Random(3)) != damaged(one, sound, Random(4))


def test_a_process_that_hangs_or_ends_is_a_failure_and_another_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz_reading, "LIMIT_S", 0.3)
    reader = Reader()
    assert reader.process.stdin is not None
    first = reader.process
    first.kill()
    first.wait()
    assert reader.read(tmp_path)[0] == "failure"
    reader.close()
    reader.process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.read(tmp_path) == ("failure", "no answer within 0.3 s")
    monkeypatch.setattr(fuzz_reading, "LIMIT_S", 20.0)
    assert reader.read(tmp_path)[0] == "refused"
    reader.close()


def test_volumes_that_are_none_are_told() -> None:
    assert unsound(Volume(np.zeros((2, 2, 2), np.float32), GRID)) == ""
    assert "finite" in unsound(Volume(np.full((2, 2, 2), np.nan, np.float32), GRID))
    assert "grid" in unsound(Volume(np.zeros((2, 2, 2)), Grid(GRID.size, (0, 1, 1), GRID.origin, GRID.direction)))
    skewed = Grid(GRID.size, GRID.spacing, GRID.origin, (1, 0.1, 0, 0, 1, 0, 0, 0, 1))
    assert "right angles" in unsound(Volume(np.zeros((2, 2, 2)), skewed))
