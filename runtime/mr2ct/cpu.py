"""What the CPU of this machine is: its name, and which of the instructions it has that low precision is fast with."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

# As Linux names them in /proc/cpuinfo. Sums of 8-bit products: the first three on x86, asimddp and i8mm on ARM.
INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
BF16 = ("avx512_bf16", "amx_bf16", "bf16")
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Cpu:
    """What an engine on a CPU depends on. name: "AMD EPYC 9B45".  features: those of INT8 and BF16 it is known to have.

    As text it names the hardware of a certificate.
    """

    name: str
    features: tuple[str, ...]

    def __str__(self) -> str:
        """ "AMD EPYC 9B45 (avx512_vnni, avx512_bf16)" """
        return f"{self.name} ({', '.join(self.features)})" if self.features else self.name

    @property
    def fast_int8(self) -> bool:
        """Whether it has instructions for 8-bit products; without them int8 is no faster than fp32."""
        return any(feature in INT8 for feature in self.features)


def this_cpu() -> Cpu:
    """The CPU of this machine. Where the system does not list its instructions, outside Linux, none are named."""
    try:
        told = _first_processor(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        told = {}
    flags = told.get("flags", told.get("Features", "")).split()  # x86 and ARM
    name = told.get("model name") or platform.processor() or platform.machine() or "a CPU without a name"
    return Cpu(" ".join(name.split()), tuple(feature for feature in (*INT8, *BF16) if feature in flags))


def _first_processor(text: str) -> dict[str, str]:
    """The fields of the first processor of /proc/cpuinfo; the others are like it."""
    pairs = (line.partition(":") for line in text.strip().partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
