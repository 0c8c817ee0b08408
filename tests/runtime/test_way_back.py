"""ct_to_mr runs where mr_to_ct does, and only when it is there, unaltered, and proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct import choose_backend
from mr2ct.choosing import Choice
from mr2ct.errors import ModelError
from mr2ct.model import Model
from mr2ct.way_back import choose_way_back
from small_models import BACK, affine_graph, cycle_facts, halving_model, identity_reference, write_model

FAILED = replace(cycle_facts().certificates[0], max_percent=0.11)
PROVING = "on the way back too, over the model's reference slices"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates of their own."""
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "cache"))


def there(model: Model, device: str = "cpu", precision: str = "fp32") -> Choice:
    """The choice of the way there, closed again."""
    with choose_backend(model, device, precision, threads=1, uncertified=True) as choice:
        return choice


def refusal(model: Model, device: str = "cpu") -> str:
    with pytest.raises(ModelError) as refused:
        choose_way_back(model, there(model, device), threads=1)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_it_maps_a_ct_back_by_the_cards_certificate(tmp_path: Path) -> None:
    model = halving_model(tmp_path / "model", off=0.25)
    with choose_way_back(model, there(model), threads=1) as back:
        assert (back.file, back.precision) == (BACK, "fp32")
        assert back.certificate == cycle_facts().certificates[0]
        answer = back.backend.run(np.full((1, 1, 256, 256), 0.125, np.float32))
    assert (answer == 0.5).all()


def test_a_model_without_one_says_so_and_what_would_work(identity_model: Model) -> None:
    told = "model 'identity': no ct_to_mr in it, so there is no cycle check; export with --cycle-check"
    assert refusal(identity_model) == told


def test_a_card_that_speaks_for_a_graph_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert "no ct_to_mr in it" in refusal(write_model(tmp_path / "model", cycle=cycle_facts()))


def test_an_altered_one_is_not_run(tmp_path: Path) -> None:
    model = halving_model(tmp_path / "model")
    path = tmp_path / "model" / BACK
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert refusal(model).startswith(f"{path}: not the file that was certified")


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_one_that_is_not_proved_runs_only_uncertified(device: str, tmp_path: Path) -> None:
    model = halving_model(tmp_path / "model", cycle=cycle_facts(certificates=(FAILED,)))
    assert f"{BACK} has no passing certificate" in refusal(model, device)
    with choose_way_back(model, there(model, device), threads=1, uncertified=True) as back:
        assert back.certificate is None
        assert back.backend.run(np.zeros((1, 1, 256, 256), np.float32)).max() == 0


def test_a_graph_with_other_ends_than_the_card_says_is_refused(tmp_path: Path) -> None:
    model = halving_model(tmp_path / "model", cycle=cycle_facts(output_name="mr"))
    assert "is not the card's mr" in refusal(model)


def test_openvino_is_proved_here_once_and_then_taken_at_its_word(tmp_path: Path) -> None:
    model, said = halving_model(tmp_path / "model", off=0.1), list[str]()
    for _ in range(2):
        with choose_way_back(model, there(model, "openvino"), threads=1, say=said.append) as back:
            assert "OpenVINO" in back.backend.description
            assert back.certificate is not None
            assert 0 <= back.certificate.max_percent <= 0.1
            assert back.certificate.slices == 2
    assert [line.endswith(PROVING) for line in said] == [True]


@pytest.mark.parametrize("wrong", ["another answer", "no answer"])
def test_what_cannot_be_proved_here_goes_to_the_cpu_and_says_why(wrong: str, tmp_path: Path) -> None:
    reference = {**identity_reference(), "synthetic_ct": identity_reference()["mr"] / 2}
    if wrong == "another answer":
        reference["cycled_mr"] = reference["mr"] + np.float32(0.02)  # 1 % of the window
    model, said = halving_model(tmp_path / "model", reference=reference), list[str]()
    with choose_way_back(model, there(model, "openvino"), threads=1, say=said.append) as back:
        assert "onnxruntime" in back.backend.description
    assert said[-1].startswith("the cycle check goes to onnxruntime on the CPU, not to openvino (")
    why = "mean 1, p99_9 1, max 1 %, where the budget is max 0.1 % of the MR window"
    assert (why if wrong == "another answer" else "export again with --cycle-check") in said[-1]


def test_beside_a_rounded_way_there_the_fastest_precision_of_the_device_is_taken(tmp_path: Path) -> None:
    ends = ("synthetic_ct", "cycled_mr")
    back_graphs = {"fp32": affine_graph(2.0, 0.0, ends), "fp16": affine_graph(2.0, 0.0, ends)}
    model = halving_model(tmp_path / "model", way_back=back_graphs)
    rounded = replace(there(model), precision="fp16")
    with choose_way_back(model, rounded, threads=1) as back:
        assert back.precision == "fp32"  # onnxruntime's CPU is slower in fp16
    only_half = halving_model(
        tmp_path / "half", way_back={"fp16": back_graphs["fp16"]}, cycle=cycle_facts(certificates=())
    )
    with choose_way_back(only_half, rounded, threads=1, uncertified=True) as back:
        assert back.precision == "fp16"
    with pytest.raises(ModelError, match="no fp32 graph; it has fp16"):  # nothing rounded beside an exact way there
        choose_way_back(only_half, there(model), threads=1, uncertified=True)
