"""What is wrong in a model's synthetic CTs of heads: with the CT known, and of real MRs without one.

    python benchmarks/head_faults.py OUT --model head-t1 [--model FOLDER] [--mr MR ...] [--ct CT ...] [--pairs DIR ...]

--pairs takes folders of simulated_mr.py, whose people are measured against their CT: MAE inside the head, bone Dice
(over 250 HU), the MAE inside the skull, how much of it came out as bone, and how much of the vault's bone did not.
--mr takes MRs of which nothing is known. From a point 65 mm below the vertex rays go out through the vault: how many
meet no bone, how wide the largest hole of it is, how thick bone is; beside them bone deep inside the head, air in the
scalp and anywhere above 50 mm below the vertex, bone in the last two slices where the volume ends below, what HU soft
tissue has, and how much more changes from one sagittal slice to the next than as far backwards; of real CTs, --ct, the
last alone. OUT keeps the synthetic CTs by model; run again, it makes only what is missing. The figures end in one line
of JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

import mr2ct
from machine import finish, ran
from mr2ct.head import head_mask
from mr2ct.volume import Volume
from simulated_tissues import inside_skull

BONE_HU, SURE_BONE_HU, MISSED_HU, AIR_HU = 250, 400, 150, -300
SOFT_HU, BRAIN_HU = (-200, 250), (0, 80)
AIRLESS_MM = 15  # above the point that rays go out from, and so above most frontal sinuses, no air is left to be true
CENTRE_MM, DEEP_MM, SCALP_MM, SKIN_MM = 65, 25, 12, 3  # below the vertex; below the skin
RAYS, RAY_MM, STEP_MM = 6000, 140, 0.5
VAULT_MM = 12  # from the skull's inside
Hu = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the synthetic CTs, new or to be completed")
    parser.add_argument("--model", action="append", required=True, help="a model folder or a model's name")
    parser.add_argument("--mr", type=Path, nargs="*", default=[], help="MRs without a CT")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders with mr/ and ct/ of the same names")
    parser.add_argument("--ct", type=Path, nargs="*", default=[], help="CTs of anybody, to compare slices with")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for number, model in enumerate(options.model):
        made = options.out / f"{number}-{Path(model).name}"
        for folder in options.pairs:
            for path in sorted((folder / "mr").iterdir()):
                synthetic = _synthetic(path, model, made)
                ct = mr2ct.read_volume(folder / "ct" / path.name).voxels.astype(np.float32)
                rows.append({"model": model, "head": _name(path), **against(synthetic.astype(np.float32), ct)})
        for path in options.mr:
            synthetic = _synthetic(path, model, made)
            rows.append({"model": model, "head": _name(path), **alone(mr2ct.read_volume(path), synthetic)})
    for path in options.ct:
        hu = _upright(mr2ct.read_volume(path))
        change = slice_to_slice(hu, ndimage.binary_fill_holes(hu > -500))
        rows.append({"model": "none: a CT", "head": _name(path), "slice_to_slice": change})
    for row in rows:
        told = (f"{name} {value:.4g}" for name, value in row.items() if not isinstance(value, str))
        print(f"{row['model'][-24:]:<26}{row['head']:<22}" + ", ".join(told))
    finish({**ran("head_faults", "onnxruntime", "openvino", "scipy"), "heads": rows}, options.save)


def against(synthetic: Hu, ct: Hu) -> dict[str, float]:
    """Figures of a synthetic CT beside the true one, (k, j, i) HU on voxels of 1 mm, -1000 outside the head."""
    head = ndimage.binary_fill_holes(ct > -500)
    error, bone = np.abs(synthetic - ct), ct > BONE_HU
    made = (synthetic > BONE_HU) & head
    inside = inside_skull(ct)
    depth = ndimage.distance_transform_edt(inside)
    vault = (ndimage.distance_transform_edt(~inside) < VAULT_MM) & (ct > SURE_BONE_HU)
    return {
        "mae_hu": float(error[head].mean()),
        "bone_dice": float(2 * (made & bone).sum() / (made.sum() + (bone & head).sum())),
        "inside_skull_mae_hu": float(error[depth > 2].mean()),
        "inside_skull_bone_percent": float(100 * (synthetic[depth > 2] > BONE_HU).mean()),
        "vault_missed_percent": float(100 * (synthetic[vault] < MISSED_HU).mean()),
    }


def alone(mr: Volume, synthetic: NDArray[Any]) -> dict[str, float]:
    """Figures of a synthetic CT, (k, j, i) HU on the MR's grid, that need no true one."""
    head, hu = (_upright(Volume(voxels, mr.grid)) for voxels in (head_mask(mr).astype(np.float32), synthetic))
    inside = head > 0.5
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1]  # the ends of a volume are skin, too
    vertex = int(np.flatnonzero(inside.any(axis=(0, 2)))[0])
    above = np.arange(hu.shape[1])[None, :, None] < vertex + CENTRE_MM + 10
    soft = hu[inside & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])]
    scalp = above & (depth > SKIN_MM) & (depth < SCALP_MM)
    vault = (depth > SKIN_MM) & (np.arange(hu.shape[1])[None, :, None] < vertex + CENTRE_MM - AIRLESS_MM)
    last = int(np.flatnonzero(inside.any(axis=(0, 2)))[-1])
    end, before = (inside[:, low:high] for low, high in ((last - 1, last + 1), (last - 8, last - 4)))
    return {
        **_vault(hu, inside, vertex),
        "deep_bone_cm3": float(((depth > DEEP_MM) & above & (hu > BONE_HU)).sum() / 1000),
        "vault_air_cm3": float((vault & (hu < AIR_HU)).sum() / 1000),
        "scalp_air_cm3": float((scalp & (hu < AIR_HU)).sum() / 1000),
        "end_bone_percent": float(100 * (hu[:, last - 1 : last + 1][end] > BONE_HU).mean()),
        "before_end_bone_percent": float(100 * (hu[:, last - 8 : last - 4][before] > BONE_HU).mean()),
        "soft_median_hu": float(np.median(soft)),
        "soft_0_to_80_percent": float(100 * ((soft >= BRAIN_HU[0]) & (soft <= BRAIN_HU[1])).mean()),
        "slice_to_slice": slice_to_slice(hu, inside),
    }


