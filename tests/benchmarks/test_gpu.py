"""The GPU benchmark without a GPU: what is counted is right, and whatever a contender does becomes a row."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gpu_contenders
import measure
import nvml
import phantom
from alone import alone
from contenders import EXPECTED, HEADS, SLICES, WEIGHTS, Job
from gpu_contenders import BY_NAME
from gpu_picture import draw
from gpu_table import print_table
from inputs import generator_of, prepare
from macs import macs_a_slice, parameters
from mr2ct.errors import DeviceError, ModelError
from mr2ct.gpu import DRIVER, MANAGEMENT, Gpu, first_gpu
from mr2ct.model import INSTALLED, UNTRAINED, open_model
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training.generator import Generator
from race import Race
from small_models import write_model

GPU = Path(measure.__file__).with_name("gpu.py")
COUNT = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as contenders are given it: the shipped model's generator, three slices of a drawn head."""
    folder = tmp_path_factory.mktemp("work")
    mr = phantom.draw(phantom.grid_around((0, 0, 0), (70, 70, 46), (3.6, 3.6, 4.0), phantom.SAGITTAL))[0]
    write_volume(Volume(np.rint(mr.voxels).astype(np.int16), mr.grid), folder / "head.nii.gz")
    prepare(folder, INSTALLED / UNTRAINED, None, 8, folder / "head.nii.gz", COUNT)
    return folder


@pytest.fixture(scope="module")
def exact(work: Path) -> dict[str, Any]:
    """What PyTorch in fp32 tells; its answers are in the folder."""
    return measure.exact(asked(work))


def asked(work: Path, **more: Any) -> argparse.Namespace:
    """What measure.py is called with."""
    usual = {"device": "cpu", "step": 2, "repeats": 2, "seconds": 1.0, "start_only": False, "used_before": None}
    usual |= {"least_runs": 5, "warm_ups": 3, "slices": None, "threads": None}
    return argparse.Namespace(**{"work": work, "model": INSTALLED / UNTRAINED, "started": time.time(), **usual, **more})


def no_gpu() -> str:
    """Why there is no GPU here; skips where there is one."""
    try:
        first_gpu()
    except DeviceError as error:
        return str(error)
    pytest.skip("a GPU is here")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_papers_generator_has_48_7_gmac_a_slice_and_11_37_million_parameters() -> None:
    network = Generator()
    assert macs_a_slice(network, 256, 256) == pytest.approx(48.7e9, rel=0.01)
    assert parameters(network) == pytest.approx(11.37e6, rel=0.001)


def test_a_transposed_convolution_multiplies_at_the_pixels_of_its_input() -> None:
    up = nn.ConvTranspose2d(1, 5, 3, stride=2, padding=1, output_padding=1)
    assert macs_a_slice(up, 8, 6) == 8 * 6 * 5 * 9
    assert macs_a_slice(nn.Conv2d(1, 5, 3, stride=2, padding=1), 8, 6) == 4 * 3 * 5 * 9


def test_the_generator_of_a_graph_answers_as_the_models_reference() -> None:
    model = open_model(UNTRAINED)
    reference = model.reference()
    with torch.inference_mode():
        answer = generator_of(model)(torch.from_numpy(reference.mr[:1])).numpy()
    np.testing.assert_allclose(answer, reference.synthetic_ct[:1], atol=1e-5)


