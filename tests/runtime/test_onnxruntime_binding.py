"""A session over buffers of its own answers as a session without them; here they are in the CPU's memory."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mr2ct.onnxruntime_binding import KEPT, BoundSession

Array = NDArray[np.float32]

ENDS = ("mr", "synthetic_ct")
SIDE = 16  # pixels: the buffers do not care how many


def session_of(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnxruntime.InferenceSession:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, SIDE, SIDE]) for name in ENDS]
    graph = helper.make_graph(list(nodes), "small", ends[:1], ends[1:], list(weights))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    return onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """tanh of a 3 x 3 convolution."""
    weights = np.random.default_rng(0).normal(0, 0.3, (1, 1, 3, 3)).astype(np.float32)
    convolution = helper.make_node("Conv", ["mr", "weights"], ["sum"], pads=[1, 1, 1, 1])
    tanh = helper.make_node("Tanh", ["sum"], ["synthetic_ct"])
    return session_of(convolution, tanh, weights=(numpy_helper.from_array(weights, "weights"),))


@pytest.fixture
def bound(session: onnxruntime.InferenceSession) -> BoundSession:
    return BoundSession(session, ENDS, "cpu")


def slices(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, SIDE, SIDE)).astype(np.float32)


def unbound(session: onnxruntime.InferenceSession, batch: Array) -> Array:
    (answer,) = session.run([ENDS[1]], {ENDS[0]: batch})
    taken: Array = answer
    return taken


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_batches_of_any_sizes_in_a_row_are_answered_bit_for_bit_as_without_buffers(
    counts: list[int], session: onnxruntime.InferenceSession
) -> None:
    bound = BoundSession(session, ENDS, "cpu")
    answers: list[Array] = []
    wanted: list[Array] = []
    for seed, count in enumerate(counts):
        batch = slices(count, seed)
        answers.append(bound.run(batch))
        wanted.append(unbound(session, batch))
        np.testing.assert_array_equal(batch, slices(count, seed))
        assert not np.shares_memory(batch, answers[-1])
    for index, (answer, right) in enumerate(zip(answers, wanted, strict=True)):  # none was changed by a later call
        assert answer.dtype == np.float32
        np.testing.assert_array_equal(answer, right)
        assert not any(np.shares_memory(answer, other) for other in answers[:index])


def test_an_answer_may_be_written_to_and_nothing_comes_of_it(
    bound: BoundSession, session: onnxruntime.InferenceSession
) -> None:
    bound.run(slices(2))[...] = 7
    np.testing.assert_array_equal(bound.run(slices(2)), unbound(session, slices(2)))


def test_an_input_that_may_not_be_written_to_and_lies_anyhow_runs(
    bound: BoundSession, session: onnxruntime.InferenceSession
) -> None:
    mirrored = slices(2)[..., ::-1]
    mirrored.flags.writeable = False
    np.testing.assert_array_equal(bound.run(mirrored), unbound(session, mirrored.copy()))


@pytest.mark.parametrize("kind", [np.float64, np.int32, np.float16])
def test_numbers_of_another_type_are_the_same_numbers(kind: Any, bound: BoundSession) -> None:
    ones = np.ones((2, 1, SIDE, SIDE), np.float32)
    np.testing.assert_array_equal(bound.run(ones.astype(kind)), bound.run(ones))


@pytest.mark.parametrize("wrong", [(2, 1, SIDE, SIDE // 2), (2, 1, SIDE), (2, 3, SIDE, SIDE)])
def test_a_wrong_shape_is_an_error_and_the_next_call_is_right(
    wrong: tuple[int, ...], bound: BoundSession, session: onnxruntime.InferenceSession
) -> None:
    for _ in range(KEPT + 1):
        with pytest.raises(RuntimeError):
            bound.run(np.zeros(wrong, np.float32))
        np.testing.assert_array_equal(bound.run(slices(2)), unbound(session, slices(2)))


class Watched:
    """A session that knows which of the bindings it gave are still held."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.given: list[weakref.ref[onnxruntime.IOBinding]] = []

    def io_binding(self) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        self.given.append(weakref.ref(binding))
        return binding

    def run_with_iobinding(self, binding: onnxruntime.IOBinding) -> None:
        self._session.run_with_iobinding(binding)

    @property
    def held(self) -> int:
        return sum(binding() is not None for binding in self.given)


def test_buffers_of_few_sizes_are_held_however_many_were_asked_for(session: onnxruntime.InferenceSession) -> None:
    watched = Watched(session)
    bound = BoundSession(watched, ENDS, "cpu")
    for count in (1, 2, 3, 4, 5, 4, 3, 2, 1):
        bound.run(slices(count))
        assert watched.held <= KEPT
    del bound
    assert watched.held == 0


def test_the_size_of_most_calls_keeps_its_buffers_over_volumes_whose_ends_differ(
    session: onnxruntime.InferenceSession,
) -> None:
    watched = Watched(session)
    bound = BoundSession(watched, ENDS, "cpu")
    for rest in (3, 1, 5, 2):
        for count in (4, 4, rest):
            bound.run(slices(count))
    assert len(watched.given) == 1 + 4  # one for the calls of four, and one for each end
