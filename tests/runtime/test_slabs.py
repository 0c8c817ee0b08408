"""Slabs: all of a volume is done, each part once, and what goes wrong in one is heard."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from mr2ct.slabs import available_cores, in_slabs


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 400))
def test_every_part_is_done_once(count: int) -> None:
    done = np.zeros(count, int)

    def add(slab: slice) -> None:
        done[slab] += 1

    in_slabs(add, count)
    assert (done == 1).all()


def test_what_one_slab_raises_comes_out() -> None:
    def fail(slab: slice) -> None:
        if slab.start == 0:
            raise ValueError("in a slab")

    with pytest.raises(ValueError, match="in a slab"):
        in_slabs(fail, 100)


def test_few_operations_stay_in_the_callers_thread_and_many_do_not() -> None:
    seen: set[int] = set()

    def note(_: slice) -> None:
        seen.add(threading.get_ident())
        time.sleep(0.01)

    in_slabs(note, 100, operations=10)
    assert seen == {threading.get_ident()}
    seen.clear()
    in_slabs(note, 100)
    assert len(seen) == min(available_cores(), 100) or available_cores() == 1


def test_linear_algebra_keeps_to_one_core_inside_and_is_given_back_after() -> None:
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, inside = threads(), []
    assert before
    in_slabs(lambda _: inside.append(threads()), 1)
    assert inside == [[1] * len(before)]
    assert threads() == before
