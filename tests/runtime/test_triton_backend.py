"""Slices through a server of Triton's protocol: the same bits as here, and every way in which a server can fail."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

import phantom
from mr2ct import open_model, read_volume, write_volume
from mr2ct.backend import Backend
from mr2ct.choosing import choose_backend
from mr2ct.cli import main
from mr2ct.engine_cache import cache_folder
from mr2ct.errors import DeviceError, ModelError
from mr2ct.model import UNTRAINED, Model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from mr2ct.triton_model import parse_place
from mr2ct.volume import Volume
from mr2ct.way_back import choose_way_back
from small_models import affine_graph, certificate, halving_model, identity_graph, write_model

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install 'mr2ct[triton]'")

from mr2ct.triton_backend import IN_FLIGHT, PIECE, TritonBackend
from mr2ct_export.cli import main as export
from mr2ct_export.triton import write_repository
from triton_like import TritonLike

FP32 = "mr_to_ct.fp32.onnx"
GRID = phantom.grid_around((0, 0, 0), (84, 84, 62), (3.0, 3.0, 3.0), phantom.SAGITTAL)
PROVED = 2  # requests: the reference slices of the small models, one by one
COMMAND = [sys.executable, "-c", "from mr2ct.cli import main; main()"]
STAND_IN = Path(__file__).resolve().parents[1] / "triton_like.py"


def slices(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, 256, 256)).astype(np.float32)


def served(model: Model, folder: Path) -> Path:
    write_repository(model, folder, overwrite=False)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """HU = MR - 600, in fp32 and, for the name of it, in fp16."""
    return write_model(tmp_path_factory.mktemp("model"), {"fp32": identity_graph(), "fp16": identity_graph()})


@pytest.fixture(scope="module")
def repository(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served(model, tmp_path_factory.mktemp("served") / "repository")


@pytest.fixture(scope="module")
def mr_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mr") / "t1.nii.gz"
    mr = phantom.smooth(GRID)
    write_volume(Volume(np.rint(mr.voxels).astype(np.int16), mr.grid), path)
    return path


def opened(model: Model, server: TritonLike, precision: str = "fp32", **seconds: float) -> TritonBackend:
    return TritonBackend(model, precision, parse_place(server.url), **seconds)


@contextmanager
def in_another_process(repository: Path, seconds: float = 0.0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, str(STAND_IN), str(repository), "0", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, f"triton://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def the_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text.isprintable() and len(text) < 500
    return text


def test_a_served_network_answers_bit_for_bit_as_onnxruntime_here(tmp_path: Path) -> None:
    network, batch = open_model(UNTRAINED), slices(PIECE + 3)
    here = OnnxruntimeBackend(network, FP32, "cpu", threads=1)
    with TritonLike(served(network, tmp_path / "repository")) as server:
        backend = opened(network, server)
        there = backend.run(batch)
        backend.close()
    # piece by piece, for onnxruntime's own answers depend on how many slices there are
    local = np.concatenate([here.run(batch[:PIECE]), here.run(batch[PIECE:])])
    np.testing.assert_array_equal(there, local)


def test_pieces_travel_together_and_come_back_in_order(model: Model, repository: Path) -> None:
    batch = slices(5 * PIECE + 3)
    given = batch.copy()
    with TritonLike(repository, seconds=0.05) as server:
        backend = opened(model, server)
        answer = backend.run(batch)
        backend.close()
    np.testing.assert_array_equal(answer, batch)
    np.testing.assert_array_equal(batch, given)
    assert not np.shares_memory(answer, batch)
    assert sorted(server.batches) == [3, *[PIECE] * 5]
    assert 2 <= server.together <= IN_FLIGHT


def test_mr2ct_run_makes_the_same_ct_on_a_server_as_here(
    model: Model, repository: Path, mr_file: Path, tmp_path: Path
) -> None:
    there, here = tmp_path / "there.nii.gz", tmp_path / "here.nii.gz"
    with TritonLike(repository) as server:
        done = run(mr_file, "-o", there, "--model", model.folder, "--device", server.url, "--precision", "fp32")
    assert done.exit_code == 0, done.output
    assert "Triton 2.0-test, onnxruntime, identity-fp32 version 1" in done.stdout
    assert run(mr_file, "-o", here, "--model", model.folder, "--device", "cpu").exit_code == 0
    np.testing.assert_array_equal(read_volume(there).voxels, read_volume(here).voxels)


def test_the_server_is_proved_at_every_start_and_nothing_is_kept(model: Model, repository: Path) -> None:
    before = set(cache_folder().glob("*"))
    for _ in range(2):
        with TritonLike(repository) as server, choose_backend(model, server.url) as choice:
            assert choice.certificate is not None and choice.certificate.engine == choice.backend.description
            assert (choice.device, choice.precision) == (server.url, "fp16")  # a GPU's fastest
            assert server.batches == [1] * PROVED
    assert set(cache_folder().glob("*")) == before


def test_a_server_that_computes_something_else_is_refused_at_the_start(
    model: Model, repository: Path, mr_file: Path, tmp_path: Path
) -> None:
    """1 HU off, which no fp32 is; 0.25 HU on average is what fp16 may be."""
    with TritonLike(repository, off=0.001) as server:
        done = run(mr_file, "-o", tmp_path / "ct.nii.gz", "--model", model.folder, "--device", server.url)
        assert done.exit_code == 4
        assert "not equal to PyTorch" in done.stderr and "mean 1, " in done.stderr
        assert not list(tmp_path.iterdir())
        with choose_backend(model, server.url, uncertified=True) as choice:
            assert choice.certificate is None


def test_nobody_there_is_told_at_once_and_in_one_line(model: Model, mr_file: Path, tmp_path: Path) -> None:
    done = run(mr_file, "-o", tmp_path / "ct.nii.gz", "--model", model.folder, "--device", "triton://127.0.0.1:1")
    assert done.exit_code == 5
    (line,) = done.stderr.splitlines()
    assert line.startswith("mr2ct-run: triton://127.0.0.1:1: no answer to ServerMetadata (UNAVAILABLE: ")
    assert line.endswith("; is a Triton server running there, and is this its port of gRPC (8001)?")
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there_or_not_ready_is_told_with_what_is(
    model: Model, repository: Path, tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", name="somebody")
    with TritonLike(repository) as server:
        with pytest.raises(ModelError) as nobody:
            choose_backend(other, server.url)
        assert "no model somebody-fp32 there, but identity-fp16, identity-fp32; mr2ct-export" in the_line(nobody)
        server.reason = "out of\nmemory\x1b[31m"
        with pytest.raises(DeviceError) as failed:
            choose_backend(model, server.url)
        assert "identity-fp16 is not ready (out of memory [31m); the server's log tells more" in the_line(failed)


def test_a_precision_that_is_not_served_leaves_the_next(model: Model, repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "identity-fp32", tmp_path / "identity-fp32")
    with TritonLike(tmp_path) as server, choose_backend(model, server.url) as choice:
        assert choice.precision == "fp32"


@pytest.mark.parametrize("what", ["graph", "card"])
def test_a_folder_that_differs_from_the_servers_is_refused(what: str, repository: Path, tmp_path: Path) -> None:
    """Nothing is run then: also not in a precision that is the same on both."""
    graphs = {"fp32": identity_graph(), "fp16": affine_graph(1, 0) if what == "graph" else identity_graph()}
    other = write_model(tmp_path / "other", graphs, description="another" if what == "card" else "HU = MR - 600")
    with TritonLike(repository) as server, pytest.raises(DeviceError) as refused:
        choose_backend(other, server.url)
    key = f"mr2ct_{what}_sha256"
    assert f"identity-fp16 is another model than {other.folder}: {key} is " in the_line(refused)
    assert "mr2ct-export --triton of this folder writes it again" in the_line(refused)
    assert server.batches == []


def test_a_model_of_other_ends_or_not_of_ours_is_refused(model: Model, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "identity-fp32"
    shutil.copytree(repository / "identity-fp32", folder)
    config = folder / "config.pbtxt"
    whole = config.read_text()
    for old, new, told in (
        ("dims: 256\n  dims: 256\n}\noutput", "dims: 512\n  dims: 512\n}\noutput", "(1, 512, 512)"),
        ("TYPE_FP32", "TYPE_FP16", "'mr', 10, "),
        ("max_batch_size: 16", "max_batch_size: 0", "in batches of 0"),
        ('key: "mr2ct_card_sha256"', 'key: "somebody_elses"', "mr2ct_card_sha256 is missing there"),
    ):
        config.write_text(whole.replace(old, new, 1))
        assert config.read_text() != whole
        with TritonLike(tmp_path) as server, pytest.raises(DeviceError) as refused:
            opened(model, server)
        assert told in the_line(refused)


def test_a_model_that_is_exchanged_while_the_server_runs_is_not_run(
    model: Model, repository: Path, tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", {"fp32": affine_graph(1, 0)})
    with TritonLike(repository) as server, TritonLike(served(other, tmp_path / "repository")) as new:
        backend = opened(model, server)
        backend.run(slices(1))
        server.models = new.models
        with pytest.raises(DeviceError, match="is another model than"):
            backend.run(slices(1))
        backend.close()


def test_a_plan_that_is_exchanged_while_the_server_runs_is_not_run(
    model: Model, repository: Path, tmp_path: Path
) -> None:
    """What the server then runs is not what was proved, although it is of the same graph."""
    shutil.copytree(repository / "identity-fp32", tmp_path / "identity-fp32")
    with TritonLike(tmp_path) as server:
        told = server.models["identity-fp32"].config.parameters["mr2ct_plan_sha256"]
        told.string_value = "1" * 64
        backend = opened(model, server)
        assert backend.made_of == "1" * 64
        told.string_value = "2" * 64
        with pytest.raises(DeviceError, match=f"mr2ct_plan_sha256 is {'2' * 64} there, {'1' * 64} here"):
            backend.run(slices(1))
        backend.close()


def test_a_server_that_comes_back_is_proved_again(model: Model, repository: Path) -> None:
    with TritonLike(repository) as server:
        choice = choose_backend(model, server.url)
    with choice:
        with pytest.raises(DeviceError, match="no answer to"):
            choice.backend.run(slices(1))
        with TritonLike(repository, server.port) as again:
            wait_until_it_answers(choice.backend)
            assert again.batches == [1] * (PROVED + 1)
        with pytest.raises(DeviceError, match="no answer to"):
            choice.backend.run(slices(1))
        with TritonLike(repository, server.port, off=0.001), pytest.raises(ModelError, match="not equal to PyTorch"):
            wait_until_it_answers(choice.backend)


def test_a_server_that_was_not_heard_for_long_is_proved_again(model: Model, repository: Path) -> None:
    with TritonLike(repository) as server:
        backend, proofs = opened(model, server, heard_s=0.2), list[int]()
        backend.again(lambda: proofs.append(1))
        for _ in range(3):
            backend.run(slices(1))
        assert proofs == []
        time.sleep(0.3)
        backend.run(slices(1))
        assert proofs == [1]
        server.version = "2.1-test"
        time.sleep(0.3)
        with pytest.raises(DeviceError, match=r"Triton 2\.1-test is there now, 2\.0-test was; start mr2ct again"):
            backend.run(slices(1))
        backend.close()


def wait_until_it_answers(backend: Backend, patience_s: float = 20.0) -> None:
    """gRPC waits a second or so before it tries again."""
    ends = time.monotonic() + patience_s
    while True:
        try:
            backend.run(slices(1))
            return
        except DeviceError:
            assert time.monotonic() < ends
            time.sleep(0.1)


def test_a_server_that_dies_in_the_middle_ends_the_run_in_one_line(
    model: Model, repository: Path, mr_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ct.nii.gz"
    with in_another_process(repository, seconds=0.3) as (server, url):
        command = [
            *COMMAND,
            str(mr_file),
            "-o",
            str(out),
            "--model",
            str(model.folder),
            "--device",
            url,
            "--batch",
            "8",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            assert "proving" in running.stderr.readline()
            time.sleep(1.5)  # some of 21 pieces
            server.kill()
            _, said = running.communicate(timeout=30)
    assert running.returncode == 5
    (line,) = said.splitlines()
    assert line.startswith(f"mr2ct-run: {url}: failed on slices ") and "(UNAVAILABLE: " in line
    assert not list(tmp_path.iterdir())


def test_a_slow_server_is_told_after_the_seconds_it_had(model: Model, repository: Path) -> None:
    with TritonLike(repository, seconds=2) as server:
        backend = opened(model, server, infer_s=0.2)
        with pytest.raises(DeviceError) as slow:
            backend.run(slices(3))
        assert "failed on slices 0 to 2 (DEADLINE_EXCEEDED: " in the_line(slow)
        assert the_line(slow).endswith("; it had 0.2 s; is it overloaded, or behind a firewall?")
        assert server.cancelled.wait(5)
        backend.close()


class _Cutting(TritonLike):
    """Loses the end of what it answers, or gives it another shape."""

    def __init__(self, repository: Path, kept: int, rows: int) -> None:
        super().__init__(repository)
        self.kept, self.rows = kept, rows

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        response = super().ModelInfer(request, context)
        response.raw_output_contents[0] = response.raw_output_contents[0][: self.kept]
        response.outputs[0].shape[2] = self.rows
        return response


@pytest.mark.parametrize(("kept", "rows", "told"), [(100, 256, "in 100 bytes"), (262144, 128, "(1, 1, 128, 256)")])
def test_an_answer_of_another_size_is_refused(kept: int, rows: int, told: str, model: Model, repository: Path) -> None:
    with _Cutting(repository, kept, rows) as server:
        backend = opened(model, server)
        with pytest.raises(DeviceError) as refused:
            backend.run(slices(1))
        assert told in the_line(refused) and "to slices of (1, 1, 256, 256)" in the_line(refused)
        backend.close()


def test_without_tritonclient_the_remedy_is_told(
    model: Model, mr_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mr2ct.triton_backend")
    monkeypatch.delitem(sys.modules, "mr2ct_export.triton")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tritonclient"]:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    ran = run(mr_file, "-o", tmp_path / "ct.nii.gz", "--model", model.folder, "--device", "triton://127.0.0.1:1")
    assert ran.exit_code == 5
    assert ran.stderr.startswith("mr2ct-run: needs tritonclient (")
    assert ran.stderr.endswith("): pip install 'mr2ct[triton]'\n")
    exported = CliRunner().invoke(export, [str(model.folder), "--triton", str(tmp_path / "repository")])
    assert exported.exit_code == 1
    assert exported.stderr.startswith("mr2ct-export: --triton needs tritonclient (")
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_a_run_at_once_and_calls_off_what_travels(
    model: Model, repository: Path, mr_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ct.nii.gz"
    with TritonLike(repository, seconds=20.0) as server:
        command = [*COMMAND, str(mr_file), "-o", str(out), "--model", str(model.folder), "--device", server.url]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            assert "proving" in running.stderr.readline()
            while not server.batches or server.batches[-1] == 1:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=10)
        assert running.returncode == 130
        assert said == "mr2ct-run: stopped; no file is half-written\n"
        assert not list(tmp_path.iterdir())
        assert server.cancelled.wait(5)


def test_what_is_not_served_of_the_way_back_runs_here_and_is_said(tmp_path: Path) -> None:
    there = halving_model(tmp_path / "model")
    said: list[str] = []
    repository = served(there, tmp_path / "repository")
    with TritonLike(repository) as server, choose_backend(there, server.url) as choice:
        with choose_way_back(there, choice, say=said.append) as back:
            assert back.backend.description.startswith("Triton 2.0-test, onnxruntime, identity-ct_to_mr-fp32")
            assert back.certificate is not None
        del server.models["identity-ct_to_mr-fp32"]
        with choose_way_back(there, choice, say=said.append) as back:
            assert back.backend.description.startswith("onnxruntime")
    assert said[-1].startswith(f"the cycle check goes to onnxruntime on the CPU, not to {server.url} (")


def test_a_proxy_of_the_environment_gets_no_mr(model: Model, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with TritonLike(repository) as server:
        backend = opened(model, server)
        np.testing.assert_array_equal(backend.run(slices(1)), slices(1))
        backend.close()


def test_tritons_is_over_tls_with_the_certificates_grpc_is_told_of(
    model: Model, repository: Path, mr_file: Path, tmp_path: Path
) -> None:
    key, ours, others = tmp_path / "key.pem", tmp_path / "ours.pem", tmp_path / "others.pem"
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate: apt install openssl")
    for file in (others, ours):  # the last one's key stays
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(file)]
        subprocess.run(command, check=True, capture_output=True)
    with TritonLike(repository, tls=(key.read_bytes(), ours.read_bytes())) as server:
        url, out = f"tritons://localhost:{server.port}", tmp_path / "ct.nii.gz"
        command = [*COMMAND, str(mr_file), "-o", str(out), "--model", str(model.folder), "--device", url]
        for file, code in ((others, 5), (ours, 0)):
            environment = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(file)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert (done.returncode, out.exists()) == (code, code == 0), done.stderr
            if code:
                (line,) = done.stderr.splitlines()
                assert line.startswith(f"mr2ct-run: {url}: no answer to ServerMetadata (UNAVAILABLE: ")


def test_batches_and_shapes_that_the_model_does_not_take_never_travel(model: Model, repository: Path) -> None:
    with TritonLike(repository) as server:
        backend = opened(model, server)
        with pytest.raises(DeviceError, match="184 slices at once; this model takes 1 to 183"):
            backend.run(np.zeros((184, 1, 256, 256), np.float32))
        with pytest.raises(DeviceError, match=r"slices of \(1, 128, 256\)"):
            backend.run(np.zeros((1, 1, 128, 256), np.float32))
        backend.close()
        backend.close()
        with pytest.raises(DeviceError, match="closed already"):
            backend.run(slices(1))
        assert server.batches == []


def test_an_uncertified_graph_is_not_written_for_a_server(tmp_path: Path) -> None:
    graphs, failed = {"fp32": identity_graph(), "fp16": identity_graph()}, certificate("fp16", mean_hu=9.0)
    half = write_model(tmp_path / "model", graphs, (certificate(), failed))
    write_repository(half, tmp_path / "repository", overwrite=False)
    assert [folder.name for folder in (tmp_path / "repository").iterdir()] == ["identity-fp32"]


def test_importing_mr2ct_loads_no_grpc() -> None:
    code = (
        "import sys, mr2ct, mr2ct.cli, mr2ct.choosing; sys.exit('grpc' in sys.modules or 'tritonclient' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
