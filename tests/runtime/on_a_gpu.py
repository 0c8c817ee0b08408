"""A backend on a real NVIDIA GPU: equal to the CPU, in any batches, and nothing is left when it is closed.

Not collected by itself. test_tensorrt_backend and test_onnxruntime_backend run it, a process for each device; by hand:
MR2CT_TEST_DEVICE=tensorrt python -m pytest tests/runtime/on_a_gpu.py
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mr2ct import tensorrt_backend
from mr2ct.backend import Backend
from mr2ct.certificate import BUDGETS_HU, hu_difference
from mr2ct.choosing import Choice, choose_backend
from mr2ct.cuda_device import CudaDevice, load_pycuda
from mr2ct.engine_cache import EngineCache
from mr2ct.errors import DeviceError
from mr2ct.gpu import Gpu, first_gpu
from mr2ct.kept_kernels import KeptKernels
from mr2ct.model import Model
from mr2ct.tensorrt_backend import RESERVE_BYTES, TensorrtBackend
from mr2ct.tensorrt_engine import engine_of
from mr2ct.tensorrt_flavour import FLAVOURS, LIBRARIES_PACKAGE, Flavour, open_flavour
from mr2ct.tensorrt_slot import TensorrtSlot
from narrow_generator import generator, smooth
from own_process import DEVICE
from small_models import identity_reference, write_model

Array = NDArray[np.float32]

DEVICE_NAME = os.environ.get(DEVICE, "")
MOST = 183  # slices at once
DIFFERENT = 24  # slices; the others are among them
CT_WINDOW_HU = (-600.0, 1400.0)
# TensorRT-RTX's, https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/getting-started/support-matrix.html
RTX_CHIPS = ("7.5", "8.6", "8.9", "12.0", "12.1")
# free memory that may be missing after an engine was opened and closed: the driver takes it by megabytes
LEFT_BYTES = 64 << 20

only_tensorrt = pytest.mark.skipif(DEVICE_NAME not in FLAVOURS, reason=f"{DEVICE_NAME} has no such thing")
only_rtx = pytest.mark.skipif(DEVICE_NAME != "tensorrt-rtx", reason=f"{DEVICE_NAME} has no such thing")
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineCache]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MR2CT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield EngineCache()


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Array, Array]:
    """183 slices and what onnxruntime's CPU makes of them in fp32."""
    model = write_model(tmp_path_factory.mktemp("fp32"), {"fp32": generator(half=False)})
    different = smooth(DIFFERENT)
    with choose_backend(model, "cpu", "fp32") as choice:
        answers = np.concatenate([choice.backend.run(one[np.newaxis]) for one in different])
    which = np.random.default_rng(2).integers(0, DIFFERENT, MOST)
    return different[which], answers[which]


