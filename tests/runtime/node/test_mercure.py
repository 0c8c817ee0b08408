"""A folder from mercure goes in, a folder for it comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from mr2ct.errors import RefusedError, VolumeError
from mr2ct.node.mercure import RESULT, make_all
from mr_files import ROOT, write_mr
from standing_in import every_file_becomes_ct

SERIES = f"{ROOT}.100"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def handed_over(folder: Path, series: str, **attributes: object) -> None:
    """Files as mercure names them, with what else it puts there."""
    for file in write_mr(folder.parent / "files", series, **attributes):
        file.rename(folder / f"{series}#{attributes.get('PatientID', '')}{file.name}")
    (folder / "task.json").write_text("{}")
    (folder / f"{series}.tags").write_text("{}")


def test_a_study_of_two_patients_and_a_ct_becomes_two_cts(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    handed_over(folder, SERIES)
    handed_over(folder, SERIES, PatientID="PID-4712")
    handed_over(folder, f"{ROOT}.101", SOPClassUID=CTImageStorage)
    make_all(folder, out, every_file_becomes_ct)
    patients: dict[str, set[str]] = {}
    for file in out.glob("*.dcm"):
        header = dcmread(file)
        assert file.name == f"{header.SeriesInstanceUID}#{header.SOPInstanceUID}.dcm"
        patients.setdefault(header.SeriesInstanceUID, set()).add(header.PatientID)
    assert sorted(map(tuple, patients.values())) == [("PID-4711",), ("PID-4712",)]
    told = json.loads((out / RESULT).read_text())["series"]
    assert [one["mr"] for one in told] == [SERIES, SERIES]
    assert {one["ct"] for one in told} == set(patients)
    assert [one["instances"] for one in told] == [3, 3]


def test_a_series_that_is_refused_does_not_stop_the_others(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    handed_over(folder, SERIES, SeriesDescription="REFUSE")
    handed_over(folder, f"{ROOT}.101")
    make_all(folder, out, every_file_becomes_ct)
    told = {one["mr"]: one for one in json.loads((out / RESULT).read_text())["series"]}
    assert "refused, [patient]^[patient] has contrast" in told[SERIES]["refused"]
    assert told[f"{ROOT}.101"]["instances"] == 3


def test_where_no_ct_was_made_the_reason_is_the_error(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(VolumeError, match="no MR series in it"):
        make_all(folder, out, every_file_becomes_ct)
    handed_over(folder, SERIES, SeriesDescription="REFUSE")
    with pytest.raises(RefusedError, match=r"refused, \[patient\]"):
        make_all(folder, out, every_file_becomes_ct)
    assert list(out.glob("*.dcm")) == []
