"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mr2ct.model import UNTRAINED, Model
from small_models import write_model

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # tests that import openvino report nothing either

HEADS = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainings and the cluster first: a file runs on one core, and at the end none should wait for the longest."""
    items.sort(key=lambda item: "training" not in item.path.parts and item.path.name != "test_on_ray.py")


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Engines and certificates of the tests go to a folder of theirs, not to the user's."""
    os.environ["MR2CT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["MR2CT_MODEL"] = UNTRAINED  # small; what comes with mr2ct for real takes seconds a volume and more


@pytest.fixture(scope="session")
def heads() -> Path:
    """The folder of real heads: mr/*.nii.gz and ct/*.nii.gz."""
    if not HEADS.is_dir():
        pytest.skip(f"no real heads at {HEADS}: put T1 MRs into mr/ and CTs into ct/ there, as .nii.gz")
    return HEADS


@pytest.fixture(scope="session")
def identity_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """HU = MR - 600, for MR from 0 to 2000."""
    return write_model(tmp_path_factory.mktemp("identity"))