@pytest.fixture(scope="session")
def model(right: tuple[Array, Array], tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The generator in fp32 and fp16, with reference slices that the CPU has answered in fp32."""
    reference = {"mr": right[0][:2], "synthetic_ct": right[1][:2], "head": identity_reference()["head"]}
    graphs: dict[str, onnx.ModelProto | bytes] = {"fp32": generator(half=False), "fp16": generator(half=True)}
    return write_model(tmp_path_factory.mktemp("generator"), graphs, reference=reference, ct_window_hu=CT_WINDOW_HU)


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The GPU. Skips where there is none, or what the device needs is not installed."""
    try:
        found = first_gpu()
        if DEVICE_NAME in FLAVOURS:
            open_flavour(DEVICE_NAME)
            load_pycuda()
    except DeviceError as error:
        pytest.skip(str(error))
    if DEVICE_NAME == "cuda":
        from mr2ct.onnxruntime_backend import has_cuda

        if not has_cuda():
            pytest.skip("this onnxruntime was built without CUDA: pip install 'mr2ct[gpu]'")
    if DEVICE_NAME == "onnxruntime-rtx" and importlib.util.find_spec(LIBRARIES_PACKAGE) is None:
        pytest.skip(f"{LIBRARIES_PACKAGE} is not installed: pip install 'mr2ct[tensorrt-rtx]'")
    return found


@pytest.fixture(scope="session")
def said() -> list[str]:
    """What was told at the first start."""
    return []


@pytest.fixture(scope="session")
def choice(model: Model, gpu: Gpu, said: list[str]) -> Iterator[Choice]:
    """The first start, in the precision that the device takes by itself."""
    try:
        opened = choose_backend(model, DEVICE_NAME, say=said.append)
    except DeviceError as error:
        if DEVICE_NAME.endswith("rtx") and gpu.compute_capability not in RTX_CHIPS:
            pytest.skip(f"TensorRT-RTX does not take an {gpu.name} of {gpu.compute_capability}: {error}")
        raise
    with opened:
        yield opened


@pytest.fixture
def backend(choice: Choice) -> Backend:
    return choice.backend


@pytest.fixture
def again(choice: Choice, model: Model) -> Iterator[Backend]:
    """A start of its own, beside the first."""
    assert choice.backend
    with choose_backend(model, DEVICE_NAME) as opened:
        yield opened.backend


@pytest.fixture
def flavour(choice: Choice) -> Flavour:
    assert choice.backend
    return open_flavour(DEVICE_NAME)


Open = Callable[..., TensorrtBackend]


@pytest.fixture(scope="session")
def open_for_good(choice: Choice, model: Model, gpu: Gpu) -> Open:
    """Opens the model's engine with options, and with what is compiled of it already."""
    assert choice.backend
    flavour = open_flavour(DEVICE_NAME)
    engine, plan = engine_of(flavour, model, "fp16", lambda _: None)

    def start(say: Callable[[str], None] = lambda _: None, **options: Any) -> TensorrtBackend:
        if not flavour.builds_on_gpu:
            options.setdefault("kernels", KeptKernels(engine.key, gpu))
        return TensorrtBackend(model, flavour, plan, gpu, say, **options)

    return start


@pytest.fixture
def open_backend(open_for_good: Open) -> Iterator[Open]:
    """The same; what was opened is closed at the end of the test."""
    opened: list[TensorrtBackend] = []

    def start(*given: Any, **options: Any) -> TensorrtBackend:
        opened.append(open_for_good(*given, **options))
        return opened[-1]

    yield start
    for backend in opened:
        backend.close()


@pytest.fixture(scope="session")
def by_fours(open_for_good: Open) -> Iterator[TensorrtBackend]:
    """An engine that takes four slices at once."""
    backend = open_for_good(step=4)
    yield backend
    backend.close()


def assert_equal(answer: Array, wanted: Array, precision: str = "fp16") -> None:
    """Of the same shape and type, and within the budget that a certificate of the precision has."""
    assert answer.shape == wanted.shape
    assert answer.dtype == np.float32
    error = hu_difference(answer, wanted, CT_WINDOW_HU)
    measured = {"mean_hu": error.mean(), "p99_9_hu": np.percentile(error, 99.9), "max_hu": error.max()}
    for name, limit in BUDGETS_HU[precision].items():
        assert measured[name] <= limit, measured


def test_it_was_proved_here_when_it_first_started(choice: Choice, said: list[str]) -> None:
    assert choice.precision == "fp16"
    assert choice.certificate is not None
    assert choice.certificate.passed
    assert choice.certificate.engine == choice.backend.description
    assert choice.certificate.slices == 2
    assert [line for line in said if line.startswith("proving ")] == [
        f"proving {choice.backend.description} equal to PyTorch here, over the model's reference slices"
    ]


def test_it_says_what_runs_it_and_how_much_it_likes_at_once(choice: Choice, gpu: Gpu) -> None:
    description = choice.backend.description
    assert "CPU" not in description
    assert 1 <= choice.backend.batch <= MOST
    if DEVICE_NAME in FLAVOURS:
        assert description == f"{open_flavour(DEVICE_NAME).title}, {gpu.name}"


@pytest.mark.parametrize("counts", [(1, 7, 16, 17, MOST), (MOST, 17, 16, 16, 7, 1, 17, 1)])
def test_batches_of_any_size_in_any_order_are_answered_as_the_cpu_does(
    counts: tuple[int, ...], backend: Backend, right: tuple[Array, Array]
) -> None:
    for turn, count in enumerate(counts):
        part = slice(turn, turn + count) if turn + count <= MOST else slice(MOST - count, MOST)
        assert_equal(backend.run(right[0][part]), right[1][part])


def test_in_fp32_it_is_equal_to_a_tenth_of_a_hu(model: Model, choice: Choice, right: tuple[Array, Array]) -> None:
    assert choice.backend
    with choose_backend(model, DEVICE_NAME, "fp32") as single:
        assert single.certificate is not None
        assert single.certificate.precision == "fp32"
        assert_equal(single.backend.run(right[0][:17]), right[1][:17], "fp32")


def test_a_result_is_the_callers_and_no_later_run_changes_it(backend: Backend, right: tuple[Array, Array]) -> None:
    first = backend.run(right[0][:20])
    kept = first.copy()
    second = backend.run(right[0][20:40])
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    first[...] = 7  # and may be written to
    assert_equal(backend.run(right[0][:20]), right[1][:20])


def test_the_input_is_neither_changed_nor_kept(backend: Backend, right: tuple[Array, Array]) -> None:
    slices = right[0][:20].copy()
    slices.flags.writeable = False
    answer = backend.run(slices)
    np.testing.assert_array_equal(slices, right[0][:20])
    assert not np.shares_memory(slices, answer)
    slices.flags.writeable = True
    slices[...] = 0
    assert_equal(answer, right[1][:20])


def test_how_slices_lie_in_memory_does_not_matter(backend: Backend, right: tuple[Array, Array]) -> None:
    turned = np.ascontiguousarray(right[0][:20].transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    assert not turned.flags.c_contiguous
    assert_equal(backend.run(turned), right[1][:20])


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_a_batch_beyond_the_models_bounds_is_refused_with_them(
    count: int, backend: Backend, right: tuple[Array, Array]
) -> None:
    with pytest.raises(DeviceError, match=f"{count} slices at once; this model takes 1 to {MOST}"):
        backend.run(np.zeros((count, 1, 256, 256), np.float32))
    assert_equal(backend.run(right[0][:3]), right[1][:3])


@pytest.mark.parametrize("shape", [(3, 1, 128, 128), (3, 1, 1, 1), (3, 1, 256), (3, 3, 256, 256)])
def test_slices_of_another_shape_are_an_error_and_the_next_run_is_right(
    shape: tuple[int, ...], backend: Backend, right: tuple[Array, Array]
) -> None:
    with pytest.raises(DeviceError):
        backend.run(np.zeros(shape, np.float32))
    assert_equal(backend.run(right[0][:3]), right[1][:3])


def test_the_second_start_builds_nothing_and_proves_nothing(
    choice: Choice, model: Model, cache: EngineCache, right: tuple[Array, Array]
) -> None:
    def kept() -> dict[Path, int]:
        files = (file for ending in ("plan", "json", "certificate") for file in cache.folder.glob(f"*.{ending}"))
        return {file: file.stat().st_mtime_ns for file in files}

    before, said = kept(), list[str]()
    assert sum(file.suffix == ".certificate" for file in before) >= 1
    with choose_backend(model, DEVICE_NAME, say=said.append) as second:
        assert second.certificate == choice.certificate
        assert_equal(second.backend.run(right[0][:17]), right[1][:17])
    assert said == []
    assert kept() == before


def test_a_closed_backend_runs_no_more_and_the_one_beside_it_runs_on(
    again: Backend, backend: Backend, right: tuple[Array, Array]
) -> None:
    assert_equal(again.run(right[0][:17]), right[1][:17])
    assert_equal(backend.run(right[0][:17]), right[1][:17])
    for _ in range(2):
        again.close()
    with pytest.raises(DeviceError, match="closed already"):
        again.run(right[0][:1])
    assert_equal(backend.run(right[0][:17]), right[1][:17])


def test_one_after_another_each_gives_back_what_it_held(
    choice: Choice, model: Model, right: tuple[Array, Array]
) -> None:
    """onnxruntime's sessions and TensorRT's engines both."""
    assert choice.backend
    if DEVICE_NAME not in FLAVOURS:
        try:
            load_pycuda()
        except DeviceError as error:
            pytest.skip(f"free memory is told by PyCUDA: {error}")
    free = []
    for _ in range(3):
        with choose_backend(model, DEVICE_NAME) as opened:
            assert_equal(opened.backend.run(right[0]), right[1])
        del opened
        device = CudaDevice()
        with device.current():
            free.append(device.free_bytes())
        device.close()
    assert free[-1] >= free[0] - LEFT_BYTES, free


@only_tensorrt
def test_the_gpus_own_time_is_told_and_is_within_the_callers(backend: Backend, right: tuple[Array, Array]) -> None:
    assert isinstance(backend, TensorrtBackend)
    for count in (1, MOST):
        started = time.perf_counter()
        backend.run(right[0][:count])
        assert 0 < backend.gpu_seconds <= time.perf_counter() - started


@only_tensorrt
@pytest.mark.parametrize(("step", "taken"), [(None, 16), (1, 1), (5, 5), (64, 64), (999, MOST)])
def test_pieces_of_any_size_give_the_same(
    step: int | None, taken: int, open_backend: Open, right: tuple[Array, Array]
) -> None:
    said: list[str] = []
    backend = open_backend(said.append, step=step)
    assert (backend.step, backend.batch) == (taken, MOST)
    assert said == []
    for count in (MOST, 1, 17):
        assert_equal(backend.run(right[0][:count]), right[1][:count])


@only_tensorrt
def test_where_memory_is_short_it_takes_fewer_slices_at_once_and_says_so(
    open_backend: Open, right: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = []
    fill = TensorrtBackend._fill

    def count(backend: TensorrtBackend, step: int, scratch_bytes: int) -> bool:
        needed.append(scratch_bytes + 4 * step * 256 * 256 * 4)
        return fill(backend, step, scratch_bytes)

    monkeypatch.setattr(TensorrtBackend, "_fill", count)
    open_backend(step=4)  # to see what four slices need
    monkeypatch.setattr(CudaDevice, "free_bytes", lambda _: RESERVE_BYTES + needed[0])
    said: list[str] = []
    backend = open_backend(said.append, step=16)
    assert backend.step == 4
    (line,) = said
    assert line.startswith("4 slices at once instead of 16: only ")
    assert line.endswith(" GB of GPU memory are free")
    assert_equal(backend.run(right[0][:19]), right[1][:19])


@only_tensorrt
def test_where_the_driver_has_less_than_it_says_it_takes_fewer_slices_too(
    open_backend: Open, right: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second slot of the first try finds the GPU full: what the first one held is given back."""
    made: list[int] = []

    class Full(TensorrtSlot):
        def __init__(self, device: CudaDevice, *others: Any) -> None:
            made.append(len(made))
            if made[-1] == 1:
                raise device.driver.MemoryError("cuMemAlloc failed: out of memory")
            super().__init__(device, *others)

    monkeypatch.setattr(tensorrt_backend, "TensorrtSlot", Full)
    backend = open_backend(step=16)
    assert backend.step == 8
    assert len(made) == 4
    assert_equal(backend.run(right[0][:19]), right[1][:19])


@only_tensorrt
def test_too_little_memory_for_a_single_slice_is_told_in_gigabytes(
    open_backend: Open, backend: Backend, right: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(CudaDevice, "free_bytes", lambda _: 1 << 20)
        with pytest.raises(DeviceError) as caught:
            open_backend()
    message = str(caught.value)
    assert "one slice needs " in message
    assert " GB of GPU memory, 0.00 GB are free; end what else runs on the GPU, or take --device cpu" in message
    assert "\n" not in message
    assert_equal(backend.run(right[0][:3]), right[1][:3])


@only_tensorrt
@pytest.mark.parametrize("plan", [b"", b"no engine", bytes(100_000)], ids=["empty", "text", "zeros"])
def test_what_is_no_engine_is_told_with_the_remedy(
    plan: bytes, model: Model, flavour: Flavour, gpu: Gpu, backend: Backend, right: tuple[Array, Array]
) -> None:
    with pytest.raises(DeviceError) as caught:
        TensorrtBackend(model, flavour, plan, gpu, lambda _: None)
    message = str(caught.value)
    assert message.startswith(f"{flavour.title} does not load its engine on {gpu.name} (")
    assert message.endswith("); mr2ct-export --clear-engines, and it is built again")
    assert "\n" not in message
    assert_equal(backend.run(right[0][:3]), right[1][:3])


@only_tensorrt
@pytest.mark.parametrize("error", [DeviceError, KeyboardInterrupt])
@pytest.mark.parametrize("call", ["load", "compute", "store", "take"])
def test_after_a_run_that_ended_early_the_next_is_right(
    call: str,
    error: type[BaseException],
    by_fours: TensorrtBackend,
    right: tuple[Array, Array],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fourth call fails, while what the others queued is still being done."""
    original, calls = getattr(TensorrtSlot, call), list[None]()

    def fail(slot: TensorrtSlot, *given: Any) -> Any:
        calls.append(None)
        if len(calls) == 4:
            raise error("as the test wants it")
        return original(slot, *given)

    with monkeypatch.context() as patched:
        patched.setattr(TensorrtSlot, call, fail)
        with pytest.raises(error, match="as the test wants it"):
            by_fours.run(right[0][:30])
    assert_equal(by_fours.run(right[0][:30]), right[1][:30])


@only_tensorrt
def test_who_uses_the_gpu_beside_it_is_not_disturbed(gpu: Gpu, open_backend: Open, right: tuple[Array, Array]) -> None:
    assert gpu
    driver = load_pycuda()
    mine = CudaDevice()
    with mine.current():
        sent, back = np.ones(1 << 16, np.float32), np.zeros(1 << 16, np.float32)
        memory = driver.mem_alloc(sent.nbytes)
        driver.memcpy_htod(memory, sent)
        backend = open_backend()
        backend.run(right[0][:3])
        backend.close()
        driver.memcpy_dtoh(back, memory)
        memory.free()
    mine.close()
    np.testing.assert_array_equal(back, sent)


@only_rtx
def test_what_was_compiled_is_kept_and_taken_at_the_next_start(
    choice: Choice, cache: EngineCache, open_backend: Open, gpu: Gpu, right: tuple[Array, Array], tmp_path: Path
) -> None:
    assert choice.backend
    assert any(file.stat().st_size > 0 for file in cache.folder.glob("*.kernels"))
    backend = open_backend(kernels=KeptKernels("a" * 64, gpu, tmp_path))
    (file,) = tmp_path.glob("*.kernels")
    assert file.stat().st_size > 0
    backend.close()
    second = open_backend(kernels=KeptKernels("a" * 64, gpu, tmp_path))
    assert_equal(second.run(right[0][:17]), right[1][:17])


@only_rtx
def test_damaged_kernels_are_compiled_again(
    open_backend: Open, gpu: Gpu, right: tuple[Array, Array], tmp_path: Path
) -> None:
    open_backend(kernels=KeptKernels("a" * 64, gpu, tmp_path)).close()
    (file,) = tmp_path.glob("*.kernels")
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes()[: whole // 2])
    said: list[str] = []
    backend = open_backend(said.append, kernels=KeptKernels("a" * 64, gpu, tmp_path))
    assert_equal(backend.run(right[0][:17]), right[1][:17])
    assert file.stat().st_size > whole // 2
    assert said == []


@only_rtx
def test_without_cuda_graphs_it_answers_the_same(open_backend: Open, right: tuple[Array, Array]) -> None:
    backend = open_backend(cuda_graphs=False)
    for count in (1, 17, MOST):
        assert_equal(backend.run(right[0][:count]), right[1][:count])