def slice_to_slice(hu: Hu, inside: NDArray[np.bool_]) -> float:
    """Mean |change| to the next sagittal slice over mean |change| as far to the back, inside: about 1 in a true CT.

    Above 1, slices jump, as those of a network that sees one at a time may.  hu: left, inferior, posterior by 1 mm.
    """
    across, along = (
        float(np.abs(np.diff(hu, axis=axis))[ends].mean())
        for axis, ends in ((0, inside[1:] & inside[:-1]), (2, inside[:, :, 1:] & inside[:, :, :-1]))
    )
    return across / along


def _vault(hu: Hu, inside: NDArray[np.bool_], vertex: int) -> dict[str, float]:
    """Rays from a point below the vertex through the vault; hu: left, inferior, posterior by 1 mm."""
    level = inside[:, vertex + CENTRE_MM]
    centre = np.array([np.nonzero(level)[0].mean(), vertex + CENTRE_MM, np.nonzero(level)[1].mean()])
    n = np.arange(RAYS)
    up, turn = (n + 0.5) / RAYS, n * np.pi * (3 - np.sqrt(5))  # evenly over the half sphere
    flat = np.sqrt(1 - up**2)
    rays = np.stack([flat * np.cos(turn), -up, flat * np.sin(turn)], axis=1)
    steps = np.arange(0, RAY_MM, STEP_MM)
    points = centre[:, None, None] + rays.T[:, :, None] * steps
    along = ndimage.map_coordinates(hu, points, order=1, cval=-1000)
    thick = (along > BONE_HU).sum(axis=1) * STEP_MM
    radius = np.array([steps[ray > BONE_HU][-1] for ray in along if (ray > BONE_HU).any()]).mean()
    neighbours = cKDTree(rays[thick == 0])
    pairs = neighbours.query_pairs(1.8 * np.sqrt(2 * np.pi / RAYS), output_type="ndarray")
    open_ = int((thick == 0).sum())
    largest = 0
    if open_:
        graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (open_, open_))
        largest = int(np.bincount(connected_components(graph, directed=False)[1]).max())
    return {
        "rays_without_bone_percent": float(100 * open_ / RAYS),
        "largest_hole_mm": float(2 * radius * np.sqrt(2 * largest / RAYS)),
        "bone_median_mm": float(np.median(thick)),
        "bone_p95_mm": float(np.percentile(thick, 95)),
    }


def _upright(volume: Volume) -> Hu:
    """(k, j, i) to the left, to inferior, to posterior, on voxels of 1 mm."""
    image = sitk.DICOMOrient(volume.grid.image(volume.voxels.astype(np.float32)), "PIL")
    size = [round(n * mm) for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    even = sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (1.0, 1.0, 1.0),
        image.GetDirection(),
        -1000.0,
    )
    array: Hu = sitk.GetArrayFromImage(even)
    return array


def _synthetic(path: Path, model: str, folder: Path) -> NDArray[Any]:
    """The synthetic CT of an MR, made once; (k, j, i) HU on the MR's grid."""
    made = folder / path.name
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        opened = mr2ct.open_model(model)
        with mr2ct.choose_backend(opened) as choice:
            mr2ct.write_volume(mr2ct.synthesize(mr2ct.read_volume(path), opened, choice).volume, made)
    return mr2ct.read_volume(made).voxels


def _name(path: Path) -> str:
    return path.name.split(".")[0]


if __name__ == "__main__":
    main()
