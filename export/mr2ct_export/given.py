"""What mr2ct-export was given in the place of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from mr2ct.model import INSTALLED, installed_models


def model_folder(given: Path | None) -> Path | None:
    """The model folder that was given, by its path or the name of a model that comes with mr2ct; None for a file."""
    if given is None or given.is_dir():
        return given
    return INSTALLED / given if not given.exists() and str(given) in installed_models() else None
