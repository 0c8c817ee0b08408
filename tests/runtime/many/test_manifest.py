"""The manifest: whole lines, the last of each item, one writer."""

from __future__ import annotations

import json
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mr2ct.errors import OutputError
from mr2ct.many.manifest import LOCK, MANIFEST, Entry, Made, open_manifest, read_entries
from mr2ct.many.stamp import Stamp

MADE = Made(Stamp(1, 20, 3), "cd" * 32, "cpu", "fp32", "an engine", "ef" * 32, 5, 2, {"read": 0.25})
BEGUN = Entry(
    "a/h_sct.nii", "/mr/a/h\n\udcff.nii", "/out/a/h_sct.nii", "started", "2026-01-01T00:00:00+00:00", ours=True
)
DONE = Entry(
    BEGUN.id, BEGUN.source, BEGUN.target, "done", BEGUN.began, "2026-01-01T00:00:09+00:00", Stamp(1, 30, 4), "ab" * 32,
    "head-t1", "1.0", "mr_to_ct.fp32.onnx", "01" * 32, {"accepted": True, "outside": []}, made=MADE, ours=True,
)  # fmt: skip
FAILED = Entry("b_sct.nii", "/mr/b.nii", "/out/b_sct.nii", "failed", BEGUN.began, reason="damaged", exit_code=3)


def test_what_is_appended_is_read_back_and_the_last_line_of_an_item_counts(tmp_path: Path) -> None:
    with open_manifest(tmp_path) as manifest:
        manifest.append(BEGUN)
        manifest.append(FAILED, DONE)
        assert manifest.entries == {DONE.id: DONE, FAILED.id: FAILED}
    assert read_entries(tmp_path) == {DONE.id: DONE, FAILED.id: FAILED}
    text = (tmp_path / MANIFEST).read_bytes()
    assert text.isascii()
    first, failed, done = map(json.loads, text.splitlines())
    assert {line["schema"] for line in (first, failed, done)} == {"mr2ct-many/1"}
    assert (done["input_sha256"], done["made"]["output_sha256"]) == ("ab" * 32, "cd" * 32)
    assert "made" not in failed
    assert pickle.loads(pickle.dumps(DONE)) == DONE


def test_a_torn_last_line_is_passed_over_and_the_next_writer_cuts_it_off(tmp_path: Path) -> None:
    whole = f"{FAILED.as_line()}\n"
    for torn in (DONE.as_line()[:100], DONE.as_line(), '{"schema', "\0\0\0"):
        (tmp_path / MANIFEST).write_text(whole + torn)
        assert read_entries(tmp_path) == {FAILED.id: FAILED}
        with open_manifest(tmp_path) as manifest:
            manifest.append(BEGUN)
        assert (tmp_path / MANIFEST).read_text() == f"{whole}{BEGUN.as_line()}\n"


@pytest.mark.parametrize(
    "damaged",
    [
        b"{", b"[]", b'"x"', b"\xff", b"{}", b'{"schema": "mr2ct-many/2", "state": "done"}', b"",
        DONE.as_line().replace('"done"', '"lost"').encode(), DONE.as_line().replace('"began"', '"when"').encode(),
        DONE.as_line().replace('"files"', '"many"').encode(), DONE.as_line().replace('"output"', '"out"').encode(),
    ],
)  # fmt: skip
def test_a_damaged_line_is_told_by_its_number(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(f"{FAILED.as_line()}\n".encode() + damaged + b"\n")
    with pytest.raises(OutputError, match=r"line 2 is damaged") as told:
        read_entries(tmp_path)
    assert str(told.value).isprintable()


def test_another_run_on_the_same_folder_is_told_and_writes_nothing(tmp_path: Path) -> None:
    with open_manifest(tmp_path / "out") as manifest:
        manifest.append(FAILED)
        with pytest.raises(OutputError, match="another mr2ct-run"), open_manifest(tmp_path / "out"):
            pytest.fail("two have it")
    with open_manifest(tmp_path / "out") as manifest:
        assert list(manifest.entries) == [FAILED.id]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([LOCK, MANIFEST])


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot write there"), open_manifest(tmp_path / "out"):
        pytest.fail("it is a file")


FILLING = """
import sys
from pathlib import Path
from mr2ct.errors import OutputError
from mr2ct.many.manifest import Entry, open_manifest
with open_manifest(Path(sys.argv[1])) as manifest:
    for number in range(100):
        try:
            manifest.append(Entry(str(number), "s", "t", "started", "now"))
        except OutputError as error:
            print(number, error)
            break
"""


def test_a_disk_without_room_leaves_whole_lines(tmp_path: Path) -> None:
    """The most bytes a file may have stands in for the disk: a write is cut short the same way."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(tmp_path)], capture_output=True, text=True, preexec_fn=small_disk
    )
    assert done.returncode == 0, done.stderr
    number, _, told = done.stdout.partition(" ")
    assert "not written" in told
    assert list(read_entries(tmp_path)) == [str(one) for one in range(int(number))]
    assert (tmp_path / MANIFEST).read_bytes().endswith(b"\n")
