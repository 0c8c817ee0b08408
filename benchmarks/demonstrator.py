"""How good the demonstrator is where the CT is known: on drawn patients that nothing was trained on, beside baselines.

    python benchmarks/demonstrator.py OUT [--patients 8] [--seed 0] [--model head-t1] [--paired FOLDER] [--save NAME]

Draws a cohort as phantom_cohort.py does (the demonstrator was trained with the first six of eight of seed 0) and
measures on those held out, inside the head: the model; soft tissue everywhere (40 HU); three classes by the MR's grey
values, Otsu's two thresholds, darkest bone, then soft tissue, then fat; the untrained generator that comes with mr2ct;
and, with --paired, a model of the paper's paired baseline that was trained on the other patients of the cohort:

    python benchmarks/reproduce_table1.py EXPERIMENT --patients 8 --misalignment 0 --schemes paired --epochs 6
    python benchmarks/demonstrator.py OUT --paired EXPERIMENT/misaligned-0mm/paired/model

OUT gets the volumes and a report with pictures; the figures end in one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

import mr2ct
from machine import finish, ran
from mr2ct.head import head_mask
from mr2ct.intensity import AIR_HU
from mr2ct.model import UNTRAINED
from mr2ct.volume import Volume
from mr2ct_training.evaluation.conventions import PAPER
from mr2ct_training.evaluation.evaluate import evaluate
from mr2ct_training.evaluation.folder import write
from mr2ct_training.evaluation.pairs import read_pairs
from phantom_cohort import HELD_OUT, make_cohort
from phantom_scans import SCANS

SOFT_HU, BONE_HU, FAT_HU = 40, 900, -80
SHOWN = ("mae_hu_in_mask", "psnr_db_in_mask_range_4095", "dice_in_mask_bone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder, new or to be completed")
    parser.add_argument("--patients", type=int, default=8, help="of the cohort; one of four is measured")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other people")
    parser.add_argument("--model", default="head-t1", help="a model folder or a model's name")
    parser.add_argument("--paired", help="a model folder of the paired network of reproduce_table1.py")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    options = parser.parse_args()
    make_cohort(options.out / "cohort", options.patients, options.seed, 0.0, SCANS["paper"])
    held_out = sorted((options.out / "cohort" / "mr").iterdir())[-(options.patients // HELD_OUT) :]
    evaluation = _evaluated(options.out, held_out, options.model, options.paired)
    result: dict[str, Any] = {
        **ran("demonstrator", "onnxruntime", "openvino", "scipy"),
        "model": str(options.model),
        "cohort": {"patients": options.patients, "seed": options.seed, "measured": [_name(path) for path in held_out]},
        "methods": {
            method: {s.metric: {"mean": s.mean, "sd": s.sd} for s in evaluation.summaries if s.method == method}
            for method in evaluation.methods
        },
    }
    print(f"{'':<28}{'MAE, HU':>10}{'PSNR, dB':>10}{'bone Dice':>11}")
    for method, figures in result["methods"].items():
        mae, psnr, dice = (figures[key]["mean"] for key in SHOWN)
        print(f"{method:<28}{mae:10.1f}{psnr:10.1f}{dice:11.3f}")
    finish(result, options.save)


def _evaluated(out: Path, mrs: list[Path], model: str, paired: str | None) -> Any:
    methods: dict[str, Callable[[Volume], Volume]] = {
        model: by_model(model),
        "soft tissue everywhere": lambda mr: by_classes(mr, []),
        "three classes of grey": lambda mr: by_classes(mr, [BONE_HU, SOFT_HU, FAT_HU]),
        "untrained generator": by_model(UNTRAINED, uncertified=True),
    }
    if paired is not None:
        methods["paired network of the experiment"] = by_model(paired)
    rows = []
    for path in mrs:
        mr = mr2ct.read_volume(path)
        for number, (name, method) in enumerate(methods.items()):
            made = out / "synthetic" / f"{_name(path)}-{number}.nii.gz"
            made.parent.mkdir(parents=True, exist_ok=True)
            if not made.exists():
                mr2ct.write_volume(method(mr), made)
            rows.append(
                [_name(path), name, made.resolve(), (out / "cohort" / "truth" / path.name).resolve(), path.resolve()]
            )
    table = out / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["patient", "method", "synthetic", "reference", "mr"], *rows])
    evaluation = evaluate(table, read_pairs(table), PAPER, resample=False, show=lambda *_: None)
    write(evaluation, out / "report", overwrite=True)
    return evaluation


def by_model(name: str, *, uncertified: bool = False) -> Callable[[Volume], Volume]:
    """What makes the synthetic CT of an MR, by a model folder or a model's name."""

    def made(mr: Volume) -> Volume:
        model = mr2ct.open_model(name)
        with mr2ct.choose_backend(model, quality="fast", uncertified=uncertified) as choice:
            return mr2ct.synthesize(mr, model, choice).volume

    return made


def by_classes(mr: Volume, hu: list[int]) -> Volume:
    """Grey values between Otsu's thresholds become these HU, darkest first; all of them soft tissue without."""
    head = head_mask(mr)
    ct = np.full(mr.voxels.shape, AIR_HU, np.int16)
    ct[head] = SOFT_HU
    if hu:
        ct[head] = np.array(hu, np.int16)[np.digitize(mr.voxels[head], _otsu(mr.voxels[head], len(hu) - 1))]
    return Volume(ct, mr.grid)


def _otsu(values: NDArray[Any], count: int) -> tuple[float, ...]:
    flat = sitk.GetImageFromArray(values.astype(np.float32)[np.newaxis])
    thresholds = sitk.OtsuMultipleThresholdsImageFilter()
    thresholds.SetNumberOfThresholds(count)
    thresholds.Execute(flat)
    return tuple(thresholds.GetThresholds())


def _name(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


if __name__ == "__main__":
    main()
