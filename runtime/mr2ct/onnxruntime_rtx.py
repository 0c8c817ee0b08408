"""TensorRT-RTX inside of onnxruntime: a provider that comes in a package of its own and is registered at run time.

https://onnxruntime.ai/docs/execution-providers/plugin-ep-libraries/usage.html
"""

from __future__ import annotations

import importlib.util
from typing import Any

import onnxruntime

from mr2ct.card import Card
from mr2ct.errors import DeviceError
from mr2ct.tensorrt_flavour import LIBRARIES_PACKAGE
from mr2ct.tensorrt_watch import shortened

PROVIDER = "NvTensorRTRTXExecutionProvider"
REMEDY = "pip install 'mr2ct[tensorrt-rtx]'"


def add_rtx(options: onnxruntime.SessionOptions, card: Card, opt_batch: int) -> None:
    """Have a session run on the first RTX GPU, tuned for opt_batch slices a call. Raises DeviceError without one."""
    _register()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    if not devices:
        raise DeviceError("onnxruntime-rtx: TensorRT-RTX finds no GPU that it takes")
    profile = {"min": 1, "opt": opt_batch, "max": card.max_batch}
    shape = f"1x{card.slices.rows}x{card.slices.columns}"
    options.add_provider_for_devices(
        devices[:1],
        {f"nv_profile_{which}_shapes": f"{card.input_name}:{batch}x{shape}" for which, batch in profile.items()},
    )


def _register() -> None:
    """Load the provider's library, once a process."""
    if any(device.ep_name == PROVIDER for device in onnxruntime.get_ep_devices()):
        return
    if importlib.util.find_spec(LIBRARIES_PACKAGE) is None:
        raise DeviceError(f"onnxruntime-rtx: needs {LIBRARIES_PACKAGE}: {REMEDY}")
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as package  # loads its libraries; those it links, it links on the disk

        library: Any = package.get_library_path()
        onnxruntime.register_execution_provider_library(PROVIDER, library)
    except Exception as error:  # onnxruntime has no base exception of its own
        raise DeviceError(f"onnxruntime-rtx: its provider does not load ({shortened(str(error))})") from error
