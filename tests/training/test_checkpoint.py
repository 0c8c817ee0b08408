"""A checkpoint comes back as it was saved; anything else is refused in one line, and never run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mr2ct.card import PAPER_MR_WINDOW, FixedWindow, MrWindow, PercentileWindow, SliceGrid
from mr2ct.gate.measured import HALF_PATCH, QUANTILES, SCALARS, Measured
from mr2ct_training.checkpoint import (
    FORMAT,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    read_content,
    save_checkpoint,
)
from mr2ct_training.generator import GeneratorConfig, untrained

SMALL = GeneratorConfig(width=2, blocks=1)
MEASURED = Measured(
    dict.fromkeys(SCALARS, 1.5), tuple(n / QUANTILES for n in range(QUANTILES)), "7f" * HALF_PATCH, "ff" * HALF_PATCH
)


class Trap:
    """Unpickled with code allowed, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def small() -> Checkpoint:
    return Checkpoint(mr_to_ct=untrained(SMALL, seed=3), mr_window=PAPER_MR_WINDOW)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "brain.pt"
    save_checkpoint(small(), path)
    return path


def altered(path: Path, **fields: Any) -> Path:
    """The checkpoint with some fields replaced; None takes a field out."""
    content = torch.load(path, weights_only=True) | fields
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    return path


def assert_refused(path: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("window", [FixedWindow(12.5, 3111.0), PercentileWindow(0.5, 99.5)])
def test_a_checkpoint_comes_back_exactly_as_it_was_saved(window: MrWindow, tmp_path: Path) -> None:
    reference = (torch.rand(2, 1, 8, 12), torch.rand(2, 8, 12) > 0.5)
    before = Checkpoint(
        mr_to_ct=untrained(SMALL, seed=3),
        mr_window=window,
        ct_window_hu=(-1000.0, 2000.0),
        training={"state": "trained", "epochs": 52, "patients": ["a", "b"]},
        about={"name": "brain", "version": "1.2"},
        reference=reference,
        slices=SliceGrid("sagittal", 64, 80, 3.9, 4.0),
        measured=(MEASURED, MEASURED),
    )
    save_checkpoint(before, tmp_path / "brain.pt")
    after = load_checkpoint(tmp_path / "brain.pt")
    weights = after.mr_to_ct.state_dict()
    assert after.mr_to_ct.config == SMALL
    assert all(torch.equal(weights[name], tensor) for name, tensor in before.mr_to_ct.state_dict().items())
    assert after.reference is not None
    assert all(torch.equal(a, b) for a, b in zip(after.reference, reference, strict=True))
    assert after == replace(before, mr_to_ct=after.mr_to_ct, reference=after.reference)


def test_the_way_back_comes_back_too(tmp_path: Path) -> None:
    back = untrained(SMALL, seed=4)
    save_checkpoint(replace(small(), ct_to_mr=back), tmp_path / "brain.pt")
    after = load_checkpoint(tmp_path / "brain.pt")
    assert after.ct_to_mr is not None
    assert not after.ct_to_mr.training
    for network, wanted in ((after.mr_to_ct, small().mr_to_ct), (after.ct_to_mr, back)):
        weights = network.state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in wanted.state_dict().items())


def test_a_checkpoint_from_before_there_was_a_way_back_has_none(saved: Path) -> None:
    content = read_content(saved)
    assert content.pop("ct_to_mr") is None
    torch.save(content, saved)
    assert load_checkpoint(saved).ct_to_mr is None


def test_a_way_back_of_another_architecture_is_refused(saved: Path) -> None:
    torch.save(read_content(saved) | {"ct_to_mr": untrained(replace(SMALL, width=4)).state_dict()}, saved)
    assert_refused(saved, "another architecture")


def test_a_loaded_generator_is_ready_to_run(saved: Path) -> None:
    assert not load_checkpoint(saved).mr_to_ct.training


def test_a_checkpoint_without_reference_slices_says_so(saved: Path) -> None:
    assert load_checkpoint(saved).reference is None


def test_a_checkpoint_from_before_the_gate_is_read(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    del content["measured"]
    torch.save(content, saved)
    assert load_checkpoint(saved).measured == ()


def test_measures_that_cannot_be_are_refused(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "measured": [{**MEASURED.to_json(), "signal": "7f"}]}, saved)
    assert_refused(saved, "bytes in hexadecimal")


def test_code_in_a_checkpoint_is_refused_and_does_not_run(saved: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    altered(saved, about=Trap(trap))
    assert_refused(saved, "holding code", "nothing in it was run")
    assert not trap.exists()
    torch.load(saved, weights_only=False)  # the trap is a working one
    assert trap.exists()


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, trap = tmp_path / "brain.pt", tmp_path / "sprung"
    path.write_bytes(pickle.dumps({"format": FORMAT, "about": Trap(trap)}))
    assert_refused(path, "nothing in it was run")
    assert not trap.exists()


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_refused(kept: float, saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * kept)])
    assert_refused(saved, "damaged")


def test_a_single_flipped_bit_in_a_weight_is_noticed(saved: Path) -> None:
    weights = torch.load(saved, weights_only=True)["mr_to_ct"]["residual.0.body.1.weight"].numpy().tobytes()
    content = bytearray(saved.read_bytes())
    content[content.index(weights) + 100] ^= 1
    saved.write_bytes(content)
    assert_refused(saved, "damaged")


