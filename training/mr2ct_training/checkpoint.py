"""What a training leaves behind for the gate: the MR-to-CT generator and how it is to be fed."""

from __future__ import annotations

import os
import warnings
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mr2ct.card import PAPER_CT_WINDOW_HU, PAPER_SLICES, FixedWindow, MrWindow, PercentileWindow, SliceGrid
from mr2ct.gate.measured import Measured
from mr2ct_training.generator import Generator, GeneratorConfig

FORMAT = "mr2ct-checkpoint/1"


class CheckpointError(ValueError):
    """A checkpoint that is damaged, a stranger's, or of another architecture; one line."""


@dataclass(frozen=True)
class Checkpoint:
    """A generator with what the card has to say of it.

    mr_to_ct: on the CPU, fp32, in eval mode.  mr_window: the MR values or percentiles it was trained on as -1 and 1.
    ct_window_hu: the HU that -1 and 1 of its output are.  training: facts for the card; "state" is "trained" or
    "untrained".  about: name, version, description, authors, data_source for the card, as far as known.
    reference: slices kept for proving engines: the MR, (N, 1, rows, columns) float32 in [-1, 1], and the head in them,
    (N, rows, columns) bool; None where the training kept none.  slices: the grid of the slices it was trained on.
    ct_to_mr: the way back, of the same size, for the cycle check; None where nothing trained it.
    measured: every MR it was trained on, for the gate; empty where they were not measured.
    """

    mr_to_ct: Generator
    mr_window: MrWindow
    ct_window_hu: tuple[float, float] = PAPER_CT_WINDOW_HU
    training: dict[str, Any] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    reference: tuple[Tensor, Tensor] | None = None
    slices: SliceGrid = PAPER_SLICES
    ct_to_mr: Generator | None = None
    measured: tuple[Measured, ...] = ()


def save_checkpoint(checkpoint: Checkpoint, path: Path, state: dict[str, Any] | None = None) -> None:
    """Write a checkpoint, whole or not at all. state: what a training needs to go on, beside it in the same file.

    Raises CheckpointError when it cannot be written; an earlier checkpoint at path is then as it was.
    """
    kind = "percentile" if isinstance(checkpoint.mr_window, PercentileWindow) else "fixed"
    content = {
        "format": FORMAT,
        "generator": asdict(checkpoint.mr_to_ct.config),
        "mr_to_ct": checkpoint.mr_to_ct.state_dict(),
        "ct_to_mr": None if checkpoint.ct_to_mr is None else checkpoint.ct_to_mr.state_dict(),
        "mr_window": {"kind": kind, **asdict(checkpoint.mr_window)},
        "ct_window_hu": list(checkpoint.ct_window_hu),
        "training": checkpoint.training,
        "about": checkpoint.about,
        "reference": checkpoint.reference,
        "slices": asdict(checkpoint.slices),
        "measured": [one.to_json() for one in checkpoint.measured],
        "state": state,
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save says RuntimeError where the disk is full
        raise CheckpointError(f"{path}: not written, the one before it is kept: {_first_line(error)}") from error
    finally:
        with suppress(OSError):  # nothing there, or nowhere to be
            partial.unlink()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without running code from it. Raises CheckpointError, one line."""
    content = read_content(path)
    try:
        size, way_back = GeneratorConfig(**content["generator"]), content.get("ct_to_mr")  # older ones have no way back
        window = dict(content["mr_window"])
        kinds: dict[str, type[FixedWindow] | type[PercentileWindow]]
        kinds = {"fixed": FixedWindow, "percentile": PercentileWindow}
        kind = kinds[window.pop("kind")]
        low, high = content["ct_window_hu"]
        return Checkpoint(
            mr_to_ct=_generator(size, content["mr_to_ct"]),
            mr_window=kind(**window),
            ct_window_hu=(float(low), float(high)),
            training=content["training"],
            about=content["about"],
            slices=SliceGrid(**content["slices"]),
            reference=_checked_reference(content["reference"]),
            ct_to_mr=None if way_back is None else _generator(size, way_back),
            measured=tuple(Measured.from_json(one) for one in content.get("measured", ())),  # 0.1.0 kept none
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: a field is missing or wrong ({error})") from error
    except RuntimeError as error:  # load_state_dict's word for other shapes or names
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{path}: weights of another architecture ({reason})") from error


def _generator(size: GeneratorConfig, weights: dict[str, Tensor]) -> Generator:
    network = Generator(size)
    network.load_state_dict(weights)
    return network.eval()


def read_content(path: Path) -> dict[str, Any]:
    """The fields of a checkpoint of ours, "state" among them. Raises CheckpointError, one line."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    content = _content(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise CheckpointError(f"{path}: not a checkpoint of mr2ct-train (format {found!r}, known: {FORMAT!r})")
    return content


def _content(path: Path) -> Any:
    """What torch.save wrote; code in it is refused (weights_only). torch.load passes flipped bits over, CRCs do not."""
    refusal = f"{path}: not a checkpoint, damaged, or holding code: nothing in it was run"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            with warnings.catch_warnings(action="ignore"):  # of TorchScript in the file, which is refused next
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a stranger's file brings up anything: KeyError, IndexError, UnicodeDecodeError, ...
        raise CheckpointError(refusal) from error
    raise CheckpointError(refusal)


def _checked_reference(reference: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
    if reference is None:
        return None
    mr, head = reference
    fitting = mr.ndim == 4 and len(mr) > 0 and mr.shape == (len(head), 1, *head.shape[1:])
    if not fitting or mr.dtype != torch.float32 or head.dtype != torch.bool:
        raise ValueError(f"reference: {mr.dtype} {tuple(mr.shape)} with {head.dtype} {tuple(head.shape)}")
    return mr, head
