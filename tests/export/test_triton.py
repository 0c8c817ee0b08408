"""A Triton repository: its configuration by Triton's own schema, its graphs byte for byte, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from mr2ct.errors import OutputError
from mr2ct.model import UNTRAINED, Model, open_model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from mr2ct_export.cli import main
from mr2ct_training.checkpoint import Checkpoint, save_checkpoint
from small_models import certificate, halving_model, identity_graph, write_model

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install 'mr2ct[triton]'")

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from mr2ct_export.triton import Plan, version_folder, write_repository

FP32 = "mr_to_ct.fp32.onnx"


def config_of(folder: Path) -> Any:
    """config.pbtxt, which a field that Triton does not know keeps from being read."""
    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def both(tmp_path: Path) -> Model:
    """fp32 and fp16, each the identity."""
    return write_model(tmp_path / "model", {"fp32": identity_graph(), "fp16": identity_graph()}, version="7")


def test_the_configuration_says_what_triton_must_know(both: Model, tmp_path: Path) -> None:
    written = write_repository(both, tmp_path / "repository", overwrite=False)
    assert [one.name for one in written] == ["identity-fp32", "identity-fp16"]
    for one in written:
        config = config_of(one.folder)
        assert config.name == one.folder.name
        assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
        assert config.version_policy.latest.num_versions == 1
        assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (16, [8, 16])
        assert config.dynamic_batching.max_queue_delay_microseconds == 1000
        for (end,), name in ((config.input, "mr"), (config.output, "synthetic_ct")):
            assert (end.name, end.data_type, list(end.dims)) == (name, model_config_pb2.TYPE_FP32, [1, 256, 256])
        (group,) = config.instance_group
        assert (group.count, group.kind) == (1, model_config_pb2.ModelInstanceGroup.KIND_AUTO)
        (cuda,) = config.optimization.execution_accelerators.gpu_execution_accelerator
        assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"use_tf32": "0"})
        precision = config.parameters["mr2ct_precision"].string_value
        graph = both.read(f"mr_to_ct.{precision}.onnx")
        assert (one.folder / "7" / "model.onnx").read_bytes() == graph
        assert config.parameters["mr2ct_graph_sha256"].string_value == hashlib.sha256(graph).hexdigest()


def test_it_warms_up_on_a_reference_slice_in_every_batch_size(both: Model, tmp_path: Path) -> None:
    (fp32, _) = write_repository(both, tmp_path / "repository", overwrite=False)
    config = config_of(fp32.folder)
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 8, 16]
    for warmup in config.model_warmup:
        (name,) = warmup.inputs
        sent = warmup.inputs[name]
        assert (name, sent.data_type, list(sent.dims)) == ("mr", model_config_pb2.TYPE_FP32, [1, 256, 256])
        taken = np.fromfile(fp32.folder / "warmup" / sent.input_data_file, "<f4").reshape(1, 256, 256)
        np.testing.assert_array_equal(taken, both.reference().mr[0])


def test_a_model_that_takes_single_slices_is_never_given_more(tmp_path: Path) -> None:
    single = write_model(tmp_path / "model", max_batch=1)
    (one,) = write_repository(single, tmp_path / "repository", overwrite=False)
    config = config_of(one.folder)
    assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (1, [])
    assert [warmup.batch_size for warmup in config.model_warmup] == [1]


def test_a_network_with_norms_of_its_own_runs_in_a_bare_onnxruntime(tmp_path: Path) -> None:
    network = open_model(UNTRAINED)
    (one,) = write_repository(network, tmp_path / "repository", overwrite=False)
    mr = network.reference().mr[:1]
    session = onnxruntime.InferenceSession(str(one.folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    backend = OnnxruntimeBackend(network, FP32, "cpu")
    np.testing.assert_array_equal(session.run(["synthetic_ct"], {"mr": mr})[0], backend.run(mr))


def test_the_way_back_is_served_too(tmp_path: Path) -> None:
    written = write_repository(halving_model(tmp_path / "model"), tmp_path / "repository", overwrite=False)
    assert [one.name for one in written] == ["identity-fp32", "identity-ct_to_mr-fp32"]
    back = config_of(written[1].folder)
    assert (back.input[0].name, back.output[0].name) == ("synthetic_ct", "cycled_mr")
    assert list(back.model_warmup[0].inputs) == ["synthetic_ct"]


def test_a_plan_takes_the_place_of_its_graph_and_of_no_other(both: Model, tmp_path: Path) -> None:
    plan = Plan("fp16", b"a plan", "NVIDIA A30, compute capability 8.0, 11.4.0")
    fp32, fp16 = write_repository(both, tmp_path / "repository", plan=plan, overwrite=False)
    config = config_of(fp16.folder)
    assert files_of(fp16.folder)["7/model.plan"] == b"a plan"
    assert not list(fp16.folder.rglob("*.onnx"))
    assert (config.backend, config.default_model_filename) == ("tensorrt", "model.plan")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert not config.optimization.execution_accelerators.gpu_execution_accelerator
    assert config.parameters["mr2ct_plan_sha256"].string_value == hashlib.sha256(b"a plan").hexdigest()
    assert config.parameters["mr2ct_plan_built_for"].string_value == plan.built_for
    assert config.parameters["mr2ct_graph_sha256"].string_value == both.card.files["mr_to_ct.fp16.onnx"].sha256
    assert config_of(fp32.folder).backend == "onnxruntime"


@pytest.mark.parametrize(
    ("version", "folder"), [("3", "3"), ("0", "1"), ("1.2", "1"), ("007", "1"), ("", "1"), ("²", "1"), ("12", "12")]
)
def test_triton_counts_versions_in_whole_numbers(version: str, folder: str) -> None:
    assert version_folder(version) == folder


def test_strange_names_in_the_card_break_no_configuration(tmp_path: Path) -> None:
    name = 'T1 "heads" {\n} über/../alles'
    (one,) = write_repository(write_model(tmp_path / "model", name=name), tmp_path / "repository", overwrite=False)
    assert one.folder.parent == tmp_path / "repository"
    assert config_of(one.folder).parameters["mr2ct_name"].string_value == name


def test_only_graphs_that_are_proved_are_served(tmp_path: Path) -> None:
    graphs, failed = {"fp32": identity_graph(), "fp16": identity_graph()}, certificate("fp16", mean_hu=9.0)
    half = write_model(tmp_path / "model", graphs, (certificate(), failed))
    assert [one.name for one in write_repository(half, tmp_path / "repository", overwrite=False)] == ["identity-fp32"]


def test_other_models_are_left_alone_and_only_ours_replaced(both: Model, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    others = repository / "segmentation" / "config.pbtxt"
    others.parent.mkdir(parents=True)
    others.write_text('name: "segmentation"\n')
    write_repository(both, repository, overwrite=False)
    before = files_of(repository)
    with pytest.raises(OutputError, match=r"identity-fp32: exists already; --overwrite replaces it"):
        write_repository(both, repository, overwrite=False)
    again = write_model(tmp_path / "again", {"fp32": identity_graph()}, version="8")
    write_repository(again, repository, overwrite=True)
    after = files_of(repository)
    assert after["segmentation/config.pbtxt"] == before["segmentation/config.pbtxt"]
    assert [name for name in after if name.startswith("identity-fp32/")] == [
        "identity-fp32/8/model.onnx", "identity-fp32/config.pbtxt", "identity-fp32/warmup/reference_mr",
    ]  # fmt: skip
    (repository / "identity-fp32" / "config.pbtxt").write_text('name: "identity-fp32"\n')
    with pytest.raises(OutputError, match=r"identity-fp32: exists already; mr2ct-export did not write it"):
        write_repository(again, repository, overwrite=True)


class _DiskFullError(OSError):
    strerror = "No space left on device"


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, _DiskFullError])
def test_a_stop_at_any_move_leaves_the_repository_as_it_was(
    stopped: type[BaseException], both: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    write_repository(both, repository, overwrite=False)
    before = files_of(tmp_path)
    again = write_model(
        tmp_path / ".." / f"{tmp_path.name}-again", {"fp32": identity_graph(), "fp16": identity_graph()}
    )
    real = Path.replace
    for move in range(4):  # two models, out and in
        moves: Iterator[int] = iter(range(10))

        def replace(source: Path, target: Path, moves: Iterator[int] = moves, stop_at: int = move) -> Path:
            if next(moves) == stop_at:
                raise stopped
            return real(source, target)

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises((KeyboardInterrupt, OutputError)):
            write_repository(again, repository, overwrite=True)
        monkeypatch.undo()
        assert files_of(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["model", "repository"]


def test_a_place_that_cannot_be_written_is_told(both: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: is no folder; a Triton repository is one"):
        write_repository(both, tmp_path / "file", overwrite=False)
    with pytest.raises(OutputError, match="below: cannot write there: Not a directory"):
        write_repository(both, tmp_path / "file" / "below", overwrite=False)


def test_the_command_serves_a_folder_as_it_is(both: Model, tmp_path: Path) -> None:
    before = files_of(both.folder)
    done = run(both.folder, "--triton", tmp_path / "repository")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "  Triton model identity-fp32, for its onnxruntime backend",
        "  Triton model identity-fp16, for its onnxruntime backend",
        f"Triton repository: {tmp_path / 'repository'}",
    ]
    assert files_of(both.folder) == before
    again = run(both.folder, "--triton", tmp_path / "repository")
    assert again.exit_code == 1
    told = f"mr2ct-export: {tmp_path / 'repository' / 'identity-fp32'}: exists already; --overwrite replaces it\n"
    assert again.stderr == told
    assert run(both.folder, "--triton", tmp_path / "repository", "--overwrite").exit_code == 0


def test_the_command_serves_what_it_just_made(small: Checkpoint, tmp_path: Path) -> None:
    checkpoint, repository = tmp_path / "small.pt", tmp_path / "repository"
    save_checkpoint(small, checkpoint)
    done = run(checkpoint, "--out", tmp_path / "model", "--triton", repository)
    assert done.exit_code == 0, done.output
    (served,) = repository.iterdir()
    card = open_model(tmp_path / "model").card
    assert served.name == f"{card.name}-fp32"
    assert (served / "1" / "model.onnx").read_bytes() == (tmp_path / "model" / FP32).read_bytes()
    refused = run(checkpoint, "--out", tmp_path / "other", "--triton", repository)
    assert refused.exit_code == 1
    assert refused.stderr == f"mr2ct-export: {served}: exists already; --overwrite replaces it\n"
    assert not (tmp_path / "other").exists()  # told before anything was exported


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "for another gate, --triton REPO, or a CHECKPOINT"),
        (["--triton", "r", "--out", "o"], "stays as it is, without --out"),
        (["--triton", "r", "--fp16"], "Missing option '--out'"),
        (["--triton", "r", "--weights", "int8"], "more graphs, --gate or --triton, and nothing else changes"),
        (["--triton", "r", "--tensorrt-rtx"], "Triton runs no engine of TensorRT-RTX"),
        (["--gate", "mr.nii.gz"], "Missing option '--out'"),
    ],
)
def test_options_that_do_not_go_with_a_folder_are_refused(options: list[str], told: str, both: Model) -> None:
    done = run(both.folder, *options)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_checkpoint_still_needs_out(tmp_path: Path) -> None:
    done = run(tmp_path / "brain.pt", "--triton", tmp_path / "repository")
    assert done.exit_code == 2
    assert "Missing option '--out'." in done.stderr
