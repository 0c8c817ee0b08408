"""OpenVINO, imported so that it tells nobody.

Importing its package sends an event to Google Analytics through openvino_telemetry, from a thread and a process of its
own that can keep a program from ending (seen with OpenVINO 2026.4 without a network). A machine with patients' images
reports to nobody, so that package is kept from being found; OpenVINO then takes a stub that does nothing.
"""

from __future__ import annotations

import sys

from mr2ct.errors import DeviceError

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's own way to have an import fail

try:
    import openvino
    from openvino import opset13 as operators
    from openvino.frontend.onnx import ConversionExtension
except ImportError as error:
    raise DeviceError(f"needs openvino ({error}): pip install 'mr2ct[cpu]'") from error

__all__ = ["ConversionExtension", "openvino", "operators"]