def test_no_damage_whatever_ends_in_a_traceback(saved: Path) -> None:
    whole, random = saved.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(saved) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        pickled = archive.read(name)
    for _ in range(150):  # a damaged pickle in a sound archive, so that no checksum catches it first
        damaged = bytearray(pickled)
        damaged[random.integers(len(damaged))] = random.integers(256)
        rewrapped = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(rewrapped, "w") as target:
            for entry in source.namelist():
                target.writestr(entry, bytes(damaged) if entry == name else source.read(entry))
        saved.write_bytes(rewrapped.getvalue())
        try:
            load_checkpoint(saved)
        except CheckpointError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint at all\n", b"PK\x03\x04" + bytes(200), bytes(range(256)) * 9]
)
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "brain.pt"
    path.write_bytes(content)
    assert_refused(path, "not a checkpoint")


@pytest.mark.parametrize(
    "foreign", [{"state_dict": {}}, {"format": "mr2ct-checkpoint/99"}, [1, 2], torch.zeros(3)], ids=str
)
def test_a_torch_file_of_another_program_is_refused(foreign: Any, tmp_path: Path) -> None:
    path = tmp_path / "brain.pt"
    torch.save(foreign, path)
    assert_refused(path, "not a checkpoint of mr2ct-train", FORMAT)


def test_weights_of_another_width_are_refused(saved: Path) -> None:
    altered(saved, generator={"width": 3, "blocks": 1})
    assert_refused(saved, "another architecture")


def test_a_missing_weight_is_refused_and_named(saved: Path) -> None:
    weights = dict(torch.load(saved, weights_only=True)["mr_to_ct"])
    del weights["exit.1.bias"]
    altered(saved, mr_to_ct=weights)
    assert_refused(saved, "another architecture", "exit.1.bias")


def test_a_weight_too_many_is_refused_and_named(saved: Path) -> None:
    weights = dict(torch.load(saved, weights_only=True)["mr_to_ct"]) | {"exit.9.bias": torch.zeros(1)}
    altered(saved, mr_to_ct=weights)
    assert_refused(saved, "another architecture", "exit.9.bias")


@pytest.mark.parametrize("field", ["generator", "mr_to_ct", "mr_window", "ct_window_hu", "training", "about", "slices"])
def test_a_missing_field_is_refused_and_named(field: str, saved: Path) -> None:
    assert_refused(altered(saved, **{field: None}), "missing or wrong", field)


@pytest.mark.parametrize(
    "fields",
    [
        {"generator": {"width": 2, "blocks": 1, "colour": 3}},
        {"mr_window": {"kind": "magic", "low": 0.0, "high": 1.0}},
        {"ct_window_hu": [1.0]},
        {"ct_window_hu": 7},
        {"mr_to_ct": 7},
        {"ct_to_mr": 7},
        {"slices": 7},
        {"slices": {"plane": "sagittal", "rows": "many", "columns": 8, "pixel_mm": 1.0, "spacing_mm": 1.0}},
        {"slices": {"plane": "sagittal", "rows": 8, "columns": 8, "pixel_mm": 0.0, "spacing_mm": 1.0}},
        {"reference": 7},
        {"reference": (torch.zeros(0, 1, 8, 8), torch.zeros(0, 8, 8, dtype=torch.bool))},
        {"reference": (torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 9, dtype=torch.bool))},
        {"reference": (torch.zeros(2, 1, 8, 8).double(), torch.zeros(2, 8, 8, dtype=torch.bool))},
        {"reference": (torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8))},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(fields: dict[str, Any], saved: Path) -> None:
    assert_refused(altered(saved, **fields), "missing or wrong")


@pytest.mark.parametrize("name", ["none.pt", ""])
def test_a_checkpoint_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    assert_refused(tmp_path / name, "no such checkpoint")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError("No space left on device"), CheckpointError),
        (RuntimeError("unexpected pos 64 vs 0\nat two lines"), CheckpointError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["disk", "torch", "ctrl-c"],
)
def test_a_failed_save_leaves_the_old_checkpoint_and_nothing_else(
    failure: BaseException, told: type[BaseException], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def half(_: Any, path: Path) -> None:
        Path(path).write_bytes(b"half of it")
        raise failure

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(told) as raised:
        save_checkpoint(small(), saved)
    assert "\n" not in str(raised.value)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_place_that_cannot_be_written_is_told_in_one_line(parent: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="not written") as refused:
        save_checkpoint(small(), tmp_path / parent / "brain.pt")
    assert "\n" not in str(refused.value)


def test_what_a_training_needs_to_go_on_comes_back_and_is_no_matter_to_the_gate(tmp_path: Path) -> None:
    path = tmp_path / "brain.pt"
    save_checkpoint(small(), path, state={"epoch": 3, "adam": torch.arange(4.0)})
    state = read_content(path)["state"]
    assert state["epoch"] == 3
    assert torch.equal(state["adam"], torch.arange(4.0))
    assert load_checkpoint(path).training == {}


def test_a_successful_save_replaces_the_old_checkpoint_and_leaves_nothing_else(saved: Path) -> None:
    save_checkpoint(replace(small(), about={"name": "second"}), saved)
    assert load_checkpoint(saved).about == {"name": "second"}
    assert list(saved.parent.iterdir()) == [saved]
