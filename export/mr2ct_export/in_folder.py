"""Files of a model folder that is being written, and the engine that proves its graphs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from mr2ct.card import Card, FileFacts
from mr2ct.errors import ModelError
from mr2ct.model import Model
from mr2ct.onnxruntime_backend import OnnxruntimeBackend
from mr2ct_export.to_onnx import ExportError


def put(folder: Path, card: Card, name: str, content: bytes) -> Card:
    """Write a file into the folder and its facts into the card."""
    (folder / name).write_bytes(content)
    return replace(card, files={**card.files, name: FileFacts(hashlib.sha256(content).hexdigest(), len(content))})


def engine(model: Model, name: str) -> OnnxruntimeBackend:
    """onnxruntime's CPU with a graph of the folder. Raises ExportError when it cannot be loaded."""
    try:
        return OnnxruntimeBackend(model, name, "cpu")
    except ModelError as error:
        raise ExportError(str(error)) from error
