"""A certificate tells how far an engine is from PyTorch, in HU, inside the head."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mr2ct.card import PAPER_CT_WINDOW_HU, Card, Certificate
from mr2ct.certificate import BUDGETS_HU, certify, hu_difference
from mr2ct.choosing import choose_backend
from mr2ct.errors import ModelError
from mr2ct.model import Model, Reference, graph_file
from small_models import identity_graph, shifted_graph, write_model

HU_PER_UNIT = (1400 - -600) / 2  # the paper's window is 2000 HU wide, the network's range 2


class Engine:
    """Adds to what it is given: a number everywhere, or (rows, columns) an image of its own."""

    description = "an engine of the test"
    batch = 1

    def __init__(self, plus: float | NDArray[np.float32]) -> None:
        self.plus = np.asarray(plus, dtype=np.float32)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert batch.ndim == 4
        assert batch.dtype == np.float32
        answer: NDArray[np.float32] = batch + self.plus
        return answer


def _reference(slices: int = 3, rows: int = 40, columns: int = 25, head_rows: slice = slice(None)) -> Reference:
    """Slices that the identity answers rightly, in steps of 1/256 so that sums with other such steps are exact."""
    mr: NDArray[np.float32] = np.resize(np.arange(-256, 257) / 256, (slices, 1, rows, columns)).astype(np.float32)
    head = np.zeros((slices, rows, columns), dtype=bool)
    head[:, head_rows] = True
    return Reference(mr, mr.copy(), head)


def _certify(
    engine: Engine,
    reference: Reference | None = None,
    precision: str = "fp32",
    window_hu: tuple[float, float] = PAPER_CT_WINDOW_HU,
) -> Certificate:
    return certify(
        engine,
        _reference() if reference is None else reference,
        file=graph_file(precision),
        precision=precision,
        ct_window_hu=window_hu,
    )


def test_an_engine_that_is_equal_has_no_error_at_all() -> None:
    for precision in BUDGETS_HU:
        certificate = _certify(Engine(0), precision=precision)
        assert (certificate.mean_hu, certificate.p99_9_hu, certificate.max_hu) == (0, 0, 0)
        assert certificate.passed


def test_a_certificate_tells_what_was_measured() -> None:
    certificate = _certify(Engine(0), _reference(slices=5, head_rows=slice(10, 20)), "fp16")
    assert certificate.file == "mr_to_ct.fp16.onnx"
    assert certificate.precision == "fp16"
    assert certificate.engine == "an engine of the test"
    assert certificate.slices == 5
    assert certificate.voxels == 5 * 10 * 25
    assert certificate.budget_hu == BUDGETS_HU["fp16"]


@given(steps=st.integers(-1024, 1024), low=st.integers(-1024, 0), width=st.integers(1, 4000))
@settings(max_examples=60, deadline=None)
def test_an_engine_that_is_off_by_so_much_is_told_to_be_off_by_so_many_hu(steps: int, low: int, width: int) -> None:
    certificate = _certify(Engine(steps / 1024), window_hu=(low, low + width))
    wanted = abs(steps) / 1024 / 2 * width
    assert certificate.mean_hu == pytest.approx(wanted, rel=1e-12)
    assert certificate.p99_9_hu == wanted
    assert certificate.max_hu == wanted


@pytest.mark.parametrize("by", [0.25, -0.5])
def test_a_shifted_graph_in_onnxruntime_is_told_in_hu(by: float, tmp_path: Path) -> None:
    model = write_model(tmp_path, {"fp32": shifted_graph(by)})
    certificate = certify(
        choose_backend(model, "cpu").backend,
        model.reference(),
        file=graph_file("fp32"),
        precision="fp32",
        ct_window_hu=model.card.ct_window_hu,
    )
    for error in (certificate.mean_hu, certificate.p99_9_hu, certificate.max_hu):
        assert error == pytest.approx(abs(by) / 2 * 2000, abs=1e-4)  # float32 rounds mr + by
    assert not certificate.passed
    assert "onnxruntime" in certificate.engine


def test_the_identity_in_onnxruntime_is_exact(identity_model: Model) -> None:
    certificate = certify(
        choose_backend(identity_model, "cpu").backend,
        identity_model.reference(),
        file=graph_file("fp32"),
        precision="fp32",
        ct_window_hu=identity_model.card.ct_window_hu,
    )
    assert certificate.max_hu == 0
    assert certificate.passed


def test_budgets_are_those_that_are_published() -> None:
    assert BUDGETS_HU == {
        "fp32": {"max_hu": 0.1},
        "fp16": {"mean_hu": 0.25, "p99_9_hu": 5.0},
        "bf16": {"mean_hu": 1.0, "p99_9_hu": 20.0},
        "int8": {"mean_hu": 1.0, "p99_9_hu": 20.0},
    }


@pytest.mark.parametrize(
    ("precision", "fits_hu", "fails_hu"), [("fp32", 0.09, 0.11), ("fp16", 0.24, 0.26), ("bf16", 0.99, 1.01)]
)
def test_an_even_error_passes_within_the_budget_of_its_precision_only(
    precision: str, fits_hu: float, fails_hu: float
) -> None:
    reference = replace(_reference(), mr=np.zeros((3, 1, 40, 25), np.float32), synthetic_ct=np.zeros(1, np.float32))
    assert _certify(Engine(fits_hu / HU_PER_UNIT), reference, precision).passed
    assert not _certify(Engine(fails_hu / HU_PER_UNIT), reference, precision).passed


def _spots(count: int, hu: float) -> NDArray[np.float32]:
    """An error of so many HU at count pixels of a slice of 40 x 25."""
    image = np.zeros(40 * 25, dtype=np.float32)
    image[:count] = hu / HU_PER_UNIT
    return image.reshape(40, 25)


@pytest.mark.parametrize(
    ("precision", "count", "hu", "passed"),
    [
        ("fp32", 1, 0.2, False),  # not one voxel may be off
        ("fp16", 1, 200.0, True),  # one of a thousand may
        ("fp16", 2, 20.0, False),  # two may not
        ("fp16", 200, 2.0, False),  # nor may the mean be off, by far smaller errors
        ("int8", 2, 15.0, True),
        ("int8", 2, 25.0, False),
    ],
)
def test_one_voxel_of_a_thousand_counts_in_the_maximum_alone(
    precision: str, count: int, hu: float, passed: bool
) -> None:
    certificate = _certify(Engine(_spots(count, hu)), precision=precision)
    assert certificate.max_hu == pytest.approx(hu, rel=1e-3)
    assert certificate.mean_hu == pytest.approx(hu * count / 1000, rel=1e-3)
    assert (certificate.p99_9_hu < hu / 2) == (count == 1)
    assert certificate.passed is passed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", list(BUDGETS_HU))
def test_one_nan_or_infinity_in_the_head_fails_every_budget(bad: float, precision: str) -> None:
    image = np.zeros((40, 25), dtype=np.float32)
    image[7, 7] = bad
    certificate = _certify(Engine(image), precision=precision)
    assert certificate.mean_hu == certificate.p99_9_hu == certificate.max_hu == math.inf
    assert not certificate.passed


@pytest.mark.parametrize("off", [1.0, np.nan])
def test_only_voxels_of_the_head_count(off: float) -> None:
    image = np.zeros((40, 25), dtype=np.float32)
    image[:10] = off
    image[30:] = off
    inside = _certify(Engine(image), _reference(head_rows=slice(10, 30)))
    assert inside.max_hu == 0
    assert inside.passed
    assert not _certify(Engine(image), _reference(head_rows=slice(9, 30))).passed


@pytest.mark.parametrize("slices", [0, 3])
def test_slices_without_a_head_prove_nothing_and_are_refused(slices: int) -> None:
    with pytest.raises(ModelError, match=r"mr_to_ct.fp32.onnx: .*no head"):
        _certify(Engine(0), _reference(slices, head_rows=slice(0, 0)))


def test_the_reference_is_left_as_it_was() -> None:
    reference, untouched = _reference(), _reference()
    _certify(Engine(0.5), reference)
    np.testing.assert_array_equal(reference.mr, untouched.mr)
    np.testing.assert_array_equal(reference.synthetic_ct, untouched.synthetic_ct)


def test_a_difference_has_no_sign_and_is_not_rounded_to_float32() -> None:
    one, other = np.array([-1.0, 0.25], np.float32), np.array([1.0, np.nextafter(np.float32(0.25), np.float32(1))])
    difference = hu_difference(one, other, (-600.0, 1400.0))
    assert difference.dtype == np.float64
    np.testing.assert_array_equal(difference, [2000.0, np.spacing(np.float32(0.25)) * 1000.0])


def test_a_certificate_goes_onto_a_card_and_comes_back(identity_model: Model) -> None:
    certificate = _certify(Engine(1 / 3), _reference(), "fp16")
    card = replace(identity_model.card, certificates=(certificate,))
    assert Card.from_json(card.to_json(), "card.json").certificates == (certificate,)


def test_two_precisions_are_told_apart(tmp_path: Path) -> None:
    model = write_model(tmp_path, {"fp32": identity_graph(), "fp16": shifted_graph(1 / 4096)})
    exact, near = (
        certify(
            choose_backend(model, "cpu", precision).backend,
            model.reference(),
            file=graph_file(precision),
            precision=precision,
            ct_window_hu=model.card.ct_window_hu,
        )
        for precision in ("fp32", "fp16")
    )
    assert exact.max_hu == 0
    assert near.max_hu == pytest.approx(1000 / 4096, abs=1e-3)
    assert near.passed
    assert not replace(near, budget_hu=BUDGETS_HU["fp32"]).passed
