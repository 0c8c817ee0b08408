"""What a card says of a model that no checkpoint knows: its name, who made it, out of what."""

from __future__ import annotations

import json
from pathlib import Path

from mr2ct_export.to_onnx import ExportError

FIELDS = ("name", "version", "description", "authors", "data_source")


def read_about(path: Path) -> dict[str, str]:
    """Some of FIELDS, out of a JSON file. Raises ExportError for anything else in it."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ExportError(f"{path}: no JSON ({error})") from error
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ExportError(f"{path}: not a JSON object of texts")
    unknown = sorted(set(about) - set(FIELDS))
    if unknown:
        raise ExportError(f"{path}: {', '.join(unknown)}: not known; known: {', '.join(FIELDS)}")
    return about
