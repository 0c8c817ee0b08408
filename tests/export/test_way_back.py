"""ct_to_mr goes into the model folder proved, with the limit that the runtime warns above."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import mr2ct
import mr2ct_export.folder
import mr2ct_export.way_back
from mr2ct.card import SliceGrid
from mr2ct.cycle import cycle_check
from mr2ct.cycle_certificate import BUDGETS_PERCENT
from mr2ct.errors import ModelError
from mr2ct.model import Reference, graph_file, open_model
from mr2ct.volume import Volume
from mr2ct_export.cli import main
from mr2ct_export.folder import Exported, export
from mr2ct_export.packed_weights import rounded
from mr2ct_export.reference import answered, reference_from_volumes
from mr2ct_export.to_onnx import INPUT, OUTPUT, ExportError, to_onnx
from mr2ct_export.way_back import LIMIT_LEAST, cycle_facts, limit_of
from mr2ct_training.checkpoint import Checkpoint, save_checkpoint
from mr2ct_training.generator import Generator, GeneratorConfig, untrained

COARSE = SliceGrid("sagittal", rows=64, columns=80, pixel_mm=3.9, spacing_mm=5.0)
FP32, FP16 = graph_file("fp32", "ct_to_mr"), graph_file("fp16", "ct_to_mr")


@pytest.fixture(scope="module", autouse=True)
def _exported_once() -> Iterator[None]:
    """PyTorch's exporter takes seconds: the same weights become a graph once."""
    graphs: dict[tuple[bytes, Any], onnx.ModelProto] = {}

    def remembered(network: nn.Module, slices: SliceGrid, ends: tuple[str, str] = (INPUT, OUTPUT)) -> onnx.ModelProto:
        key = b"".join(weight.detach().numpy().tobytes() for weight in network.parameters()), ends
        if key not in graphs:
            graphs[key] = to_onnx(network, slices, ends)
        return graphs[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (mr2ct_export.folder, mr2ct_export.way_back):
            patch.setattr(module, "to_onnx", remembered)
        yield


def faint(seed: int) -> Generator:
    """A generator whose answers are so near to 0 that fp16 rounds them as little as a trained one's."""
    network = untrained(GeneratorConfig(width=8, blocks=1), seed=seed).eval()
    with torch.no_grad():
        network.exit.get_parameter("1.weight").mul_(0.05)
    return network


@pytest.fixture(scope="module")
def both_ways(small: Checkpoint, head_mr: Volume) -> Checkpoint:
    checkpoint = replace(small, mr_to_ct=faint(0), ct_to_mr=faint(1), slices=COARSE)
    taken = reference_from_volumes([head_mr], COARSE, small.mr_window, checkpoint.mr_to_ct, count=4)
    return replace(checkpoint, reference=(torch.from_numpy(taken.mr), torch.from_numpy(taken.head)))


def reference_of(checkpoint: Checkpoint) -> Reference:
    assert checkpoint.reference is not None
    mr, head = checkpoint.reference
    return answered(mr.numpy(), head.numpy(), checkpoint.mr_to_ct)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("both-ways") / "model"


@pytest.fixture(scope="module")
def exported(both_ways: Checkpoint, folder: Path) -> Exported:
    return export(both_ways, reference_of(both_ways), folder, fp16=True, cycle_check=True)


def test_both_graphs_are_proved_in_percent_of_the_mr_window(exported: Exported, folder: Path) -> None:
    facts = open_model(folder).card.cycle
    assert facts is not None and facts == exported.card.cycle
    assert [certificate.file for certificate in facts.certificates] == [FP32, FP16]
    exact, half = facts.certificates
    assert 0 < exact.max_percent <= 0.1
    assert exact.max_percent < half.mean_percent <= 0.1
    assert "rounding to fp16 as a GPU does" in half.engine
    assert exact.voxels == facts.voxels > 4_000


def test_the_runtime_checks_the_cycle_with_it_as_pytorch_does(
    exported: Exported, both_ways: Checkpoint, head_mr: Volume, folder: Path
) -> None:
    assert exported.refused == ()
    model = open_model(folder)
    with mr2ct.choose_backend(model, "cpu", "fp32") as choice:
        result = mr2ct.synthesize(head_mr, model, choice, keep_network=True)
    check = cycle_check(result, head_mr, model)
    assert result.network is not None and both_ways.ct_to_mr is not None
    middle = len(result.network.ct) // 2
    with torch.inference_mode():
        cycled = both_ways.ct_to_mr(torch.from_numpy(result.network.ct[None, None, middle]))[0, 0].numpy()
    row, column = 32, 40  # in the middle of the head
    wanted = abs(float(cycled[row, column] - result.network.mr[middle, row, column])) / 2 * 100
    point, grid = result.network.grid.points(np.array([[column, row, middle]], float))[0], head_mr.grid
    i, j, k = np.rint((point - grid.origin) @ grid.axes / grid.spacing).astype(int)
    around = check.error.voxels[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2]
    assert around.min() - 1 <= wanted <= around.max() + 1  # the range is the whole window, within a percent
    assert exported.card.cycle is not None
    assert check.limit_percent == exported.card.cycle.limit_percent
    assert check.certified


def test_without_being_asked_for_it_stays_out(both_ways: Checkpoint, tmp_path: Path) -> None:
    card = export(both_ways, reference_of(both_ways), tmp_path / "model", fp16=False).card
    assert card.cycle is None
    with pytest.raises(ModelError, match="no ct_to_mr in it"):
        open_model(tmp_path / "model").way_back()
    assert open_model(tmp_path / "model").reference().cycled_mr is None


def test_one_that_is_too_far_off_is_not_written_and_told(
    both_ways: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS_PERCENT, "fp32", {"max_percent": 1e-9})
    done = export(both_ways, reference_of(both_ways), tmp_path / "model", fp16=True, cycle_check=True)
    (line,) = done.refused
    assert line.startswith(f"{FP32}: not written: too far from PyTorch fp32: max ")
    assert line.endswith("% (at most 1e-09) of the MR window")
    assert done.card.cycle is None
    assert open_model(tmp_path / "model").precisions == ("fp32", "fp16")
    assert not list((tmp_path / "model").glob("ct_to_mr*"))


def test_a_half_one_that_is_too_far_off_leaves_the_other(
    both_ways: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS_PERCENT, "fp16", {"mean_percent": 1e-6, "p99_9_percent": 1.0})
    reference = reference_of(both_ways)
    done = export(both_ways, reference, tmp_path / "model", fp16=True, cycle_check=True)
    assert [line.partition(":")[0] for line in done.refused] == [FP16]
    assert open_model(tmp_path / "model").way_back().precisions == ("fp32",)


def test_one_that_answers_nan_is_not_written_and_told(both_ways: Checkpoint, tmp_path: Path) -> None:
    network = faint(1)
    with torch.no_grad():
        network.exit.get_parameter("1.bias").fill_(torch.nan)
    broken = replace(both_ways, ct_to_mr=network)
    done = export(broken, reference_of(broken), tmp_path / "model", fp16=False, cycle_check=True)
    assert done.refused == ("ct_to_mr: not written: ct_to_mr answers NaN or infinity to the reference slices",)
    assert open_model(tmp_path / "model").card.cycle is None


def test_a_checkpoint_without_a_way_back_says_so_and_nothing_is_written(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no ct_to_mr"):
        export(small, reference_of(small), tmp_path / "model", fp16=False, cycle_check=True)
    assert not list(tmp_path.iterdir())


def test_half_weights_are_of_both_ways(both_ways: Checkpoint) -> None:
    half = rounded(both_ways, "fp16").ct_to_mr
    assert half is not None and both_ways.ct_to_mr is not None
    pairs = [(w, o) for w, o in zip(half.parameters(), both_ways.ct_to_mr.parameters(), strict=True) if w.ndim == 4]
    assert all(torch.equal(weight, original.half().float()) for weight, original in pairs)
    assert not any(torch.equal(weight, original) for weight, original in pairs)


def test_the_command_tells_what_it_measured(both_ways: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(both_ways, tmp_path / "brain.pt")
    out = tmp_path / "model"
    done = CliRunner().invoke(main, [str(tmp_path / "brain.pt"), "--out", str(out), "--cycle-check"])
    assert done.exit_code == 0, done.output
    facts = open_model(out).card.cycle
    assert facts is not None
    assert f"{FP32}  " in done.output and "% of the MR window" in done.output
    told = f"cycle check: {facts.mean_percent:.1f} +- {facts.sd_percent:.1f} % of the MR range over 4 slices"
    assert f"{told}; it will warn above {facts.limit_percent:.1f} %" in done.output


def of_means(*percent: float) -> Reference:
    """Slices whose cycled MR is that far from the MR everywhere, of a range that is the whole window."""
    ramp = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8).repeat(len(percent), axis=0)
    ramp[:, :, -1, -2:] = 1  # so that the 99.5th percentile is 1
    off = np.array(percent, np.float32).reshape(-1, 1, 1, 1) / 50
    return Reference(ramp, ramp, np.ones((len(percent), 8, 8), bool), ramp + off)


def test_the_facts_are_the_slices_own() -> None:
    facts = cycle_facts(of_means(2, 4, 6))
    assert facts.mean_percent == pytest.approx(4, rel=1e-3)
    assert facts.sd_percent == pytest.approx(2, rel=1e-3)
    assert facts.p95_percent == pytest.approx(6, rel=1e-3)
    assert facts.limit_percent == pytest.approx(10, rel=1e-3)  # mean and three SDs
    assert (facts.slices, facts.voxels) == (3, 3 * 64)


@pytest.mark.parametrize(
    ("means", "limit"),
    [((4.0, 4.0), LIMIT_LEAST * 4), ((5.0,), LIMIT_LEAST * 5), ((0.0, 0.0), 0.1), ((1.0, 3.0), 2 + 3 * math.sqrt(2))],
    ids=["alike", "one", "none", "apart"],
)
def test_the_limit_is_never_so_near_that_another_head_must_be_beyond_it(means: tuple[float, ...], limit: float) -> None:
    assert limit_of(np.array(means)) == pytest.approx(limit)
