"""An engine is proved equal to PyTorch on this machine once, and again when anything that it depends on is another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct.backend import Backend
from mr2ct.card import Certificate
from mr2ct.certificate import BUDGETS_HU
from mr2ct.choosing import choose_backend
from mr2ct.engine_cache import EngineCache
from mr2ct.errors import DeviceError, ModelError
from mr2ct.machine_certificate import certify_here, outside_budget
from mr2ct.model import Model, graph_file
from small_models import identity_reference, shifted_graph, write_model

SLICES = 2  # of the reference
HARDWARE = "Gpu(name='NVIDIA H200', compute_capability='9.0', driver='580.82.07')"


class Engine:
    """onnxruntime's engine of a model on the CPU, under a name that may be another, which counts the slices it ran."""

    def __init__(self, model: Model, description: str = "") -> None:
        self._inner: Backend = choose_backend(model, "cpu", uncertified=True).backend
        self.description, self.batch, self.ran = description or self._inner.description, self._inner.batch, 0

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.ran += len(batch)
        return self._inner.run(batch)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the cache; nothing has made it yet."""
    return tmp_path / "cache" / "engines"


@pytest.fixture
def said() -> list[str]:
    return []


def start(model: Model, folder: Path | None, said: list[str] | None = None, **other: str) -> tuple[Certificate, int]:
    """What a start of the model's engine gets, and how many slices the engine ran for it. other: what differs."""
    engine = Engine(model, other.pop("description", ""))
    facts = {"precision": "fp32", "made_of": "a" * 64, "hardware": HARDWARE, **other}
    say: Callable[[str], None] = (lambda _: None) if said is None else said.append
    certificate = certify_here(engine, model, file=graph_file("fp32"), say=say, folder=folder, **facts)
    return certificate, engine.ran


