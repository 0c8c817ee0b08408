"""How well synthetic bone agrees with a real patient's, where a skull was segmented in the patient's own CT.

    python benchmarks/real_skull.py MR SKULL [--model head-t1] [--model FOLDER ...] [--save NAME]

SKULL is a mask of any grid in the MR's space, over 0 in bone. Measured inside the head, for each model and for three
classes of grey (demonstrator.py): Dice of bone over 250 HU, and how far the surfaces of the two are from each other,
mean and 95th percentile, mm. The CT was registered to the MR by somebody else, maybe after an operation: so also the
shift, up to 6 mm along each axis, after which the skull of the first model agrees best, and what all measure then.
The figures end in one line of JSON. Such a pair, MIT, of the head that shared data has as seg3d:
https://github.com/CIBC-Internal/Seg3DData, Brain_DataSet/Skull.nrrd.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

import mr2ct
from demonstrator import BONE_HU, FAT_HU, SOFT_HU, by_classes, by_model
from machine import finish, ran
from mr2ct.errors import Mr2ctError
from mr2ct.head import head_mask
from mr2ct.volume import Volume
from mr2ct_training.evaluation.metrics import TISSUE_LIMITS_HU, dice

OVER_HU = TISSUE_LIMITS_HU[1]
SHIFT_MM = 6
Mask = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mr", type=Path)
    parser.add_argument("skull", type=Path)
    parser.add_argument("--model", action="append", help="a model folder or a model's name  [default: head-t1]")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    options = parser.parse_args()
    try:
        _compare(options)
    except Mr2ctError as error:
        sys.exit(f"real_skull.py: {error}")
    except RuntimeError as error:  # ITK's, of many lines, the last of which says what it is
        sys.exit(f"real_skull.py: {options.skull}: {str(error).strip().splitlines()[-1]}")


def _compare(options: argparse.Namespace) -> None:
    mr = mr2ct.read_volume(options.mr)
    head, spacing = head_mask(mr), mr.grid.spacing[::-1]
    skull = on_grid(sitk.ReadImage(str(options.skull)), mr) & head
    bones: dict[str, Mask] = {
        Path(name).name: (by_model(name)(mr).voxels > OVER_HU) & head for name in options.model or ["head-t1"]
    }
    shift = best_shift(next(iter(bones.values())), skull, spacing)
    bones["three classes of grey"] = by_classes(mr, [BONE_HU, SOFT_HU, FAT_HU]).voxels > OVER_HU
    shifted = moved(skull, shift) & head
    cm3 = float(np.prod(spacing)) / 1000
    rows: list[dict[str, Any]] = [
        {
            "method": name,
            "bone_cm3": float(bone.sum() * cm3),
            "as_registered": agreement(bone, skull, spacing),
            "shifted": agreement(bone, shifted, spacing),
        }
        for name, bone in bones.items()
    ]
    millimetres = [round(voxels * mm, 2) for voxels, mm in zip(shift, spacing, strict=True)]
    for row in rows:
        told = (
            f"{kind}: " + ", ".join(f"{k} {v:.3g}" for k, v in row[kind].items())
            for kind in ("as_registered", "shifted")
        )
        print(f"{row['method']:<24}" + "; ".join(told))
    print(f"shifted by {millimetres} mm along slices, rows and columns")
    facts = {"mr": _name(options.mr), "skull": options.skull.name, "skull_cm3": float(skull.sum() * cm3)}
    facts |= {"shift_mm": millimetres, "methods": rows}
    finish({**ran("real_skull", "onnxruntime", "openvino", "scipy"), **facts}, options.save)


def on_grid(mask: sitk.Image, mr: Volume) -> Mask:
    """A mask of another grid on the MR's, (k, j, i) bool: the nearest voxel, False outside of the mask's grid."""
    there = sitk.Resample(mask, mr.grid.image(mr.voxels), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    inside: Mask = sitk.GetArrayFromImage(there) > 0
    return inside


def best_shift(bone: Mask, skull: Mask, spacing: tuple[float, ...]) -> tuple[int, int, int]:
    """Voxels along k, j, i by which a skull has the greatest Dice with bone; one axis after the other, twice."""
    shift = [0, 0, 0]
    for axis in (0, 1, 2) * 2:
        most, found = round(SHIFT_MM / spacing[axis]), {}
        for voxels in range(-most, most + 1):
            tried = [*shift[:axis], voxels, *shift[axis + 1 :]]
            found[voxels] = dice(bone, moved(skull, tried)) or 0.0
        shift[axis] = max(found, key=lambda voxels: (found[voxels], -abs(voxels)))
    return shift[0], shift[1], shift[2]


def moved(mask: Mask, shift: Sequence[int]) -> Mask:
    """A mask shifted by voxels along k, j, i; what comes in from outside is False."""
    there: Mask = ndimage.shift(mask.view(np.uint8), shift, order=0, prefilter=False).view(bool)
    return there


def agreement(bone: Mask, skull: Mask, spacing: tuple[float, ...]) -> dict[str, float]:
    """Dice, 0 to 1, and distances of every surface voxel of either to the other's surface, mm."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (bone, skull)]
    away = [ndimage.distance_transform_edt(~one, sampling=spacing) for one in surfaces]
    distances = [away[1][surfaces[0]], away[0][surfaces[1]]]
    return {
        "bone_dice": dice(bone, skull) or 0.0,
        "surface_mean_mm": float(np.mean([one.mean() for one in distances])),
        "surface_p95_mm": float(np.percentile(np.concatenate(distances), 95)),
    }


def _name(path: Path) -> str:
    return path.name.split(".")[0]


if __name__ == "__main__":
    main()