def test_a_graph_without_the_generators_weights_is_no_generator(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", generator={"width": 8, "blocks": 1})
    with pytest.raises(ModelError, match=r"no weight entry\.1\.weight"):
        generator_of(model)


def test_the_middle_slices_are_taken_with_the_head_in_them(work: Path) -> None:
    slices, heads = np.load(work / SLICES), np.load(work / HEADS)
    assert slices.shape == (COUNT, 1, 256, 256)
    assert slices.dtype == np.float32
    assert heads.shape == (COUNT, 256, 256)
    assert 0.3 < heads.mean() < 0.9  # the middle of a head
    assert slices[:, 0][heads].mean() > -0.7  # of [-1, 1], where air is -1
    assert slices[:, 0][~heads].mean() < -0.95


def test_percentiles_are_milliseconds() -> None:
    assert measure.milliseconds([second / 1000 for second in range(101)]) == pytest.approx(
        {"p50": 50, "p90": 90, "p99": 99}
    )


def test_errors_are_hu_inside_the_head_and_held_to_the_budget_of_the_precision() -> None:
    expected = np.zeros((1, 1, 20, 100), np.float32)
    answer, heads = expected.copy(), np.zeros((1, 20, 100), bool)
    heads[:, :10] = True
    answer[:, :, :10] = 2e-4  # 0.2 HU of a window of 2000
    answer[:, :, 10:] = 1  # outside the head
    within = measure.error_hu(answer, expected, heads, "fp16", (-600, 1400))
    assert within["error_hu"] == pytest.approx({"mean": 0.2, "p99.9": 0.2, "max": 0.2}, rel=1e-4)
    assert within["within_budget"]
    assert not measure.error_hu(answer * 2, expected, heads, "fp16", (-600, 1400))["within_budget"]
    answer[0, 0, 0, 0] = np.nan
    assert measure.error_hu(answer, expected, heads, "fp16", (-600, 1400))["error_hu"]["max"] == np.inf


def test_pytorch_in_half_precision_is_measured_against_its_own_fp32(
    work: Path, exact: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # put back afterwards
    assert exact["from_the_models_reference"]["within_budget"]
    assert exact["matrix_peak"]["tflop_per_second"] > 0.001
    assert np.load(work / EXPECTED).shape == (COUNT, 1, 256, 256)
    row = measure.contender(BY_NAME["pytorch"], asked(work))
    assert row["status"] == "ran"
    assert row["slices_at_once"] == 2  # so that the last piece is a shorter one
    assert 0.01 < row["error_hu"]["mean"] < 2
    assert row["clock"].startswith("wall")
    assert 0 < row["gpu_ms"]["p50"] == row["host_to_host_ms"]["p50"]
    start = row["cold_start_seconds"]
    assert start["all"] == pytest.approx(start["import"] + start["load or build"] + start["first run"])


@pytest.mark.parametrize("name", ["cuda-graphs", "onnxruntime-cuda", "onnxruntime-rtx", "tensorrt-rtx", "tensorrt"])
def test_what_needs_a_gpu_is_absent_where_none_is_asked_for(name: str, work: Path) -> None:
    row = measure.contender(BY_NAME[name], asked(work))
    assert row["status"] == "absent"
    assert "GPU" in row["reason"]


def test_a_swept_engine_is_tuned_for_its_step_and_the_usual_one_is_what_mr2ct_run_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", {"fp16": b"a graph"}, max_batch=20)
    made: dict[str, Any] = {}

    class Flavour:
        builds_on_gpu = True

    class Built:
        def __init__(self, options: Any) -> None:
            self.plan = options

    monkeypatch.setattr("mr2ct.gpu.first_gpu", lambda: Gpu("NVIDIA Stand-in", "9.0", "1"))
    monkeypatch.setattr("mr2ct.cuda_device.load_pycuda", lambda: None)
    monkeypatch.setattr("mr2ct.tensorrt_flavour.open_flavour", lambda _: Flavour())
    monkeypatch.setattr("mr2ct.tensorrt_builder.build", lambda _, graph, options: Built((graph, options)))
    monkeypatch.setattr("mr2ct.tensorrt_engine.engine_of", lambda *_: (None, "the kept plan"))
    monkeypatch.setattr(
        "mr2ct.tensorrt_backend.TensorrtBackend", lambda _m, _f, plan, *_, **more: made.update(plan=plan, **more)
    )
    opener = BY_NAME["tensorrt"].load("cuda")
    opener(Job(model, tmp_path / WEIGHTS, "cuda", 20, step=32))
    graph, options = made["plan"]
    assert (graph, options.opt_batch, options.max_batch, made["step"]) == (b"a graph", 20, 20, 32)
    opener(Job(model, tmp_path / WEIGHTS, "cuda", 20, step=None))
    assert (made["plan"], made["step"]) == ("the kept plan", None)


def test_a_model_without_an_fp16_graph_fails_by_name(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_contenders, "_gpu", lambda _: None)
    row = measure.contender(BY_NAME["onnxruntime-cuda"], asked(work))
    assert (row["status"], "no mr_to_ct.fp16.onnx; mr2ct-export" in row["reason"]) == ("failed", True)


def test_a_process_that_crashes_is_a_row_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    assert alone(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), 20) == {
        "status": "failed",
        "reason": "killed by SIGSEGV",
    }
    raised = alone(python("error = ValueError('too wide'); error.add_note('Set VERBOSE=1'); raise error"), 20)
    assert raised == {"status": "failed", "reason": "exit code 1: ValueError: too wide"}
    assert "Traceback" in capfd.readouterr().err
    assert alone(python("print('no JSON')"), 20) == {"status": "failed", "reason": "exit code 0"}
    assert alone(python("print('{}'); raise SystemExit(3)"), 20)["status"] == "failed"


def test_only_the_last_line_has_to_be_json() -> None:
    assert alone(python("import json; print('noise'); print(json.dumps({'status': 'ran'}))"), 20) == {"status": "ran"}


def test_a_process_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time; from pathlib import Path; "
        "slow = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"Path({str(child)!r}).write_text(str(slow.pid)); time.sleep(60)"
    )
    started = time.monotonic()
    assert alone(python(code), 2) == {"status": "timed out", "reason": "no answer within 2 s"}
    assert time.monotonic() - started < 15
    for _ in range(100):  # until the system has taken it off its list
        if not _alive(int(child.read_text())):
            return
        time.sleep(0.05)
    pytest.fail("the child's child lives on")


