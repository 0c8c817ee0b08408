"""Stages tell where the time of a run went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mr2ct.stages import Stages, peak_memory_bytes


def test_a_stage_is_told_by_its_name_in_seconds() -> None:
    stages = Stages()
    start = time.perf_counter()
    with stages("engine"):
        time.sleep(0.05)
    assert 0.05 <= stages.seconds["engine"] <= time.perf_counter() - start


def test_stages_come_in_the_order_they_ran_and_do_not_hold_each_others_time() -> None:
    stages = Stages()
    with stages("read"):
        time.sleep(0.03)
    with stages("back"):
        pass
    with stages("again"):
        pass
    assert list(stages.seconds) == ["read", "back", "again"]
    assert stages.seconds["back"] < stages.seconds["read"]


def test_a_stage_that_runs_twice_adds_up() -> None:
    stages = Stages()
    for _ in range(2):
        with stages("write"):
            time.sleep(0.02)
    assert stages.seconds["write"] >= 0.04
    assert list(stages.seconds) == ["write"]


def test_a_stage_that_fails_is_timed_and_its_error_is_not_swallowed() -> None:
    stages = Stages()
    with pytest.raises(ZeroDivisionError), stages("mask"):
        _ = 1 // 0
    assert stages.seconds["mask"] >= 0


def test_two_runs_do_not_share_their_times() -> None:
    one, other = Stages(), Stages()
    with one("load"):
        pass
    assert other.seconds == {}


def _in_a_process_of_its_own(code: str) -> list[float]:
    """The numbers that a fresh Python prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=60)
    return [float(number) for number in child.stdout.split()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_peak_memory_is_in_bytes_and_holds_what_was_once_allocated() -> None:
    before, during, after = _in_a_process_of_its_own("""
import numpy as np
from mr2ct.stages import peak_memory_bytes
print(peak_memory_bytes())
block = np.ones(25_000_000)
print(peak_memory_bytes())
del block
print(peak_memory_bytes())
""")
    assert 10e6 < before < 200e6
    assert during - before == pytest.approx(200e6, rel=0.05)
    assert after == pytest.approx(during, rel=0.01)  # Linux counts pages in lots


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system counts as it likes")
def test_peak_memory_is_that_of_this_process_and_not_of_the_one_that_started_it() -> None:
    block = np.ones(40_000_000)  # 320 MB
    (peak,) = _in_a_process_of_its_own("from mr2ct.stages import peak_memory_bytes; print(peak_memory_bytes())")
    assert peak < block.nbytes < (peak_memory_bytes() or 0)


def test_peak_memory_is_unknown_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.setattr(Path, "exists", lambda _: False)  # nor is there a /proc
    assert peak_memory_bytes() is None
