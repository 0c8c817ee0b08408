"""The folder of a CT appears whole or not at all, and what mr2ct did not write is never touched."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicom_drawn import OUTSIDE, PROVENANCE, draw_mr_series, read_ct, some_ct
from mr2ct.dicom.ct_folder import check_folder, whole_folder
from mr2ct.dicom.ct_series import write_ct_series
from mr2ct.dicom.series import MrSeries
from mr2ct.errors import OutputError

PATIENCE_S = 60


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> MrSeries:
    """A sagittal MR; its CT has 5 slices."""
    return draw_mr_series(tmp_path_factory.mktemp("drawn") / "mr")


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files and empty folders too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def refused(folder: Path, *, overwrite: bool = False) -> str:
    """What is said of a place that must not be written to, before work and at its end: one line that names it."""
    messages = set()
    before = contents(folder.parent)
    for attempt in (lambda: check_folder(folder, overwrite=overwrite), lambda: _write_into(folder, overwrite)):
        with pytest.raises(OutputError) as caught:
            attempt()
        messages.add(str(caught.value))
    (message,) = messages
    assert message.splitlines() == [message]
    assert str(folder) in message
    assert contents(folder.parent) == before
    return message


def _write_into(folder: Path, overwrite: bool) -> None:
    with whole_folder(folder, overwrite=overwrite) as partial:
        (partial / "a").write_bytes(b"a")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing on fails with EFBIG in here, as it fails with ENOSPC on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_new_folder_appears_with_the_rights_that_any_new_folder_has(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").write_bytes(b"")
    assert sorted(contents(tmp_path / "ct")) == [f"IM000{n}.dcm" for n in range(1, 6)]
    for mine, any_ in (("ct", "plain"), ("ct/IM0001.dcm", "plain/file")):
        assert stat.S_IMODE((tmp_path / mine).stat().st_mode) == stat.S_IMODE((tmp_path / any_).stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "plain"]


def test_an_empty_folder_is_filled_and_stays_the_folder_it_was(tmp_path: Path, series: MrSeries) -> None:
    target = tmp_path / "out"
    target.mkdir(mode=0o750)
    before = target.stat()
    write_ct_series(some_ct(), series, PROVENANCE, target)
    assert (target.stat().st_ino, target.stat().st_mode) == (before.st_ino, before.st_mode)
    assert sorted(contents(tmp_path)) == ["out", *(f"out/IM000{n}.dcm" for n in range(1, 6))]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path, series: MrSeries) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for overwrite in (False, True):
        write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "link", overwrite=overwrite)
        assert (tmp_path / "link").is_symlink()
        assert len(contents(tmp_path / "there")) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "there"]


def test_overwrite_replaces_a_ct_of_mr2ct_whole(tmp_path: Path, series: MrSeries) -> None:
    larger = draw_mr_series(tmp_path / "mr", series.volume.grid.slab(range(2)))
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    (tmp_path / "ct" / "IM0006.dcm").write_bytes((tmp_path / "ct" / "IM0001.dcm").read_bytes())
    write_ct_series(some_ct(larger.volume.grid), larger, OUTSIDE, tmp_path / "ct", overwrite=True)
    assert sorted(contents(tmp_path / "ct")) == [f"IM000{n}.dcm" for n in range(1, 6)]
    assert {one.SeriesDescription[:7] for one in read_ct(tmp_path / "ct")} == {"OUTSIDE"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "mr"]


def test_two_runs_into_one_new_folder_leave_the_first(tmp_path: Path, series: MrSeries) -> None:
    with pytest.raises(OutputError, match="not written"), whole_folder(tmp_path / "ct", overwrite=False) as partial:
        (partial / "IM0001.dcm").write_bytes(b"second")
        write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    assert len(read_ct(tmp_path / "ct")) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["ct"]


def test_what_cannot_be_put_back_is_kept_and_told(
    tmp_path: Path, series: MrSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    before, rename = contents(tmp_path / "ct"), os.rename

    def taken(source: Path, target: Path) -> None:
        rename(source, target)
        if source == tmp_path / "ct":  # gone aside, and at once another program writes there
            source.mkdir()
            (source / "notes.txt").write_bytes(b"late")

    monkeypatch.setattr("mr2ct.dicom.ct_folder.os.rename", taken)
    with pytest.raises(OutputError, match=r"not written, and what was there is in .*/old now: Directory not empty"):
        write_ct_series(some_ct(), series, OUTSIDE, tmp_path / "ct", overwrite=True)
    assert contents(tmp_path / "ct") == {"notes.txt": b"late"}
    (old,) = tmp_path.glob(".ct.*.partial/old")
    assert contents(old) == before


def test_without_overwrite_a_ct_stays(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    assert "--overwrite replaces a CT that mr2ct wrote" in refused(tmp_path / "ct")


def _put_file(folder: Path) -> str:
    (folder / "notes.txt").write_bytes(b"of the patient")
    return "notes.txt"


def _put_folder(folder: Path) -> str:
    (folder / "scans").mkdir()
    return "scans"


def _put_link(folder: Path) -> str:
    (folder / "link.dcm").symlink_to("IM0001.dcm")
    return "link.dcm"


def _put_empty_file(folder: Path) -> str:
    (folder / "IM9999.dcm").write_bytes(b"")
    return "IM9999.dcm"


def _put_cut_file(folder: Path) -> str:
    (folder / "IM9999.dcm").write_bytes((folder / "IM0001.dcm").read_bytes()[:150])
    return "IM9999.dcm"


def _put_foreign_dicom(folder: Path) -> str:
    ours = (folder / "IM0001.dcm").read_bytes()
    (folder / "IM0000.dcm").write_bytes(
        ours.replace(b"2.25.97003952269534611473927007903577572253", b"1.2.3" + b"4" * 39)
    )
    return "IM0000.dcm"


def _put_hidden(folder: Path) -> str:
    (folder / ".hidden\nname").write_bytes(b"")
    return ".hidden\\nname"


@pytest.mark.parametrize(
    "put",
    [_put_file, _put_folder, _put_link, _put_empty_file, _put_cut_file, _put_foreign_dicom, _put_hidden],
    ids=lambda put: put.__name__,
)
def test_overwrite_touches_no_folder_that_holds_anything_else(tmp_path: Path, series: MrSeries, put: Any) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    name = put(tmp_path / "ct")
    assert f"holds {name!r}, which mr2ct did not write".replace("\\\\", "\\") in refused(
        tmp_path / "ct", overwrite=True
    )


def test_overwrite_never_touches_an_mr_series(series: MrSeries) -> None:
    assert "'000.dcm', which mr2ct did not write" in refused(series.folder, overwrite=True)


def test_what_comes_into_the_folder_while_the_ct_is_made_is_not_lost(tmp_path: Path, series: MrSeries) -> None:
    write_ct_series(some_ct(), series, PROVENANCE, tmp_path / "ct")
    before = contents(tmp_path / "ct")
    with pytest.raises(OutputError, match=r"notes.txt"), whole_folder(tmp_path / "ct", overwrite=True) as partial:
        (partial / "IM0001.dcm").write_bytes(b"new")
        (tmp_path / "ct" / "notes.txt").write_bytes(b"late")
    assert contents(tmp_path / "ct") == {**before, "notes.txt": b"late"}
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(OutputError, match=r"something else"),
        whole_folder(tmp_path / "empty", overwrite=False) as partial,
    ):
        (partial / "notes.txt").write_bytes(b"new")
        (tmp_path / "empty" / "notes.txt").write_bytes(b"late")
    assert contents(tmp_path / "empty") == {"notes.txt": b"late"}
    with (
        pytest.raises(OutputError, match=r"not written: Directory not empty"),
        whole_folder(tmp_path / "new", overwrite=False) as partial,
    ):
        (partial / "notes.txt").write_bytes(b"new")
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "notes.txt").write_bytes(b"late")
    assert contents(tmp_path / "new") == {"notes.txt": b"late"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "empty", "new"]


def test_places_that_cannot_be_written_are_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "is a file" in refused(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match="its folder does not exist; make it first"):
        check_folder(tmp_path / "none" / "ct", overwrite=False)
    with pytest.raises(OutputError, match="cannot write there: File name too long"):
        check_folder(tmp_path / ("x" * 300), overwrite=False)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere; run as another")
def test_a_folder_without_rights_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "empty").mkdir(mode=0o500)
    assert "Permission denied" in refused(tmp_path / "mine" / "empty")
    (tmp_path / "mine").chmod(0o500)
    assert "Permission denied" in refused(tmp_path / "mine" / "ct")


@pytest.mark.parametrize("place", ["new", "empty", "old"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, series: MrSeries, place: str) -> None:
    target = tmp_path / place
    if place == "empty":
        target.mkdir()
    if place == "old":
        write_ct_series(some_ct(), series, OUTSIDE, target)
    before = contents(tmp_path)
    with files_of_at_most(1000), pytest.raises(OutputError, match=f"{place}: not written: File too large"):
        write_ct_series(some_ct(), series, PROVENANCE, target, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place", ["new", "empty", "old"])
@pytest.mark.parametrize("renames", range(4))
def test_ctrl_c_at_any_move_leaves_everything_as_it_was(
    tmp_path: Path, series: MrSeries, place: str, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / place
    if place == "empty":
        target.mkdir()
    if place == "old":
        write_ct_series(some_ct(), series, OUTSIDE, target)
    before, rename, done = contents(tmp_path), os.rename, []

    def interrupted(*paths: Path) -> None:
        if len(done) == renames // 2 and renames % 2 == 0:  # before a move
            done.append(paths)
            raise KeyboardInterrupt
        rename(*paths)
        done.append(paths)
        if len(done) == renames // 2 + 1 and renames % 2 == 1:  # after it
            raise KeyboardInterrupt

    monkeypatch.setattr("mr2ct.dicom.ct_folder.os.rename", interrupted)
    try:
        write_ct_series(some_ct(), series, PROVENANCE, target, overwrite=True)
    except KeyboardInterrupt:
        if place != "empty" and contents(tmp_path) != before:  # the last move was done
            assert {one.SeriesDescription[:9] for one in read_ct(target)} == {"Synthetic"}
            assert len(done) == (2 if place == "old" else 1)
        else:
            assert contents(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


INTERRUPTED = """
import sys
from pathlib import Path
from dicom_drawn import PROVENANCE, draw_mr_series, some_ct
from mr2ct.dicom.ct_series import write_ct_series
from mr2ct.stoppable import hear_signals
from runtime.volumes import grid_of, turned
grid = grid_of((80, 64, 60), (1, 1, 1), (0, 0, 0), turned(0, 0, 0))
series = draw_mr_series(Path(sys.argv[1]), grid)
hear_signals()
print("ready", flush=True)
try:
    while True:
        write_ct_series(some_ct(grid), series, PROVENANCE, Path(sys.argv[2]), overwrite=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_in_the_middle_of_writing_leaves_a_whole_series_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "mr"), str(folder / "ct")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not any(folder.glob(".*.partial/new/IM0030.dcm")) and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert out.split() == ["ready", "interrupted"], err
    assert [p.name for p in folder.iterdir()] in ([], ["ct"])
    assert len(contents(folder)) in (0, 61)
