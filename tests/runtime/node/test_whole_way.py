"""A drawn head goes the whole way, from storescu through reader, gate, engine, writer to storescp; and by mercure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_peers import StoreScp, send, wait_for
from mr2ct.model import Model
from mr2ct.node.mercure import RESULT, make_all
from mr2ct.node.synthesising import warm_engine
from mr_files import ROOT, mr_instance
from phantom import draw, grid_around
from runtime.node.conftest import Start

SERIES = f"{ROOT}.100"
SIZE, MM = 48, 5.0  # voxels a side and their size
GRID = grid_around((0, 0, 0), (SIZE, SIZE, SIZE), (MM, MM, MM))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An axial MR series of a drawn head, values 0 to 2000."""
    mr, _ = draw(GRID)
    voxels = np.clip(mr.voxels / 2, 0, 2000).astype("<u2")
    folder = tmp_path_factory.mktemp("head")
    for k, pixels in enumerate(voxels):
        x, y, z = GRID.points(np.array([0.0, 0.0, float(k)])).tolist()
        mr_instance(
            SERIES, k + 1, Rows=SIZE, Columns=SIZE, PixelSpacing=[MM, MM], SliceThickness=MM,
            ImagePositionPatient=[x, y, z], ImageType=["ORIGINAL", "PRIMARY", "M", "NORM"], PatientPosition="HFS",
            SeriesDescription="T1 MPRAGE", PixelData=pixels.tobytes(),
        ).save_as(folder / f"{SERIES}#{k:03}.dcm", enforce_file_format=True)  # fmt: skip
    return sorted(folder.iterdir())


def check_ct(files: list[Path], head: list[Path]) -> None:
    """One CT slice for each of the MR, of the same patient at the same place; MR - 600 HU in the head, air around."""
    slices = sorted((dcmread(file) for file in files), key=lambda one: one.ImagePositionPatient[2])
    assert len(slices) == SIZE
    assert len({one.SeriesInstanceUID for one in slices}) == 1
    for ct, file in zip(slices, head, strict=True):
        mr = dcmread(file)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert ct[keyword].value == mr[keyword].value
        np.testing.assert_allclose(
            [float(mm) for mm in ct.ImagePositionPatient], [float(mm) for mm in mr.ImagePositionPatient], atol=1e-3
        )
    middle, source = (one.pixel_array.astype(int) for one in (slices[SIZE // 2], dcmread(head[SIZE // 2])))
    hu = middle * int(slices[0].RescaleSlope) + int(slices[0].RescaleIntercept)
    assert hu[0, 0] == -1000
    inside = source > 100
    assert inside.sum() > 200
    assert np.median(np.abs(hu[inside] - (source[inside] - 600))) < 100  # interpolated twice


def test_over_the_network(
    identity_model: Model, head: list[Path], start: Start, pacs: StoreScp, tmp_path: Path
) -> None:
    with warm_engine(identity_model.folder, device="cpu") as synthesise:
        node = start(pacs.port, synthesise)
        assert send(node.receiver.port, head).returncode == 0
        wait_for(lambda: len(pacs.files) == SIZE)
        wait_for(lambda: list((tmp_path / "spool" / "done").iterdir()))
    check_ct(pacs.files, head)


def test_what_the_reader_refuses_is_told_by_uid(
    identity_model: Model, head: list[Path], start: Start, pacs: StoreScp, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with warm_engine(identity_model.folder, device="cpu") as synthesise:
        node = start(pacs.port, synthesise)
        assert send(node.receiver.port, head[:20] + head[21:]).returncode == 0
        wait_for(lambda: list((tmp_path / "spool" / "refused").iterdir()))
        wait_for(lambda: f"series {SERIES}: refused: series {SERIES}: slice 21 is missing" in caplog.text)
        assert "Muster" not in caplog.text
        assert send(node.receiver.port, [head[20]]).returncode == 0
        wait_for(lambda: list((tmp_path / "spool" / "done").iterdir()))
    check_ct(pacs.files, head)


def test_through_mercure(identity_model: Model, head: list[Path], tmp_path: Path) -> None:
    with warm_engine(identity_model.folder, device="cpu") as synthesise:
        make_all(head[0].parent, tmp_path, synthesise)
    (one,) = json.loads((tmp_path / RESULT).read_text())["series"]
    assert (one["mr"], one["instances"]) == (SERIES, SIZE)
    check_ct(list(tmp_path.glob(f"{one['ct']}#*.dcm")), head)
