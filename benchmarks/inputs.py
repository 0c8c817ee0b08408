"""What every contender of a benchmark is given: one model, one generator, one head."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contenders import HEADS, SLICES, WEIGHTS
from macs import parameters
from mr2ct.card import Card, FileFacts
from mr2ct.head import head_mask
from mr2ct.intensity import mr_limits, to_network
from mr2ct.model import CARD, Model, graph_file, open_model
from mr2ct.model_grid import place, to_model_grid
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct_export.more_graphs import generator_of
from mr2ct_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mr2ct_training.generator import Generator

REFERENCE_SLICES = 3


def add_source_options(parser: argparse.ArgumentParser, graphs: str) -> None:
    """--model, --checkpoint, --width and --head: what prepare takes. graphs: what a model folder needs."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, help=graphs)
    source.add_argument("--checkpoint", type=Path, help="of mr2ct-train, to be exported first")
    parser.add_argument(
        "--width", type=int, default=64, help="of the untrained generator without either; 64: the paper's"
    )
    parser.add_argument("--head", type=Path, help="an MR; default: a drawn one on the paper's grid")


def about_model(card: Card, generator: Generator, head: Path | None) -> dict[str, Any]:
    """A model for a result: whether its errors mean anything, and what it was given."""
    return {
        "name": card.name,
        "state": card.training.get("state", "of an unknown state"),
        "width": card.generator.get("width"),
        "parameters": parameters(generator),
        "fp16_certified": card.certificate(graph_file("fp16")) is not None,
        "head": "drawn" if head is None else "given",
    }


def prepare(
    folder: Path,
    model: Path | None,
    checkpoint: Path | None,
    width: int,
    head: Path | None,
    most: int,
    *,
    fp16: bool = True,
    calibration: Path | None = None,
) -> Model:
    """Fill a folder with slices.npy, heads.npy and weights.pt, and return the model all contenders run.

    model: a model folder, or checkpoint: what to export, or neither: an untrained generator of a width.  head: an MR,
    None to draw one, as head.nii.gz in the folder.  most: slices, the middle ones are taken.  fp16: whether an
    export has that graph, too.  calibration: an MR by which an export makes the int8 graph, None for none.
    slices.npy: (slices, 1, rows, columns) float32 in [-1, 1].  heads.npy: (slices, rows, columns) bool.
    """
    mr = read_volume(_drawn_head(folder) if head is None else head)
    opened = (
        _exported(folder / "model", checkpoint, width, mr, fp16, calibration) if model is None else open_model(model)
    )
    card = opened.card
    mask = head_mask(mr)
    limits = mr_limits(card.mr_window, mr.voxels, mask)
    grid = place(mr.grid, mask, card.slices).grid
    slices = to_network(to_model_grid(mr, grid, outside=limits[0]), limits)
    heads = to_model_grid(Volume(mask.astype(np.uint8), mr.grid), grid, outside=0) > 0.5
    count = min(len(slices), most, card.max_batch)
    first = (len(slices) - count) // 2
    np.save(folder / SLICES, slices[first : first + count, np.newaxis])
    np.save(folder / HEADS, heads[first : first + count])
    save_checkpoint(Checkpoint(generator_of(opened), card.mr_window, card.ct_window_hu), folder / WEIGHTS)
    return opened


def _drawn_head(folder: Path) -> Path:
    head, phantom = folder / "head.nii.gz", Path(__file__).resolve().parents[1] / "tests" / "phantom.py"
    subprocess.run([sys.executable, str(phantom), str(head)], check=True, stdout=subprocess.DEVNULL)
    return head


def _exported(folder: Path, path: Path | None, width: int, mr: Volume, fp16: bool, calibration: Path | None) -> Model:
    """A model folder; the fp16 graph also where it is outside its budget, then without a certificate."""
    from mr2ct_export.calibration import calibration_from_volumes
    from mr2ct_export.folder import export  # needs onnx, onnxscript and onnxruntime, which a ready model does not
    from mr2ct_export.reference import reference_from_volumes
    from mr2ct_export.to_half import to_half
    from mr2ct_export.to_onnx import to_onnx
    from mr2ct_export.untrained import untrained_checkpoint

    checkpoint = untrained_checkpoint(width, seed=0) if path is None else load_checkpoint(path)
    reference = reference_from_volumes(
        [mr], checkpoint.slices, checkpoint.mr_window, checkpoint.mr_to_ct, count=REFERENCE_SLICES
    )
    steps = None
    if calibration is not None:
        steps = calibration_from_volumes(
            [read_volume(calibration)], checkpoint.slices, checkpoint.mr_window, reference.mr
        )  # fmt: skip
    exported = export(checkpoint, reference, folder, fp16=fp16, int8=steps)
    card, file = exported.card, graph_file("fp16")
    for line in exported.refused:
        print(line, file=sys.stderr)
    if fp16 and file not in card.files:
        content = to_half(to_onnx(checkpoint.mr_to_ct, card.slices)).SerializeToString(deterministic=True)
        (folder / file).write_bytes(content)
        facts = FileFacts(hashlib.sha256(content).hexdigest(), len(content))
        card = replace(card, files={**card.files, file: facts})
        (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    return open_model(folder)
