"""The paper's figure 6: an MR mapped to CT and back, on the MR's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import mr2ct
from mr2ct.head import head_mask
from mr2ct.intensity import mr_limits, to_network
from mr2ct.model_grid import from_model_grid, place, to_model_grid
from mr2ct.volume import Volume
from mr2ct_training.checkpoint import load_checkpoint, read_content
from mr2ct_training.generator import Generator


def write_cycled_mrs(run: Path, mrs: Sequence[Path]) -> dict[Path, Path]:
    """Both generators of a CycleGAN's last checkpoint over MRs, by PyTorch; run: its folder.

    Returns where each cycled MR lies: float32 on the MR's grid, the MR's units, as it was outside the head.
    """
    checkpoint = load_checkpoint(run / "last.ckpt")
    back = Generator(checkpoint.mr_to_ct.config)
    back.load_state_dict(read_content(run / "last.ckpt")["state"]["networks"]["ct_to_mr"]["weights"])
    back.eval()
    (run / "cycled").mkdir(exist_ok=True)
    made = {}
    for path in mrs:
        mr = mr2ct.read_volume(path)
        head = head_mask(mr)
        limits = mr_limits(checkpoint.mr_window, mr.voxels, head)
        grid = place(mr.grid, head, checkpoint.slices).grid
        slices = to_network(to_model_grid(mr, grid, outside=limits[0]), limits)
        with torch.inference_mode():
            cycled = np.stack(
                [back(checkpoint.mr_to_ct(torch.from_numpy(s)[None, None]))[0, 0].numpy() for s in slices]
            )
        low, high = limits
        units = from_model_grid((cycled + 1) * ((high - low) / 2) + low, grid, mr.grid, outside=low)
        made[path] = run / "cycled" / path.name
        voxels = np.where(head, units, mr.voxels).astype(np.float32)
        mr2ct.write_volume(Volume(voxels, mr.grid), made[path], overwrite=True)
    return made
