"""One item: what its entry says, whatever becomes of it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mr2ct import choose_backend
from mr2ct.choosing import Choice
from mr2ct.errors import DeviceError
from mr2ct.gate.limiting import limits_of
from mr2ct.gate.measuring import measure
from mr2ct.head import head_mask
from mr2ct.many.asked import Asked
from mr2ct.many.item import make_item, started
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry
from mr2ct.model import Model
from mr2ct.trip import Wishes
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from runtime.many.archive import coarse_model, head, names, put


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Its training set was this head."""
    limits = limits_of([measure(head(), head_mask(head()))], fixed_units=True)
    return coarse_model(tmp_path_factory.mktemp("model"), gate=limits)


@pytest.fixture(scope="module")
def choice(model: Model) -> Iterator[Choice]:
    with choose_backend(model, "cpu") as opened:
        yield opened


def item(folder: Path, name: str = "a/h.nii.gz") -> Item:
    id_ = name.replace(".", "_sct.", 1)
    return Item(id_, folder / "mr" / name, folder / "out" / id_)


def failed(told: Entry, code: int, *words: str) -> None:
    assert (told.state, told.exit_code, told.made) == ("failed", code, None)
    assert told.reason.isprintable()
    assert told.source not in told.reason
    for word in words:
        assert word in told.reason


def test_a_ct_that_was_made_is_told_with_all_that_made_it(model: Model, choice: Choice, tmp_path: Path) -> None:
    one = item(tmp_path)
    put(one.source)
    told = make_item(one, model, choice, Asked())
    assert (told.state, told.reason, told.exit_code, told.stops) == ("done", "", 0, False)
    assert told.input_sha256 == hashlib.sha256(one.source.read_bytes()).hexdigest()
    made = told.made
    assert made is not None
    assert made.output_sha256 == hashlib.sha256(one.target.read_bytes()).hexdigest()
    assert made.output.bytes == one.target.stat().st_size
    assert (told.model, told.model_sha256) == ("identity", model.card.files["mr_to_ct.fp32.onnx"].sha256)
    assert (made.device, made.precision, made.engine) == ("cpu", "fp32", choice.backend.description)
    assert told.gate == {"accepted": True, "outside": []}
    assert made.slices > 10
    assert {"read", "mask", "gate", "grid", "engine", "back", "write", "total"} == set(made.seconds)
    assert told.began <= told.ended
    assert Entry.of_line(told.as_line()) == told == pickle.loads(pickle.dumps(told))


def test_bad_volumes_are_told_and_never_raised(model: Model, choice: Choice, tmp_path: Path) -> None:
    def make(name: str) -> Entry:
        return make_item(item(tmp_path, name), model, choice, Asked())

    (tmp_path / "mr").mkdir()
    failed(make("none.nii.gz"), 3, "no such file")
    (tmp_path / "mr/text.nii").write_text("hello")
    failed(make("text.nii"), 3)
    whole = put(tmp_path / "mr/whole.nii.gz").read_bytes()
    (tmp_path / "mr/cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    failed(make("cut.nii.gz"), 3, "cut short")
    write_volume(Volume(np.zeros_like(head().voxels), head().grid), tmp_path / "mr/empty.nii.gz")
    failed(make("empty.nii.gz"), 3)
    (tmp_path / "mr/folder.nii").mkdir()
    failed(make("folder.nii"), 3, "no DICOM")
    put(tmp_path / "mr/line\nbreak.nii")
    (tmp_path / "out/line\nbreak_sct.nii").write_text("mine")
    failed(make("line\nbreak.nii"), 6, "exists already")
    assert names(tmp_path / "out") == ["line\nbreak_sct.nii"]


def test_what_the_gate_refuses_is_told_by_measure_and_made_by_force(
    model: Model, choice: Choice, tmp_path: Path
) -> None:
    one = item(tmp_path)
    one.source.parent.mkdir(parents=True)
    upside_down = Volume(np.ascontiguousarray(head().voxels[:, ::-1]), head().grid)
    write_volume(upside_down, one.source)
    told = make_item(one, model, choice, Asked())
    assert (told.state, told.exit_code) == ("refused", 7)
    assert told.gate is not None
    assert told.gate["outside"]
    assert told.input_sha256 == hashlib.sha256(one.source.read_bytes()).hexdigest()
    assert not one.target.exists()
    forced = make_item(one, model, choice, Asked(Wishes(force=True)))
    assert forced.state == "done"
    assert forced.made is not None
    assert forced.made.outside == told.gate["outside"]
    assert any("OUTSIDE VALIDATED USE" in line for line in forced.made.remarks)


def test_what_is_there_is_replaced_only_where_it_is_ours(model: Model, choice: Choice, tmp_path: Path) -> None:
    one = item(tmp_path)
    put(one.source)
    assert started(one, ours=False).ours
    one.target.parent.mkdir(parents=True)
    one.target.write_text("mine")
    assert not started(one, ours=False).ours
    told = make_item(one, model, choice, Asked())
    failed(told, 6, "exists already")
    assert not told.stops
    assert one.target.read_text() == "mine"
    assert make_item(one, model, choice, Asked(), ours=True).state == "done"


def test_a_place_that_no_folder_can_be_made_for_is_one_items_matter(
    model: Model, choice: Choice, tmp_path: Path
) -> None:
    one = item(tmp_path)
    put(one.source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("a file")
    told = make_item(one, model, choice, Asked())
    failed(told, 6, "cannot write there")
    assert not told.stops


class Failing:
    """An engine that fails in a way of its own."""

    description, batch = "failing", 8

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, _batch: Any) -> Any:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [(DeviceError("lost"), 5, "lost"), (MemoryError(), 5, "memory"), (KeyError("x\ny"), 1, "unexpected KeyError")],
)
def test_whatever_fails_inside_is_told(
    error: Exception, code: int, word: str, model: Model, choice: Choice, tmp_path: Path
) -> None:
    one = item(tmp_path)
    put(one.source)
    failed(make_item(one, model, replace(choice, backend=Failing(error)), Asked()), code, word)
    assert names(tmp_path / "out") == []


def test_what_is_written_beside_has_the_cts_name(model: Model, choice: Choice, tmp_path: Path) -> None:
    one = item(tmp_path)
    put(one.source)
    asked = Asked(reports=tmp_path / "reports", pictures=tmp_path / "pictures")
    told = make_item(one, model, choice, asked)
    assert told.state == "done", told.reason
    assert names(tmp_path / "reports") == ["a/h_sct.html"]
    assert names(tmp_path / "pictures") == ["a/h_sct.png"]
    assert told.made is not None
    assert told.made.besides == ["picture", "report"]
    assert pickle.loads(pickle.dumps(asked)) == asked
