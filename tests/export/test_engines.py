"""mr2ct-export's engines, as typed: real ones of TensorRT-RTX, built from the graphs that were just proved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mr2ct import tensorrt_engine
from mr2ct.card import PAPER_SLICES
from mr2ct.engine import Engine
from mr2ct.engine_cache import EngineCache
from mr2ct.model import open_model
from mr2ct.tensorrt_builder import BuildOptions, build
from mr2ct_export.cli import main
from mr2ct_export.engines import build_engine
from mr2ct_export.folder import Exported
from mr2ct_export.to_half import to_half
from mr2ct_export.to_onnx import to_onnx
from mr2ct_training.checkpoint import Checkpoint, save_checkpoint
from rtx_wheels import open_rtx

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.fixture(scope="module")
def small_file(small: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "brain.pt"
    save_checkpoint(small, path)
    return path


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def only(cache: EngineCache) -> Engine:
    (engine,) = cache.engines()
    return engine


def test_an_engine_is_built_from_the_fp16_graph_listed_and_cleared(
    trained_file: Path, out: Path, cache: EngineCache
) -> None:
    rtx = open_rtx()
    result = command(trained_file, "--out", out, "--fp16", "--tensorrt-rtx")
    assert (result.exit_code, result.stderr) == (0, "")
    engine = only(cache)
    assert engine.facts.onnx_sha256 == open_model(out).card.files["mr_to_ct.fp16.onnx"].sha256
    assert (engine.facts.flavour, engine.facts.version) == (rtx.name, rtx.version)
    assert engine.facts.profile == "1..16..183 slices"
    told = f"{engine.size / 1e6:.1f} MB  tensorrt-rtx {rtx.version}  1..16..183 slices"
    assert f"  mr_to_ct.fp16.onnx  {told}" in result.stdout
    assert result.stdout.endswith(f"built in {engine.seconds:.1f} s\nengine: {engine.plan_file}\n")
    assert engine.key in engine.plan_file.name

    listed = command("--engines")
    assert (listed.exit_code, listed.stderr) == (0, "")
    line, count = listed.stdout.splitlines()
    assert line.startswith(f"{engine.key[:12]}  {told}  GPU none (built without a GPU)")
    assert line.endswith(f"graph {engine.facts.onnx_sha256[:12]}")
    assert count == f"1 engine in {cache.folder}"

    cleared = command("--clear-engines")
    assert (cleared.exit_code, cleared.stdout) == (0, f"1 engine removed from {cache.folder}\n")
    assert cache.engines() == []


def test_without_fp16_it_is_built_from_the_fp32_graph_whose_norms_are_functions(
    small_file: Path, out: Path, cache: EngineCache
) -> None:
    open_rtx()
    result = command(small_file, "--out", out, "--tensorrt-rtx")
    assert (result.exit_code, result.stderr) == (0, "")
    engine = only(cache)
    assert engine.facts.onnx_sha256 == open_model(out).card.files["mr_to_ct.fp32.onnx"].sha256
    assert engine.about["network"]["input"] == {"name": "mr", "dtype": "float32", "shape": [-1, 1, 256, 256]}
    assert "mr_to_ct.fp32.onnx" in result.stdout.splitlines()[-2]


def test_the_generator_of_the_paper_builds_in_seconds(full_size: Checkpoint) -> None:
    graph = to_half(to_onnx(full_size.mr_to_ct, PAPER_SLICES)).SerializeToString()
    built = build(open_rtx(), graph, BuildOptions(max_batch=183))
    assert 22e6 < len(built.plan) < 40e6  # 11.4 million weights of 2 bytes
    assert built.seconds < 30
    assert not any(line.is_error for line in built.log)


def test_listing_and_clearing_need_nothing_and_load_nothing(cache: EngineCache) -> None:
    code = """
import sys
from click.testing import CliRunner
from mr2ct_export.cli import main
for option in ("--engines", "--clear-engines"):
    result = CliRunner().invoke(main, [option])
    print(result.exit_code, result.output.strip())
print([name for name in ("torch", "onnx", "onnxruntime", "tensorrt_rtx_bindings") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.splitlines() == [
        f"0 0 engines in {cache.folder}",
        f"0 0 engines removed from {cache.folder}",
        "[]",
    ]
    assert not cache.folder.exists()


def test_a_cache_that_cannot_be_cleared_is_told(cache: EngineCache) -> None:
    (cache.folder / ".lock").mkdir(parents=True)
    result = command("--clear-engines")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"mr2ct-export: {cache.folder}: not cleared (")


def test_two_engines_at_once_are_wrong_usage(small_file: Path, out: Path) -> None:
    result = command(small_file, "--out", out, "--tensorrt", "--tensorrt-rtx")
    assert result.exit_code == 2
    assert "one engine at a time" in result.stderr


def test_a_missing_tensorrt_is_told_before_anything_is_exported(
    small_file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)
    result = command(small_file, "--out", out, "--tensorrt-rtx")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("mr2ct-export: needs TensorRT-RTX (")
    assert line.endswith(": pip install 'mr2ct[tensorrt-rtx]'")
    assert not out.exists()


def test_a_refused_half_graph_leaves_no_engine(small_file: Path, out: Path, cache: EngineCache) -> None:
    open_rtx()
    result = command(small_file, "--out", out, "--fp16", "--tensorrt-rtx")
    assert result.exit_code == 1
    refused, told = result.stderr.splitlines()
    assert refused.startswith("mr2ct-export: mr_to_ct.fp16.onnx: not written")
    assert told == f"mr2ct-export: {out}: no engine, for it has no mr_to_ct.fp16.onnx"
    assert open_model(out).precisions == ("fp32",)
    assert cache.engines() == []


def test_a_cache_that_cannot_be_written_is_told_and_the_folder_is_whole(
    small_file: Path, out: Path, tmp_path: Path
) -> None:
    open_rtx()
    (tmp_path / "cache").write_text("")
    result = command(small_file, "--out", out, "--tensorrt-rtx")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"mr2ct-export: {tmp_path / 'cache' / 'engines'}: cannot keep engines there: ")
    assert open_model(out).precisions == ("fp32",)


def test_an_engine_that_is_there_is_taken_and_a_damaged_one_built_again(
    trained_folder: Path, trained_export: Exported, cache: EngineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_export.refused == ()
    open_rtx()
    build_engine("tensorrt-rtx", trained_folder, "fp16")
    first, file = capsys.readouterr(), only(cache).plan_file
    built = file.stat().st_mtime_ns
    build_engine("tensorrt-rtx", trained_folder, "fp16")
    assert capsys.readouterr() == first
    assert file.stat().st_mtime_ns == built
    file.write_bytes(file.read_bytes()[:-1])
    build_engine("tensorrt-rtx", trained_folder, "fp16")
    assert capsys.readouterr().err == f"note: {file}: damaged, it is not what was built; building it again\n"
    assert only(cache).read() is not None


def test_ctrl_c_while_the_engine_is_built_leaves_the_folder_and_no_engine(
    small_file: Path, out: Path, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_rtx()

    def press(*_: object, **__: object) -> None:
        """Where the build begins; the folder is written by then."""
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorrt_engine, "build", press)
    result = command(small_file, "--out", out, "--tensorrt-rtx")
    assert result.exit_code == 130
    assert result.stderr == "mr2ct-export: stopped; the model folder is whole, the engine was not kept\n"
    assert open_model(out).precisions == ("fp32",)
    assert {file.name for file in cache.folder.iterdir()} == {".lock"}
