"""One holder at a time; who waits is told once, and goes on when the holder lets go."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mr2ct.errors import OutputError
from mr2ct.file_lock import locked

PATIENCE_S = 30


def never() -> None:
    pytest.fail("it waited")


def test_a_free_lock_is_had_at_once_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with locked(tmp_path / ".lock", never):
            assert (tmp_path / ".lock").exists()


def test_an_error_in_the_block_lets_it_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock", never):
        raise ZeroDivisionError
    with locked(tmp_path / ".lock", never):
        pass


def test_a_held_lock_is_waited_for_and_told_once(tmp_path: Path) -> None:
    told: list[float] = []
    let_go: list[float] = []
    waiting = threading.Event()

    def wait_for_it() -> None:
        with locked(tmp_path / ".lock", lambda: (told.append(time.monotonic()), waiting.set())[0]):
            assert let_go

    other = threading.Thread(target=wait_for_it)
    with locked(tmp_path / ".lock", never):
        other.start()
        assert waiting.wait(PATIENCE_S)
        time.sleep(0.3)  # three more tries
        let_go.append(time.monotonic())
    other.join(PATIENCE_S)
    assert not other.is_alive()
    assert len(told) == 1
    assert told[0] < let_go[0]


def test_a_wait_that_is_stopped_leaves_the_holder_alone(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with locked(tmp_path / ".lock", never):
        with pytest.raises(KeyboardInterrupt), locked(tmp_path / ".lock", stop):
            pass
        with pytest.raises(KeyboardInterrupt), locked(tmp_path / ".lock", stop):
            pass


@pytest.mark.parametrize("place", ["", "missing/.lock"], ids=["a folder", "no folder"])
def test_a_place_without_room_for_a_lock_is_told(place: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write there"), locked(tmp_path / place, never):
        pass
