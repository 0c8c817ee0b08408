"""What TensorRT-RTX compiled for this GPU, kept beside its engine so that the next start need not compile it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mr2ct.engine_cache import KERNELS, cache_folder, make_cache_folder
from mr2ct.errors import OutputError
from mr2ct.gpu import Gpu
from mr2ct.writing import whole_or_not_at_all


class KeptKernels:
    """TensorRT-RTX's runtime cache of one engine on one GPU and driver.

    TensorRT-RTX checks by itself that what it is given is whole and of this environment, and else begins anew:
    https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-runtime-cache.html
    """

    def __init__(self, engine_key: str, gpu: Gpu, folder: Path | None = None) -> None:
        """engine_key: of mr2ct.engine.  folder: of the cache, None for the user's."""
        of = "\n".join([engine_key, gpu.name, gpu.compute_capability, gpu.driver])
        self._file = (
            cache_folder() if folder is None else folder
        ) / f"{hashlib.sha256(of.encode()).hexdigest()}{KERNELS}"
        self._kernels: Any = None
        self._loaded = b""

    def attach(self, config: Any) -> None:
        """Give an IRuntimeConfig the kernels that are kept, and a place for new ones."""
        self._kernels = config.create_runtime_cache()
        try:
            kept = self._file.read_bytes()
        except OSError:
            kept = b""
        if kept and self._kernels.deserialize(kept):
            self._loaded = kept
        config.set_runtime_cache(self._kernels)

    def keep(self, say: Callable[[str], None]) -> None:
        """Write what was compiled since; say is told when that cannot be."""
        if self._kernels is None:
            return
        compiled = bytes(self._kernels.serialize())
        if not compiled or compiled == self._loaded:
            return
        try:
            make_cache_folder(self._file.parent)
            with whole_or_not_at_all(self._file, overwrite=True) as partial:
                partial.write_bytes(compiled)
        except OutputError as error:
            say(f"kernels are not kept, and will be compiled again: {error}")
        self._loaded = compiled

    def let_go(self) -> None:
        """Give TensorRT-RTX its object back, before what made it goes; nothing is kept any more."""
        self._kernels = None
