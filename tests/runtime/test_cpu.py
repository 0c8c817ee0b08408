"""The CPU is told by the system, with the instructions that low precision is fast with and no others."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from mr2ct import cpu
from mr2ct.cpu import Cpu, this_cpu

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R)   Platinum 8480+
flags\t\t: fpu sse2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8
bugs\t\t: swapgs

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
HASWELL = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7-4770\nflags\t\t: fpu sse2 avx2 avx512_vnni_not_really\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm bf16\nCPU part\t: 0xd40\n"


def told(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cpu:
    """What is made of a /proc/cpuinfo of this text."""
    (folder / "cpuinfo").write_text(text)
    monkeypatch.setattr(cpu, "CPUINFO", folder / "cpuinfo")
    return this_cpu()


def test_name_and_instructions_of_the_first_processor_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(XEON, tmp_path, monkeypatch)
    assert found == Cpu("Intel(R) Xeon(R) Platinum 8480+", ("avx512_vnni", "amx_int8", "avx512_bf16", "amx_bf16"))
    assert found.fast_int8
    assert str(found) == "Intel(R) Xeon(R) Platinum 8480+ (avx512_vnni, amx_int8, avx512_bf16, amx_bf16)"


def test_a_cpu_without_them_is_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(HASWELL, tmp_path, monkeypatch)
    assert str(found) == "Intel(R) Core(TM) i7-4770"
    assert not found.fast_int8


def test_an_arm_cpu_lists_its_instructions_under_another_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    found = told(GRAVITON, tmp_path, monkeypatch)
    assert found == Cpu("aarch64", ("asimddp", "i8mm", "bf16"))
    assert found.fast_int8


@pytest.mark.parametrize("text", ["", "\n\n", "\x00\xff", "processor: 0"], ids=["empty", "lines", "bytes", "nothing"])
def test_a_list_that_says_nothing_leaves_what_the_interpreter_knows(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6")
    assert told(text, tmp_path, monkeypatch) == Cpu("Intel64 Family 6", ())


def test_where_there_is_no_list_no_instruction_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "none")
    found = this_cpu()
    assert found.name
    assert found.features == ()


def test_this_machine_s_cpu_has_a_name_on_one_line() -> None:
    assert str(this_cpu()).isprintable()
    assert this_cpu() == this_cpu()
