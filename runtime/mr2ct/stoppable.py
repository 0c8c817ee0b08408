"""Ctrl-C: heard for certain, and during a long call into a library that calls back.

TensorRT and OpenVINO call Python while they build. An exception in there is theirs to handle, Ctrl-C too: TensorRT
prints it and goes on, OpenVINO makes an error of its own of it, gRPC loses the count of its calls. So such calls run in
a thread, where Ctrl-C never is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Answer = TypeVar("Answer")


def hear_signals() -> None:
    """SIGTERM is Ctrl-C from here on, and both are heard by a function in Python; for a command, in the main thread.

    Python's own, in C, lost 7 of 130 Ctrl-C that came while a CT series was written: nothing was raised or printed, and
    the process went on. One in Python lost none of 136. What it is in CPython 3.11 was not found. Where Ctrl-C is
    ignored, as in the background of a shell, it stays so.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_stoppable(work: Callable[[], Answer], stop: Callable[[], None]) -> Answer:
    """Run work in a thread, so that Ctrl-C is heard here: stop is called, work waited for, and Ctrl-C raised again.

    Work begins behind a gate: Ctrl-C while the thread is still being started finds nothing begun.
    """
    gate, ended = threading.Event(), threading.Event()
    answers: list[Answer] = []
    errors: list[BaseException] = []
    begun = called_off = False

    def run() -> None:
        gate.wait()
        try:
            if not called_off:
                answers.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run)
    try:
        thread.start()
        begun = True
        gate.set()
        ended.wait()
    except BaseException:
        stop()
        called_off = True
        gate.set()
        if begun:
            ended.wait()
        raise
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
