"""Ctrl-C is heard during a long call into a library, and waits until that has ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from mr2ct.stoppable import run_stoppable

pytestmark = pytest.mark.ctrl_c


def test_work_runs_and_answers_or_raises() -> None:
    assert run_stoppable(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        run_stoppable(lambda: 1 // 0, lambda: None)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A test run in the background of a shell has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("seconds", [0, 0.1], ids=["at once", "after a while"])
def test_ctrl_c_stops_the_work_and_waits_for_its_end(seconds: float) -> None:
    stopped, ended = threading.Event(), threading.Event()

    def work() -> None:
        main = threading.main_thread().ident
        assert main is not None
        time.sleep(seconds)
        signal.pthread_kill(main, signal.SIGINT)
        assert stopped.wait(30)
        time.sleep(0.1)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        run_stoppable(work, stopped.set)
    assert ended.is_set()


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_while_the_thread_is_started_finds_nothing_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = threading.Thread.start, threading.Event()

    def start_and_stop(thread: threading.Thread) -> None:
        start(thread)
        threads.append(thread)
        raise KeyboardInterrupt

    threads: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", start_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run_stoppable(begun.set, lambda: None)
    threads[0].join(30)
    assert not threads[0].is_alive()
    assert not begun.is_set()