def _alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def result(work: Path, exact: dict[str, Any]) -> dict[str, Any]:
    """A race of two over the CPU, one of which is not there, as gpu.py tells it."""
    race = Race(work, INSTALLED / UNTRAINED, "cpu", tflop=0.5, timeout=60, within=100, repeats=2, peak=10.0)
    racing = [BY_NAME["onnxruntime-cpu"], BY_NAME["tensorrt"]]
    rows = race.contenders(racing)
    assert race.sweep(racing, rows, [4, 8]) == []  # the one that would be swept did not run
    race.within = 0
    rows += race.contenders([BY_NAME["pytorch"]])
    return {
        "date": "2000-01-01",
        "gpu": None,
        "hardware": {"cpu": "a CPU"},
        "versions": {"torch": "0"},
        "model": {"name": "untrained-8", "state": "untrained", "head": "drawn"},
        "slices": COUNT,
        "tflop_a_volume": 0.5,
        "exact": exact,
        "contenders": rows,
        "sweep": [{**rows[0], "step": 4}, {**rows[1], "step": 8}],
    }


def test_a_process_of_its_own_answers_with_all_that_was_measured(result: dict[str, Any]) -> None:
    ran, absent, late = result["contenders"]
    assert ran["status"] == "ran"
    assert ran["engine"].startswith("onnxruntime")
    assert ran["error_hu"]["max"] < 0.1
    assert ran["tflop_per_second"] == pytest.approx(0.5 / ran["gpu_ms"]["p50"] * 1e3)
    assert ran["of_matrix_peak"] == pytest.approx(ran["tflop_per_second"] / 10)
    assert ran["memory_gib"] > 0.05
    assert absent["status"] == "absent"
    assert late == {
        "name": "pytorch", "title": "PyTorch eager", "status": "not run", "reason": "the 0 s for all of them were up",
    }  # fmt: skip
    json.dumps(result)


def test_the_table_tells_what_ran_and_why_the_others_did_not(
    result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(result)
    told = capsys.readouterr().out
    assert "onnxruntime CPU, fp32, 1 at once" in told
    assert "holds, untrained" in told
    assert f"absent: {result['contenders'][1]['reason']}" in told
    assert "tuned for so many slices at once" in told
    assert "* by the wall clock" in told


def test_the_picture_grows_with_its_bars(result: dict[str, Any], tmp_path: Path) -> None:
    draw(result, tmp_path / "one.png")
    more = [*result["contenders"], *[result["contenders"][0]] * 3]
    draw({**result, "contenders": more}, tmp_path / "four.png")
    heights = [int.from_bytes((tmp_path / name).read_bytes()[20:24]) for name in ("one.png", "four.png")]
    assert heights[1] - heights[0] > 3 * 50  # pixels


def test_without_a_gpu_the_benchmark_ends_with_one_line_and_exit_code_5() -> None:
    reason = no_gpu()
    done = subprocess.run([sys.executable, str(GPU)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "", f"gpu.py: {reason}\n")


# The calls with the signatures of cuda.h and nvml.h, for a GPU that the two libraries know by its UUID.
CUDA = """
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    for (int i = 0; i < 16; i++) uuid[i] = i + 1;
    return device != 7;
}
"""
NVML = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } Memory;
static int it;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = &it;
    return strcmp(uuid, "GPU-01020304-0506-0708-090a-0b0c0d0e0f10") ? 6 : 0;
}
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    memory->total = 80ull << 30; memory->free = 75ull << 30; memory->used = 5ull << 30;
    return device != &it;
}
int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *mhz) { *mhz = 1000 + kind; return device != &it; }
int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned *mhz) { *mhz = 2000 + kind; return device != &it; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) { return 3; }
"""


def test_memory_and_clocks_are_those_of_the_gpu_that_cuda_counts_first(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler (cc), or not Linux: the stand-in for the driver is compiled")
    for name, code in ((DRIVER, CUDA), (MANAGEMENT, NVML)):
        command = [compiler, "-shared", "-fPIC", "-xc", "-", "-o", str(tmp_path / name)]
        subprocess.run(command, input=code, text=True, check=True)
    path = os.pathsep.join([str(Path(nvml.__file__).parent), *map(os.path.abspath, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        python("import json, nvml; print(json.dumps([nvml.used_bytes(), nvml.clocks()]))"),
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [
        5 << 30,
        {
            "sm_mhz": 1001,
            "sm_mhz_at_most": 2001,
            "memory_mhz": 1002,
            "memory_mhz_at_most": 2002,
            "power_limit_w": None,
        },
    ]


def test_without_a_driver_memory_and_clocks_are_not_told() -> None:
    no_gpu()
    assert nvml.used_bytes() is None
    assert set(nvml.clocks().values()) == {None}
