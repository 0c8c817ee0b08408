"""The folder is whole, says what is in it, and proves itself again on a machine without PyTorch."""

from __future__ import annotations

import copy
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import mr2ct
from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_MR_WINDOW, PAPER_SLICES, PercentileWindow, SliceGrid
from mr2ct.certificate import BUDGETS_HU, certify
from mr2ct.errors import OutputError
from mr2ct.model import REFERENCE, Reference, graph_file, open_model
from mr2ct.openvino_backend import OpenvinoBackend
from mr2ct.volume import Volume
from mr2ct_export import folder
from mr2ct_export.calibration import Calibration
from mr2ct_export.folder import Exported, export
from mr2ct_export.reference import answered, reference_from_volumes
from mr2ct_export.to_onnx import ExportError
from mr2ct_training.checkpoint import Checkpoint

FP32, FP16, INT8 = graph_file("fp32"), graph_file("fp16"), graph_file("int8")

PROVE_AGAIN = """
import sys
sys.modules |= {"torch": None, "onnx": None, "onnxscript": None}  # importing them fails
import mr2ct
from mr2ct.certificate import certify
model = mr2ct.open_model(sys.argv[1])
for told in model.card.certificates:
    engine = mr2ct.choose_backend(model, "cpu", told.precision).backend
    found = certify(engine, model.reference(), file=told.file, precision=told.precision,
                    ct_window_hu=model.card.ct_window_hu)
    assert found.passed, found
    assert found.voxels == told.voxels > 10_000, (found, told)
    assert found.mean_hu < told.mean_hu + 0.01, (found, told)  # fp16 was proved with more rounding than a CPU has
    print(told.file)
"""


