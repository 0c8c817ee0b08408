"""Real MRs with the CT that a model makes of them, corrected where anatomy leaves no doubt, to train it further on.

    python benchmarks/corrected_heads.py OUT MR [MR ...] --model NEWEST [--earlier OLDER]

A model's own answers, freed of the mistakes that can be told without a CT, teach it not to make them again, and on
real contrast instead of simulated (self-training, Xie et al., 2020, doi 10.1109/CVPR42600.2020.01070). What is known of
every head: in the brain and its water there is neither bone nor air, a vault is closed and of bone throughout, a scalp
holds no air, where a volume ends no bone begins, and a black space of the face wider than bone ever is there is air.
--earlier names a model that was better at sinuses: what it held for air, where the MR is black, is taken from it.
Nothing here is a measured CT, so nothing may be judged by it. Writes OUT/mr/NAME.nii.gz and OUT/ct/NAME.nii.gz, HU, on
the MR's grid; run again, it makes only what is missing. Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

import mr2ct
from corrected_anatomy import corrected
from mr2ct.errors import Mr2ctError, VolumeError
from mr2ct.head import head_mask
from mr2ct.modality import refuse_ct
from mr2ct.volume import Volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder, new or to be completed")
    parser.add_argument("mr", type=Path, nargs="+", help="T1-weighted MRs of heads")
    parser.add_argument("--model", required=True, help="a model folder or a model's name")
    parser.add_argument("--earlier", help="another one, for the sinuses")
    options = parser.parse_args()
    models = [options.model, *([options.earlier] if options.earlier else [])]
    try:
        figures = {path.name.split(".")[0]: made for path in options.mr if (made := _write(path, models, options.out))}
    except Mr2ctError as error:
        sys.exit(f"corrected_heads: {error}")
    print(json.dumps({"out": str(options.out), "changed_cm3": figures}))


def _write(path: Path, models: list[str], out: Path) -> dict[str, float] | None:
    """The cm3 that each rule changed; None where the CT is there already. Raises Mr2ctError."""
    made = out / "ct" / path.name
    if made.exists():
        return None
    mr = mr2ct.read_volume(path)
    try:
        refuse_ct(mr)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    ct, changed = _corrected(mr, [_synthetic(mr, model) for model in models])
    for kind in ("mr", "ct"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, out / "mr" / path.name)
    mr2ct.write_volume(ct, made)
    return changed


def _synthetic(mr: Volume, model: str) -> NDArray[Any]:
    opened = mr2ct.open_model(model)
    with mr2ct.choose_backend(opened, quality="fast") as choice:
        return mr2ct.synthesize(mr, opened, choice).volume.voxels


def _corrected(mr: Volume, cts: list[NDArray[Any]]) -> tuple[Volume, dict[str, float]]:
    """On the MR's own voxels, turned to axes that anatomy has names for and back again."""
    upright = [_turned(voxels, mr) for voxels in (mr.voxels, head_mask(mr).astype(np.float32), *cts)]
    values, head, *hu = (sitk.GetArrayFromImage(image) for image in upright)
    spacing = upright[0].GetSpacing()[::-1]
    result, changed = corrected(values, head > 0.5, hu[0], hu[-1], spacing)
    image = sitk.GetImageFromArray(result)
    image.CopyInformation(upright[0])
    axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(mr.grid.direction)
    back = sitk.DICOMOrient(image, axes)
    return Volume(np.rint(sitk.GetArrayFromImage(back)).astype(np.int16), mr.grid), changed


def _turned(voxels: NDArray[Any], mr: Volume) -> Any:
    """(k, j, i) to the left, to inferior, to posterior: axes exchanged and flipped, nothing is interpolated."""
    return sitk.DICOMOrient(mr.grid.image(voxels.astype(np.float32)), "PIL")


if __name__ == "__main__":
    main()
