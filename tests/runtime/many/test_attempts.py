"""Notes of what workers begin, and room to be alone in."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mr2ct.errors import OutputError
from mr2ct.many.attempts import Room, begin, begun, clear_notes, end, notes_in

PATIENCE_S = 10.0


def test_attempts_are_counted_for_each_volume_by_whoever_makes_it_until_it_ends(tmp_path: Path) -> None:
    with notes_in(tmp_path) as notes:
        for id_ in ("a/one", "a/two", "a/one", "\udcff", "a/one"):
            begin(notes, id_)
        assert [begun(notes, id_) for id_ in ("a/one", "a/two", "\udcff", "a/three")] == [3, 1, 1, 0]
        end(notes, "a/one")
        end(notes, "a/one")
        assert [begun(notes, id_) for id_ in ("a/one", "a/two")] == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_has_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".manifest.lock").touch()
    (tmp_path / ".manifest.ray-0").mkdir()
    begin(tmp_path / ".manifest.ray-0", "a")
    clear_notes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".manifest.lock"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write there: No such file or directory"):
        begin(tmp_path / "none", "a")
    with pytest.raises(OutputError, match="cannot write there"), notes_in(tmp_path / "none"):
        pass


def test_who_is_alone_waits_for_the_others_and_keeps_them_out() -> None:
    room, events, leave = Room(), list[str](), threading.Event()
    first_in, alone_in = threading.Event(), threading.Event()

    def first() -> None:
        with room.together():
            first_in.set()
            assert leave.wait(PATIENCE_S)
            events.append("first out")

    def alone() -> None:
        with room.alone():
            events.append("alone in")
            alone_in.set()
            time.sleep(0.05)
            events.append("alone out")

    def later() -> None:
        with room.together():
            events.append("later in")

    threads = [threading.Thread(target=one) for one in (first, alone, later)]
    threads[0].start()
    assert first_in.wait(PATIENCE_S)
    threads[1].start()
    time.sleep(0.05)  # it waits by now
    threads[2].start()
    time.sleep(0.05)
    assert events == []
    leave.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert events == ["first out", "alone in", "alone out", "later in"]


def test_some_may_be_in_together() -> None:
    room, both = Room(), threading.Barrier(2, timeout=PATIENCE_S)

    def work() -> None:
        with room.together():
            both.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not both.broken
