"""What TensorRT-RTX compiled is there at the next start on the same GPU, and its absence is never an error.

TensorRT-RTX gives out an IRuntimeCache only by way of an engine, and loads engines only on a GPU. So what is given to
it and what comes back goes through a stand-in here, with the calls and the manners that its documentation promises
(test_tensorrt_api holds the calls against the real class); the real one is met in test_tensorrt_backend, on a GPU.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mr2ct.engine_cache import EngineCache
from mr2ct.gpu import Gpu
from mr2ct.kept_kernels import KeptKernels

GPU = Gpu("NVIDIA RTX 5090", "12.0", "580.82.07")
KEY = "a" * 64  # of an engine
HEADER = b"kernels of "


class Kernels:
    """An IRuntimeCache: it takes what it once gave for this GPU, refuses everything else, and grows while engines run.

    https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-runtime-cache.html
    """

    def __init__(self, environment: bytes) -> None:
        self._header = HEADER + environment + b":"
        self.compiled: list[bytes] = []

    def deserialize(self, blob: bytes) -> bool:
        assert blob, "nothing was offered"
        if not blob.startswith(self._header) or not blob.endswith(b";"):
            return False
        self.compiled = blob.removeprefix(self._header).split(b",")
        self.compiled[-1] = self.compiled[-1].removesuffix(b";")
        return True

    def serialize(self) -> memoryview:
        """An IHostMemory: bytes() copies it."""
        return memoryview(self._header + b",".join(self.compiled) + b";" if self.compiled else b"")


class Config:
    """An IRuntimeConfig."""

    def __init__(self, environment: bytes = b"here") -> None:
        self._environment = environment
        self.kernels: Kernels | None = None

    def create_runtime_cache(self) -> Kernels:
        return Kernels(self._environment)

    def set_runtime_cache(self, cache: Kernels) -> bool:
        self.kernels = cache
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the cache; nothing has made it yet."""
    return tmp_path / "cache" / "engines"


@pytest.fixture
def said() -> list[str]:
    return []


def start(folder: Path | None, *compiled: bytes, key: str = KEY, gpu: Gpu = GPU, at: bytes = b"here") -> list[bytes]:
    """What a start of an engine finds compiled, before it compiles more and keeps it all. at: TensorRT's own view."""
    kernels, config = KeptKernels(key, gpu, folder), Config(at)
    kernels.attach(config)
    assert config.kernels is not None
    found = list(config.kernels.compiled)
    config.kernels.compiled += compiled
    kernels.keep(lambda line: pytest.fail(line))
    return found


