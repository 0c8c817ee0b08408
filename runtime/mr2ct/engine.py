"""An engine that is kept: a plan, and beside it a JSON of all that it depends on and how it was built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mr2ct.gpu import NO_GPU, Gpu, first_gpu
from mr2ct.tensorrt_builder import BuildOptions, Built
from mr2ct.tensorrt_flavour import TITLES, Flavour

SCHEMA = "mr2ct-engine/1"
PLAN, ABOUT = ".plan", ".json"
# what differs between two engines of a graph, in the words of a person
WORDS = {
    "flavour": "TensorRT",
    "version": "TensorRT version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "driver": "driver",
    "profile": "profile",
    "options": "options",
}


@dataclass(frozen=True)
class EngineFacts:
    """All that an engine depends on; another value of any field is another engine.

    profile: "1..16..183 slices", least, tuned for and most.  options: the build's others, as text.
    """

    onnx_sha256: str
    flavour: str
    version: str
    gpu: str
    compute_capability: str
    driver: str
    profile: str
    options: str

    @property
    def key(self) -> str:
        """sha256, hex, of all of them."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Engine:
    """An entry of the cache, by its JSON; whether the plan is there and whole is seen when it is read.

    about: everything in the JSON, with what later versions add to it.
    """

    key: str
    plan_file: Path
    facts: EngineFacts
    about: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the plan."""
        return int(self.about["plan"]["bytes"])

    @property
    def seconds(self) -> float:
        """How long it took to build."""
        return float(self.about["seconds"])

    def read(self) -> bytes | None:
        """The plan, or None when it is no longer what was built."""
        try:
            plan = self.plan_file.read_bytes()
        except OSError:
            return None
        return plan if hashlib.sha256(plan).hexdigest() == self.about["plan"]["sha256"] else None


def engine_facts(flavour: Flavour, onnx_sha256: str, options: BuildOptions, gpu: Gpu | None = None) -> EngineFacts:
    """What an engine of this graph would be here. gpu: the one it is for, None for the machine's first.

    Raises DeviceError when the flavour builds on a GPU and there is none.
    """
    if not flavour.builds_on_gpu:
        gpu = NO_GPU
    elif gpu is None:
        gpu = first_gpu()
    others = asdict(options)
    least, opt, most = 1, others.pop("opt_batch"), others.pop("max_batch")
    return EngineFacts(
        onnx_sha256=onnx_sha256,
        flavour=flavour.name,
        version=flavour.version,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        driver=gpu.driver,
        profile=f"{least}..{opt}..{most} slices",
        options=", ".join(f"{name} {value}" for name, value in others.items()),
    )


def about_engine(facts: EngineFacts, built: Built) -> dict[str, Any]:
    """What is written beside the plan. More may be put into it: readers keep what they do not know."""
    return {
        "schema": SCHEMA,
        "key": facts.key,
        "facts": asdict(facts),
        "plan": {"sha256": hashlib.sha256(built.plan).hexdigest(), "bytes": len(built.plan)},
        "seconds": round(built.seconds, 3),
        "network": asdict(built.network),
        "log": [f"{line.severity}: {line.text}" for line in built.log],
    }


def read_engine(file: Path) -> Engine | None:
    """The entry of a JSON file, None when it is missing, damaged, or of another schema or key."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        facts = EngineFacts(**about["facts"])
        engine = Engine(facts.key, file.with_suffix(PLAN), facts, about)
        whole = about["schema"] == SCHEMA and facts.key == file.stem and isinstance(about["plan"]["sha256"], str)
        return engine if whole and engine.size >= 0 and engine.seconds >= 0 else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def differences(there: EngineFacts, here: EngineFacts) -> list[str]:
    """What differs, for people: "driver 575.1, here 580.2"."""
    mine, theirs = asdict(here), asdict(there)
    return [
        f"{words} {TITLES.get(theirs[name], theirs[name])}, here {TITLES.get(mine[name], mine[name])}"
        for name, words in WORDS.items()
        if mine[name] != theirs[name]
    ]
