"""Engines, kept with the user's other caches so that each is built once: a plan, and beside it a JSON of what it is.

<key>.plan      what TensorRT built
<key>.json      the facts that key is made of, the plan's sha256 and size, how it was built
<hash>.timings  TensorRT's timing cache of a flavour, version and GPU
<hash>.kernels  what TensorRT-RTX compiled of an engine on a GPU (kept_kernels.py)
<hash>.graph    what OpenVINO compiled for this CPU (openvino_kept.py)
<hash>.certificate  that an engine was proved equal to PyTorch on this machine (machine_certificate.py)
.lock           held while one is built: of two builds on a GPU at once, each would spoil the other's timings
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mr2ct.engine import ABOUT, PLAN, Engine, EngineFacts, about_engine, differences, read_engine
from mr2ct.errors import OutputError
from mr2ct.file_lock import locked
from mr2ct.tensorrt_builder import Built
from mr2ct.writing import whole_or_not_at_all

VARIABLE = "MR2CT_CACHE"
TIMINGS, KERNELS, GRAPH, CERTIFICATE, LOCK = ".timings", ".kernels", ".graph", ".certificate", ".lock"
OURS = re.compile(
    r"\.?[0-9a-f]{64}\..*(json|plan|timings|kernels|graph|certificate|partial)"
)  # nothing else in the folder is touched


def cache_folder() -> Path:
    """engines/ in $MR2CT_CACHE, else in mr2ct/ in the user's cache folder of this system."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) / "engines"
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mr2ct" / "engines"


class EngineCache:
    """The engines of a folder, which is made when the first is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder

    def engines(self) -> list[Engine]:
        """Every whole entry, by key. An entry of another schema is not listed, nor is what is no entry."""
        found = (read_engine(file) for file in self._files(ABOUT))
        return [engine for engine in found if engine is not None]

    def find(self, facts: EngineFacts) -> Engine | None:
        """The engine of exactly these facts, whose plan may still be damaged."""
        engine = read_engine(self.folder / f"{facts.key}{ABOUT}")
        return engine if engine is not None and engine.facts == facts else None

    def why_none_fits(self, facts: EngineFacts) -> str:
        """What keeps the nearest engine of the same graph from fitting, "" where the graph has none."""
        others = [engine.facts for engine in self.engines() if engine.facts.onnx_sha256 == facts.onnx_sha256]
        nearest: list[str] = min((differences(other, facts) for other in others), key=len, default=[])
        return "; ".join(nearest)

    def take_or_build(
        self, facts: EngineFacts, build: Callable[[bytes], Built], say: Callable[[str], None]
    ) -> tuple[Engine, bytes]:
        """The engine of these facts and its plan: from the cache, or built now and kept.

        build: makes it from the timing cache of earlier builds (b"" for none).  say: is told in a line what is done
        and why. Two processes that want an engine build it once. Raises OutputError when it cannot be kept, before
        anything is built, and what build raises; either way the cache is as it was.
        """
        taken = self._take(facts, lambda _: None)
        if taken is not None:
            return taken
        make_cache_folder(self.folder)
        with locked(self.folder / LOCK, lambda: say(f"waiting: another process builds an engine in {self.folder}")):
            taken = self._take(facts, say)
            if taken is not None:
                return taken
            reason = self.why_none_fits(facts)
            if reason and self.find(facts) is None:
                say(f"building: no engine of this graph fits here: {reason}")
            timings = self._timings_file(facts)
            built = build(timings.read_bytes() if timings.is_file() else b"")
            self._keep(facts, built)
            if built.timings:
                _write(timings, built.timings)
            kept = self._take(facts, say)
            if kept is None:
                raise OutputError(f"{self.folder}: what was written there does not come back; is the disk sound?")
            return kept

    def clear(self) -> int:
        """Remove everything the cache holds, and nothing else of the folder; returns how many engines it held.

        Raises OutputError when something cannot be removed.
        """
        if not self.folder.is_dir():
            return 0
        try:
            with locked(self.folder / LOCK, lambda: None):
                engines = len(list(self._files(PLAN)))
                for ending in (ABOUT, PLAN, TIMINGS, KERNELS, GRAPH, CERTIFICATE):
                    for file in self._files(ending):
                        file.unlink()
                for left in self._files(".partial"):  # of a process that was killed while it wrote
                    shutil.rmtree(left)
        except OSError as error:
            raise OutputError(f"{self.folder}: not cleared ({error.strerror or error})") from error
        return engines

    def _take(self, facts: EngineFacts, say: Callable[[str], None]) -> tuple[Engine, bytes] | None:
        engine = self.find(facts)
        plan = None if engine is None else engine.read()
        if engine is not None and plan is None:
            say(f"{engine.plan_file}: damaged, it is not what was built; building it again")
        return None if engine is None or plan is None else (engine, plan)

    def _keep(self, facts: EngineFacts, built: Built) -> None:
        with whole_or_not_at_all(self.folder / f"{facts.key}{ABOUT}", overwrite=True) as partial:
            partial.with_suffix(PLAN).write_bytes(built.plan)
            partial.write_text(json.dumps(about_engine(facts, built), indent=2) + "\n", encoding="utf-8")

    def _files(self, ending: str) -> Iterator[Path]:
        """Our files of an ending, by name."""
        return (file for file in sorted(self.folder.glob(f"*{ending}")) if OURS.fullmatch(file.name))

    def _timings_file(self, facts: EngineFacts) -> Path:
        """Timings hold for one version on one GPU, which TensorRT checks by a header in them."""
        of = json.dumps([facts.flavour, facts.version, facts.gpu, facts.compute_capability])
        return self.folder / f"{hashlib.sha256(of.encode()).hexdigest()}{TIMINGS}"


def make_cache_folder(folder: Path) -> None:
    """Make the cache's folder. Raises OutputError, naming the remedy, when it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot keep engines there: {error.strerror}; {VARIABLE} names another place"
        ) from error


def _write(target: Path, content: bytes) -> None:
    with whole_or_not_at_all(target, overwrite=True) as partial:
        partial.write_bytes(content)