def kept(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_was_compiled_is_found_at_the_next_start(folder: Path) -> None:
    assert start(folder, b"for 16", b"for 7") == []
    assert start(folder) == [b"for 16", b"for 7"]


def test_what_is_compiled_later_is_added(folder: Path) -> None:
    start(folder, b"for 16")
    start(folder, b"for 7")
    assert start(folder) == [b"for 16", b"for 7"]


@pytest.mark.parametrize(
    ("key", "gpu"),
    [
        ("b" * 64, GPU),
        (KEY, replace(GPU, name="NVIDIA RTX 4090")),
        (KEY, replace(GPU, compute_capability="8.9")),
        (KEY, replace(GPU, driver="581.00")),
    ],
    ids=["engine", "GPU", "compute capability", "driver"],
)
def test_another_engine_gpu_or_driver_has_kernels_of_its_own(key: str, gpu: Gpu, folder: Path) -> None:
    start(folder, b"mine")
    assert start(folder, b"its own", key=key, gpu=gpu) == []
    assert start(folder) == [b"mine"]
    assert start(folder, key=key, gpu=gpu) == [b"its own"]


@pytest.mark.parametrize("content", [b"", b"nonsense", HEADER + b"here:for 1"], ids=["empty", "foreign", "cut off"])
def test_what_tensorrt_does_not_take_is_compiled_and_written_anew(content: bytes, folder: Path) -> None:
    start(folder, b"for 16")
    whole = kept(folder).read_bytes()
    kept(folder).write_bytes(content)
    assert start(folder, b"for 16") == []
    assert kept(folder).read_bytes() == whole


def test_what_is_of_another_version_of_tensorrt_is_replaced(folder: Path) -> None:
    start(folder, b"old", at=b"version 1.7")
    assert start(folder, b"new", at=b"version 1.8") == []
    assert start(folder, at=b"version 1.8") == [b"new"]


def test_nothing_is_written_where_nothing_was_compiled(folder: Path) -> None:
    start(folder)
    assert not folder.exists()
    start(folder, b"for 16")
    written = kept(folder).stat().st_mtime_ns
    start(folder)
    assert kept(folder).stat().st_mtime_ns == written


def test_it_is_written_once_and_again_only_when_there_is_more(folder: Path) -> None:
    kernels, config = KeptKernels(KEY, GPU, folder), Config()
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.append(b"for 16")
    kernels.keep(lambda line: pytest.fail(line))
    kept(folder).unlink()
    kernels.keep(lambda line: pytest.fail(line))
    assert list(folder.iterdir()) == []
    config.kernels.compiled.append(b"for 7")
    kernels.keep(lambda line: pytest.fail(line))
    assert start(folder) == [b"for 16", b"for 7"]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond a few bytes in the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_file_is_written_whole_or_not_at_all_and_which_is_told(folder: Path, said: list[str]) -> None:
    start(folder, b"for 16")
    before = kept(folder).read_bytes()
    kernels, config = KeptKernels(KEY, GPU, folder), Config()
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.append(b"for 7")
    with full_disk():
        kernels.keep(said.append)
    assert said == [
        f"kernels are not kept, and will be compiled again: {kept(folder)}: not written: File too large",
    ]
    assert kept(folder).read_bytes() == before


def test_kernels_that_come_back_as_nothing_overwrite_nothing(folder: Path) -> None:
    start(folder, b"for 16")
    kernels, config = KeptKernels(KEY, GPU, folder), Config()
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.clear()
    kernels.keep(lambda line: pytest.fail(line))
    assert start(folder) == [b"for 16"]


def test_a_folder_that_cannot_be_written_is_told_and_the_kernels_serve_on(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    kernels, config = KeptKernels(KEY, GPU, tmp_path / "file" / "engines"), Config()
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.append(b"for 16")
    for _ in range(2):
        kernels.keep(said.append)
    (line,) = said  # told once
    assert re.fullmatch(r"kernels are not kept, and will be compiled again: .*; MR2CT_CACHE names another place", line)
    assert config.kernels.compiled == [b"for 16"]


def test_a_folder_in_the_place_of_the_file_is_told(folder: Path, said: list[str]) -> None:
    start(folder, b"for 16")
    file = kept(folder)
    file.unlink()
    file.mkdir()
    kernels, config = KeptKernels(KEY, GPU, folder), Config()
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.append(b"for 16")
    kernels.keep(said.append)
    assert said == [f"kernels are not kept, and will be compiled again: {file}: is a folder; name a file in it"]


def test_before_an_engine_and_after_it_there_is_nothing_to_keep(folder: Path) -> None:
    kernels, config = KeptKernels(KEY, GPU, folder), Config()
    kernels.keep(lambda line: pytest.fail(line))
    kernels.attach(config)
    assert config.kernels is not None
    config.kernels.compiled.append(b"for 16")
    kernels.let_go()
    kernels.keep(lambda line: pytest.fail(line))
    assert not folder.exists()


def test_clearing_the_engines_clears_their_kernels(folder: Path) -> None:
    start(folder, b"for 16")
    assert EngineCache(folder).clear() == 0  # of engines
    assert {file.name for file in folder.iterdir()} == {".lock"}
    assert start(folder) == []


def test_they_are_kept_in_the_users_cache_where_no_other_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MR2CT_CACHE", str(tmp_path / "mine"))
    start(None, b"for 16")
    assert kept(tmp_path / "mine" / "engines").suffix == ".kernels"
