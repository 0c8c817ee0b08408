"""A build is followed and stopped without an exception in TensorRT's own threads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mr2ct.tensorrt_watch import LogLine, Progress, logger

# what the two classes of TensorRT's API are to Python: something to inherit from
LIBRARY = SimpleNamespace(ILogger=object, IProgressMonitor=object)


def test_the_log_keeps_all_but_the_verbose_lines() -> None:
    log: list[LogLine] = []
    voice = logger(LIBRARY, log)
    for name in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"):
        voice.log(SimpleNamespace(name=name), name.lower())
    assert [line.text for line in log] == ["info", "warning", "error", "internal_error"]
    assert [line.is_error for line in log] == [False, False, True, True]


def test_nested_phases_each_tell_their_own_steps() -> None:
    told: list[tuple[str, int, int]] = []
    monitor = Progress(lambda *step: told.append(step)).monitor(LIBRARY)
    monitor.phase_start("build", None, 2)
    monitor.phase_start("time", "build", 3)
    assert monitor.step_complete("time", 0)
    monitor.phase_finish("time")
    assert monitor.step_complete("build", 0)
    monitor.phase_finish("build")
    assert told == [("build", 0, 2), ("time", 0, 3), ("time", 1, 3), ("build", 1, 2)]


def test_without_a_listener_a_build_goes_on() -> None:
    watch = Progress(None)
    monitor = watch.monitor(LIBRARY)
    monitor.phase_start("build", None, 1)
    assert monitor.step_complete("build", 0)
    watch.raise_kept()


def test_what_the_listener_raises_ends_the_build_and_is_kept_for_later() -> None:
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise ZeroDivisionError

    watch = Progress(fail)
    monitor = watch.monitor(LIBRARY)
    monitor.phase_start("build", None, 2)
    assert not monitor.step_complete("build", 0)
    monitor.phase_finish("build")
    assert len(calls) == 1
    with pytest.raises(ZeroDivisionError):
        watch.raise_kept()


def test_a_build_that_was_stopped_ends_at_its_next_step_and_tells_no_more() -> None:
    told: list[str] = []
    watch = Progress(lambda phase, *_: told.append(phase))
    watch.stop()
    monitor = watch.monitor(LIBRARY)
    monitor.phase_start("build", None, 2)
    assert not monitor.step_complete("build", 0)
    assert told == []
