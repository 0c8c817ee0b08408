"""An image in two parts that bfloat16 holds is the image, and the convolution that reads it says the same of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from mr2ct.card import PAPER_SLICES, FixedWindow
from mr2ct.openvino_backend import has_bf16
from mr2ct.openvino_first_convolution import in_parts, read_in_parts, to_bfloat16
from mr2ct.openvino_graph import read_graph
from mr2ct.openvino_library import openvino, operators
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.packed_weights import Packing, rounded, with_packed_weights
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.checkpoint import Checkpoint
from mr2ct_training.generator import GeneratorConfig, untrained
from spelled_out_generator import spelled_out_generator

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def generator() -> bytes:
    return spelled_out_generator()


@pytest.fixture(scope="module")
def one_slice() -> Array:
    """Air that is nearly even, as after bias correction, with something in the middle."""
    random = np.random.default_rng(0)
    x = (-1 + np.abs(random.normal(0, 0.003, (1, 1, 256, 256)))).astype(np.float32)
    x[:, :, 90:160, 90:160] = np.clip(random.normal(0.2, 0.3, (70, 70)), -1, 1)
    return x


def answer(model: openvino.Model, x: Array, precision: str = "f32") -> Array:
    compiled = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": "1"}
    )
    result: Array = compiled([x])[0]
    return result.copy()


def reshaped(generator: bytes) -> openvino.Model:
    model = read_graph(generator, exact_norms=False)
    model.reshape([1, 1, 256, 256])
    return model


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, (2, 1, 3, 4), elements=st.floats(-1, 1, width=32)))
def test_high_and_low_are_the_image_over_air_and_high_is_a_bfloat16(image: Array) -> None:
    parts = in_parts(image)
    assert parts.shape == (2, 3, 3, 4)
    assert parts.dtype == np.float32
    assert np.array_equal(parts[:, :1] + parts[:, 1:2], image + 1)
    assert np.array_equal(parts[:, 2], parts[:, 0])
    assert np.array_equal(to_bfloat16(parts[:, 0]), parts[:, 0])
    assert np.abs(parts[:, 1]).max() <= 1 / 256
    assert not in_parts(np.full((1, 1, 2, 2), -1, np.float32)).any()


def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even() -> None:
    values = np.array([1.0, 1 + 1 / 128, 1 + 1 / 256, 1 + 3 / 256, -1 - 1 / 300, 0.1], np.float32)
    assert to_bfloat16(values).tolist() == [1.0, 1.0078125, 1.0, 1.015625, -1.0, 0.10009765625]


def test_in_single_precision_the_answer_is_the_same(generator: bytes, one_slice: Array) -> None:
    whole = answer(reshaped(generator), one_slice)
    apart = read_in_parts(reshaped(generator))
    assert apart is not None
    assert np.abs(answer(apart, in_parts(one_slice)) - whole).max() < 1e-3  # the norm of nearly even air amplifies


@pytest.mark.parametrize("packing", ["fp16", "int8"])
def test_weights_kept_in_fewer_bits_are_seen_as_what_they_are(packing: Packing, one_slice: Array) -> None:
    generator = untrained(GeneratorConfig(width=8, blocks=2), seed=0)
    kept = rounded(Checkpoint(generator, FixedWindow(0, 3500)), packing).mr_to_ct
    plain = with_exact_norms(to_onnx(kept, PAPER_SLICES), OPSET)
    answers = []
    for content in (plain.SerializeToString(), with_packed_weights(plain, packing).SerializeToString()):
        apart = read_in_parts(reshaped(content))
        assert apart is not None
        answers.append(answer(apart, in_parts(one_slice)))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_in_bfloat16_the_first_layer_is_nearer_to_the_truth(generator: bytes, one_slice: Array) -> None:
    if not has_bf16(openvino.Core()):
        pytest.skip("this CPU computes no bfloat16")
    truth = answer(reshaped(generator), one_slice)
    apart = read_in_parts(reshaped(generator))
    assert apart is not None
    plainly = np.abs(answer(reshaped(generator), one_slice, "bf16") - truth).mean()
    assert 0 < np.abs(answer(apart, in_parts(one_slice), "bf16") - truth).mean() < 0.7 * plainly


@pytest.mark.parametrize(
    ("mode", "zeros", "norm"), [("reflect", 0, False), ("constant", 0, True), ("reflect", 1, True)]
)
def test_where_a_constant_is_not_taken_out_again_the_graph_is_left_alone(mode: str, zeros: int, norm: bool) -> None:
    def small(mode: str, zeros: int, norm: bool) -> openvino.Model:
        x = operators.parameter([1, 1, 8, 8], np.float32)
        padded = operators.pad(x, [0, 0, 1, 1], [0, 0, 1, 1], mode)
        kernel = operators.constant(np.ones((2, 1, 3, 3), np.float32))
        convolved = operators.convolution(padded, kernel, [1, 1], [zeros] * 2, [zeros] * 2, [1, 1])
        behind = operators.mvn(convolved, [2, 3], True, 1e-5, "inside_sqrt") if norm else operators.relu(convolved)
        return openvino.Model([behind], [x], "small")

    assert read_in_parts(small(mode, zeros, norm)) is None
    assert read_in_parts(small("reflect", 0, norm=True)) is not None


def test_a_graph_without_a_convolution_is_left_alone() -> None:
    x = operators.parameter([1, 1, 8, 8], np.float32)
    model = openvino.Model([operators.relu(x)], [x], "no convolution")
    assert read_in_parts(model) is None
    assert answer(model, np.full((1, 1, 8, 8), 0.5, np.float32)).max() == 0.5