def reference_of(checkpoint: Checkpoint) -> Reference:
    assert checkpoint.reference is not None
    mr, head = checkpoint.reference
    return answered(mr.numpy(), head.numpy(), checkpoint.mr_to_ct)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The disk is full for every file beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_folder_proves_itself_again_without_torch_or_onnx(trained_export: Exported, trained_folder: Path) -> None:
    assert trained_export.refused == ()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROVE_AGAIN, str(trained_folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [FP32, FP16]


def test_the_folder_holds_what_its_card_names_and_nothing_else(trained_export: Exported, trained_folder: Path) -> None:
    names = {path.name for path in trained_folder.iterdir()}
    assert names == {"card.json", REFERENCE, FP32, FP16} == {"card.json", *trained_export.card.files}
    assert open_model(trained_folder).card == trained_export.card
    assert list(trained_folder.parent.iterdir()) == [trained_folder]


def test_the_folder_is_open_to_the_other_users_of_the_machine(trained_export: Exported, trained_folder: Path) -> None:
    assert trained_export.card.files
    assert trained_folder.stat().st_mode & 0o055 == 0o055


def test_the_card_says_what_the_checkpoint_says(trained_export: Exported) -> None:
    card = trained_export.card
    assert card.trained
    assert card.training == {"state": "trained", "steps": 80}
    assert (card.name, card.version, card.data_source) == ("a-little-trained", "1", "drawn heads")
    assert (card.mr_window, card.ct_window_hu) == (PAPER_MR_WINDOW, PAPER_CT_WINDOW_HU)
    assert card.slices == PAPER_SLICES
    assert (card.generator["width"], card.generator["blocks"]) == (8, 9)
    assert card.mr2ct_version == mr2ct.__version__


def test_the_card_of_an_untrained_generator_says_that_it_is_none_to_use(full_size_export: Exported) -> None:
    card = full_size_export.card
    assert not card.trained
    assert "untrained" in card.name
    assert "geometry and speed only" in card.description
    assert "medical device" in card.intended_use
    assert card.generator["parameters"] == 11_365_633
    assert isinstance(card.mr_window, PercentileWindow)


def test_the_full_size_graph_is_certified_within_a_tenth_hu(full_size_export: Exported) -> None:
    certificate = full_size_export.card.certificate(FP32)
    assert certificate is not None
    assert 0 < certificate.mean_hu <= certificate.p99_9_hu <= certificate.max_hu <= 0.1
    assert "onnxruntime" in certificate.engine


def test_a_half_graph_that_is_too_far_off_is_left_out_and_told(
    full_size_export: Exported, full_size_folder: Path
) -> None:
    (line,) = full_size_export.refused  # untrained, the full width misses the fp16 budget by its own rounding
    assert line.startswith(f"{FP16}: not written: too far from PyTorch fp32: mean ")
    assert "(at most 0.25)" in line
    assert "(at most 5)" in line
    model = open_model(full_size_folder)
    assert model.precisions == ("fp32",)
    assert not (full_size_folder / FP16).exists()
    assert [certificate.file for certificate in model.card.certificates] == [FP32]


def test_the_slices_of_the_training_go_into_the_card_and_the_runtime_makes_them(
    small: Checkpoint, head_mr: Volume, tmp_path: Path
) -> None:
    coarse = replace(small, slices=SliceGrid("sagittal", rows=64, columns=80, pixel_mm=3.9, spacing_mm=5.0))
    reference = reference_from_volumes([head_mr], coarse.slices, coarse.mr_window, coarse.mr_to_ct, count=2)
    assert export(coarse, reference, tmp_path / "model", fp16=False).card.slices == coarse.slices
    result = mr2ct.synthesize(head_mr, open_model(tmp_path / "model"))
    assert result.volume.grid == head_mr.grid
    i, j, k = np.abs(head_mr.grid.axes[0]) * head_mr.grid.size * head_mr.grid.spacing
    assert result.slices + result.skipped == math.ceil(max(i, j, k) / 5.0)


def test_the_int8_graph_is_certified_by_an_engine_that_computes_in_eight_bits(
    trained_int8_export: Exported, trained_int8_folder: Path
) -> None:
    assert trained_int8_export.refused == ()
    model = open_model(trained_int8_folder)
    assert model.precisions == ("fp32", "int8")
    certificate = model.card.certificate(INT8)
    assert certificate is not None
    assert "OpenVINO" in certificate.engine
    assert "int8" in certificate.engine
    assert 0 < certificate.mean_hu <= 1
    assert certificate.p99_9_hu <= 20
    again = certify(
        OpenvinoBackend(model, INT8, "int8", say=lambda _: None, threads=1), model.reference(), file=INT8,
        precision="int8", ct_window_hu=model.card.ct_window_hu,
    )  # fmt: skip
    assert again.mean_hu == pytest.approx(certificate.mean_hu, rel=0.1)


def test_the_card_tells_which_layers_are_in_int8_and_why_the_others_are_not(
    trained_int8_export: Exported, trained_int8_folder: Path, trained_calibration: Calibration
) -> None:
    quantisation = trained_int8_export.card.quantisation
    assert quantisation is not None
    assert open_model(trained_int8_folder).card.quantisation == quantisation
    assert len(quantisation.alone) == 20
    assert quantisation.int8
    graph = onnx.load(trained_int8_folder / INT8)
    in_graph = {node.name.removesuffix(".int8") for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    assert in_graph == set(quantisation.int8)
    errors = {name: error.mean_hu for name, error in quantisation.alone.items()}
    left_out = set(errors) - in_graph
    assert all(errors[name] >= max(errors[taken] for taken in in_graph) for name in left_out)
    assert quantisation.calibrated_on == len(trained_calibration.calibrating)
    assert quantisation.measured_on == len(trained_calibration.held_out)


def test_a_card_without_an_int8_graph_says_nothing_of_it(trained_export: Exported, trained_folder: Path) -> None:
    assert trained_export.card.quantisation is None
    assert "quantisation" not in (trained_folder / "card.json").read_text()


def test_a_layer_in_int8_takes_a_quarter_of_the_bytes(trained_int8_export: Exported) -> None:
    quantisation, files = trained_int8_export.card.quantisation, trained_int8_export.card.files
    assert quantisation is not None
    residual = sum(name.startswith("residual.") for name in quantisation.int8)
    assert residual > 0
    saved = files[FP32].bytes - files[INT8].bytes
    assert saved > 0.6 * residual * 3 * 32 * 32 * 9  # bytes of weights; steps and nodes take some of them


@pytest.fixture
def as_chosen_before(trained_int8_export: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which layers go into int8 is known, and need not be measured again."""
    monkeypatch.setattr(folder, "choose_layers", lambda *_, **__: trained_int8_export.card.quantisation)


@pytest.mark.usefixtures("as_chosen_before")
def test_without_openvino_onnxruntime_proves_the_int8_graph(
    trained: Checkpoint,
    trained_calibration: Calibration,
    trained_reference: Reference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("mr2ct.openvino_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    exported = export(trained, trained_reference, tmp_path / "model", fp16=False, int8=trained_calibration)
    (certificate,) = (c for c in exported.card.certificates if c.file == INT8)
    assert "onnxruntime" in certificate.engine


def test_an_int8_graph_in_which_no_layer_may_be_is_left_out_and_told(
    small: Checkpoint, trained_calibration: Calibration, tmp_path: Path
) -> None:
    exported = export(small, reference_of(small), tmp_path / "model", fp16=False, int8=trained_calibration)
    (line,) = exported.refused  # untrained, so that all rounding shows
    assert line.startswith(f"{INT8}: not written: no convolution may be in int8: ")
    assert open_model(tmp_path / "model").precisions == ("fp32",)
    assert exported.card.quantisation is None


@pytest.mark.usefixtures("as_chosen_before")
def test_an_int8_graph_that_fails_on_the_reference_is_left_out_and_told(
    trained: Checkpoint,
    trained_calibration: Calibration,
    trained_reference: Reference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BUDGETS_HU, "int8", {"mean_hu": 1e-3, "p99_9_hu": 20.0})
    exported = export(trained, trained_reference, tmp_path / "model", fp16=False, int8=trained_calibration)
    (line,) = exported.refused
    assert line.startswith(f"{INT8}: not written: too far from PyTorch fp32: mean ")
    assert open_model(tmp_path / "model").precisions == ("fp32",)
    assert exported.card.quantisation is None


def test_the_same_checkpoint_gives_the_same_folder(small: Checkpoint, tmp_path: Path) -> None:
    for name in ("one", "again"):
        export(small, reference_of(small), tmp_path / name, fp16=False)
    one, again = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "again"))
    assert one == again


def test_a_generator_that_answers_nan_is_refused_and_nothing_is_left(small: Checkpoint, tmp_path: Path) -> None:
    network = copy.deepcopy(small.mr_to_ct)
    with torch.no_grad():
        network.exit.get_parameter("1.bias").fill_(torch.nan)
    broken = replace(small, mr_to_ct=network)
    with pytest.raises(ExportError, match="too far from PyTorch fp32: max inf HU"):
        export(broken, reference_of(broken), tmp_path / "model", fp16=False)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_folder_and_nothing_else(small: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "model"
    reference = reference_of(small)
    export(small, reference, out, fp16=False)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with largest_file(1000), pytest.raises(OutputError, match="not written: File too large"):
        export(replace(small, about={"name": "second"}), reference, out, fp16=False, overwrite=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out]