def kept(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def shifted_model(folder: Path, by: float) -> Model:
    """An engine that is off by this much of the network's range, where 1 is 1000 HU."""
    return write_model(folder, {"fp32": shifted_graph(by)})


def test_an_engine_is_proved_at_its_first_start_and_taken_at_its_word_at_the_second(
    identity_model: Model, folder: Path, said: list[str]
) -> None:
    first, ran = start(identity_model, folder, said)
    assert first.passed
    assert (first.engine, first.slices, first.max_hu) == (Engine(identity_model).description, SLICES, 0)
    assert ran == SLICES
    assert said == [f"proving {first.engine} equal to PyTorch here, over the model's reference slices"]
    again, ran = start(identity_model, folder, said)
    assert again == first
    assert ran == 0
    assert len(said) == 1


def test_what_was_measured_is_what_is_told_at_every_start(folder: Path, tmp_path: Path) -> None:
    reference = identity_reference()
    reference["synthetic_ct"] = reference["synthetic_ct"] + np.float32(5e-5)  # of the range from -1 to 1: 0.05 HU
    model = write_model(tmp_path / "model", reference=reference)
    certificates = [start(model, folder)[0] for _ in range(2)]
    assert certificates[0] == certificates[1]
    assert certificates[0].max_hu == pytest.approx(0.05, abs=1e-4)


def test_what_is_kept_can_be_read_by_people_and_says_what_it_is_of(identity_model: Model, folder: Path) -> None:
    start(identity_model, folder)
    about = json.loads(kept(folder).read_text())
    assert about["schema"] == "mr2ct-certificate/1"
    assert about["proved"]["hardware"] == HARDWARE
    assert about["proved"]["made_of"] == "a" * 64
    assert about["certificate"]["budget_hu"] == {"max_hu": 0.1}


@pytest.mark.parametrize(
    "other",
    [
        {"description": "onnxruntime 9.9, CUDA"},
        {"made_of": "b" * 64},
        {"precision": "fp16"},
        {"hardware": HARDWARE.replace("H200", "A100")},
        {"hardware": HARDWARE.replace("580.82.07", "581.00")},
    ],
    ids=["engine", "plan", "precision", "GPU", "driver"],
)
def test_another_engine_is_proved_anew_and_each_keeps_its_own(
    other: dict[str, str], identity_model: Model, folder: Path
) -> None:
    start(identity_model, folder)
    for ran in (SLICES, 0):
        assert start(identity_model, folder, None, **other)[1] == ran
    assert start(identity_model, folder)[1] == 0


def test_other_reference_slices_are_proved_anew(identity_model: Model, folder: Path, tmp_path: Path) -> None:
    start(identity_model, folder)
    reference = {name: array[:1] for name, array in identity_reference().items()}
    assert start(write_model(tmp_path / "model", reference=reference), folder)[1] == 1


def test_another_window_is_proved_anew_for_an_error_is_of_other_hu_in_it(
    identity_model: Model, folder: Path, tmp_path: Path
) -> None:
    start(identity_model, folder)
    assert start(write_model(tmp_path / "model", ct_window_hu=(-1000.0, 2000.0)), folder)[1] == SLICES


def with_changed(*place: str, to: Any) -> Callable[[bytes], bytes]:
    """The JSON with another value at a place of it."""

    def change(content: bytes) -> bytes:
        about = json.loads(content)
        inner = about
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = to
        return json.dumps(about).encode()

    return change


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[:-10],
    "not text": lambda _: bytes(range(128, 256)),
    "no object": lambda _: b"[]",
    "nothing": lambda _: b"null",
    "nested without end": lambda _: b"[" * 100_000,
    "no certificate": lambda _: b'{"schema": "mr2ct-certificate/1", "proved": {}}',
    "certificate that is none": with_changed("certificate", to=3),
    "other schema": with_changed("schema", to="mr2ct-certificate/2"),
    "other GPU": with_changed("proved", "hardware", to="another"),
    "other engine": with_changed("proved", "engine", to="another"),
    "field too many": with_changed("certificate", "min_hu", to=0.0),
    "outside the budget": with_changed("certificate", "max_hu", to=0.2),
    "no number": with_changed("certificate", "max_hu", to=float("nan")),
    "text for a number": with_changed("certificate", "max_hu", to="0"),
    "larger budget": with_changed("certificate", "budget_hu", to={"max_hu": 1.0}),
    "no budget": with_changed("certificate", "budget_hu", to={}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_kept_certificate_that_is_not_what_was_kept_is_measured_again(
    damage: Callable[[bytes], bytes], identity_model: Model, folder: Path
) -> None:
    first, _ = start(identity_model, folder)
    whole = kept(folder).read_bytes()
    kept(folder).write_bytes(damage(whole))
    assert start(identity_model, folder) == (first, SLICES)
    assert kept(folder).read_bytes() == whole
    assert start(identity_model, folder) == (first, 0)


def test_a_certificate_of_another_engine_under_this_name_is_measured_again(identity_model: Model, folder: Path) -> None:
    start(identity_model, folder)
    mine = kept(folder)
    start(identity_model, folder, made_of="b" * 64)
    (other,) = set(folder.iterdir()) - {mine}
    other.replace(mine)
    assert start(identity_model, folder)[1] == SLICES


def test_a_budget_that_became_smaller_since_counts(
    identity_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(identity_model, folder)
    monkeypatch.setitem(BUDGETS_HU, "fp32", {"max_hu": 0.05})
    assert start(identity_model, folder)[1] == SLICES


def test_an_engine_outside_the_budget_is_refused_in_hu_at_every_start_and_measured_at_the_first(
    folder: Path, tmp_path: Path, said: list[str]
) -> None:
    model = shifted_model(tmp_path / "model", by=0.25)
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            start(model, folder, said, description="an engine of another machine")
        assert str(caught.value) == (
            "an engine of another machine: mr_to_ct.fp32.onnx as fp32 is not equal to PyTorch on this machine: mean "
            "250, p99_9 250, max 250 HU, where the budget is max 0.1 HU; --uncertified runs it all the same"
        )
    assert len(said) == 1


def test_both_limits_of_the_half_precision_budget_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"where the budget is mean 0\.25, p99_9 5 HU"):
        start(shifted_model(tmp_path / "model", by=0.25), folder, precision="fp16")


def test_another_engine_than_the_one_that_failed_is_proved_at_its_next_start(
    identity_model: Model, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError):
        start(shifted_model(tmp_path / "model", by=0.25), folder)
    assert start(identity_model, folder, made_of="b" * 64)[0].passed


def test_an_engine_that_answers_no_numbers_is_refused(folder: Path, tmp_path: Path) -> None:
    model = shifted_model(tmp_path / "model", by=float("nan"))
    for _ in range(2):
        with pytest.raises(ModelError, match="mean inf, p99_9 inf, max inf HU"):
            start(model, folder)


def test_an_engine_that_fails_is_told_in_its_own_words_and_not_kept(identity_model: Model, folder: Path) -> None:
    engine = Engine(identity_model)
    engine.close()
    with pytest.raises(DeviceError, match="closed already"):
        certify_here(
            engine,
            identity_model,
            file=graph_file("fp32"),
            precision="fp32",
            made_of="a" * 64,
            hardware=HARDWARE,
            say=lambda _: None,
            folder=folder,
        )
    assert not folder.exists()


def test_a_cache_that_cannot_be_written_is_told_and_the_engine_is_proved_at_every_start(
    identity_model: Model, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "engines"
    for _ in range(2):
        certificate, ran = start(identity_model, folder, said)
        assert certificate.passed
        assert ran == SLICES
        proving, told = said
        assert proving.startswith("proving ")
        assert re.fullmatch(r"the proof is not kept, and will be made again: .*; MR2CT_CACHE names another place", told)
        assert "\n" not in told
        said.clear()


def test_a_folder_in_the_place_of_the_file_is_told_and_left_alone(
    identity_model: Model, folder: Path, said: list[str]
) -> None:
    start(identity_model, folder)
    file = kept(folder)
    file.unlink()
    file.mkdir()
    assert start(identity_model, folder, said)[0].passed
    assert said[1:] == [
        f"the proof is not kept, and will be made again: {file}: is a folder; name a file in it",
    ]
    assert file.is_dir()


def test_clearing_the_engines_clears_the_proofs(identity_model: Model, folder: Path) -> None:
    start(identity_model, folder)
    assert EngineCache(folder).clear() == 0  # of engines
    assert {file.name for file in folder.iterdir()} == {".lock"}
    assert start(identity_model, folder)[1] == SLICES


def test_it_is_kept_in_the_users_cache_where_no_other_place_is_named(
    identity_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "mine"))
    start(identity_model, None)
    assert kept(tmp_path / "mine" / "engines").suffix == ".certificate"


def test_how_far_it_is_off_is_told_with_three_digits() -> None:
    certificate = Certificate(
        "mr_to_ct.fp16.onnx", "fp16", "an engine", 2, 100, 0.123456, 7.654321, 123.456, BUDGETS_HU["fp16"]
    )
    assert outside_budget(certificate) == (
        "mr_to_ct.fp16.onnx as fp16 is not equal to PyTorch on this machine: mean 0.123, p99_9 7.65, max 123 HU, "
        "where the budget is mean 0.25, p99_9 5 HU"
    )
