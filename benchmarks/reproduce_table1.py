"""The paper's experiment on drawn patients: does training without pairs beat training with misaligned ones?

    python benchmarks/reproduce_table1.py OUT [--misalignment 0 4] [--patients 24] [--pixels 96] [--width 16]
        [--blocks 6] [--epochs 2] [--seed 0] [--schemes unpaired paired] [--grid paper|coarse] [--device cpu|cuda]
        [--save NAME]

For every degree of misalignment: a cohort (phantom_cohort.py), three quarters of whose patients train; the CycleGAN and
the paired baseline, trained on the same slices for the same number of steps, the rate flat for half of them; the last
checkpoint of each, exported; a synthetic CT of every patient held out; and mr2ct-evaluate's report of them against the
truth, which is aligned. No choice is made by looking at the patients held out.

Made for two cores: coarse scans, slices of --pixels squared over the paper's field. The paper's size, for a GPU:
--grid paper --pixels 256 --width 64 --blocks 9 --epochs 100. Run again, it goes on where it was. Ends in one line of
JSON; --save NAME also writes it to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from lightning.fabric import Fabric

import mr2ct
from machine import finish, ran
from mr2ct.card import PercentileWindow, SliceGrid
from mr2ct_export.folder import export
from mr2ct_export.reference import answered
from mr2ct_training.checkpoint import load_checkpoint
from mr2ct_training.config import Precision, Scheme, TrainConfig
from mr2ct_training.dataset import Dataset
from mr2ct_training.evaluation.conventions import PAPER
from mr2ct_training.evaluation.evaluate import evaluate
from mr2ct_training.evaluation.folder import write
from mr2ct_training.evaluation.pairs import read_pairs
from mr2ct_training.evaluation.results import Evaluation
from mr2ct_training.loop import Rhythm, train
from mr2ct_training.prepare import prepare
from mr2ct_training.prepare_patients import sources_of
from mr2ct_training.prepare_volume import Settings
from phantom_cohort import make_cohort
from phantom_scans import SCANS
from reproduce_cycle import write_cycled_mrs

FIELD_MM = 288 * 0.87  # of a slice; the paper, sections 2 and 4
DEPTH_MM = 256.0  # slices are as far apart as pixels are wide, as nearly as in the paper's 256 x 256
PADDED = 286 / 256  # section 4
MR_WINDOW = PercentileWindow(0, 99.5)  # the drawn scanners' units differ
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
SHOWN = ("mae_hu_in_mask", "psnr_db_in_mask_range_4095", "psnr_db_in_volume_range_4095", "dice_in_mask_bone")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    patients: int
    pixels: int
    width: int
    blocks: int
    epochs: int
    grid: str
    seed: int
    device: str
    precision: Precision

    def config(self, scheme: Scheme) -> TrainConfig:
        """Half of the epochs at a flat rate and half falling, as in the paper; all else its defaults."""
        return TrainConfig(
            scheme=scheme,
            seed=self.seed,
            epochs_flat=self.epochs,
            epochs_linear=self.epochs,
            width=self.width,
            discriminator_width=self.width,
            blocks=self.blocks,
            pad=round(self.pixels * PADDED),
            precision=self.precision,
        )

    @property
    def slices(self) -> SliceGrid:
        """The grid of the slices."""
        return SliceGrid("sagittal", self.pixels, self.pixels, FIELD_MM / self.pixels, DEPTH_MM / self.pixels)


def main() -> None:
    arguments = _arguments()
    size = Size(**{name: getattr(arguments, name) for name in Size.__dataclass_fields__})
    levels = [
        _level(arguments.out / f"misaligned-{mm:g}mm", size, mm, arguments.schemes) for mm in arguments.misalignment
    ]
    result: dict[str, Any] = {
        **ran("reproduce_table1", "onnxruntime", "scipy"),
        "size": asdict(size),
        "steps": levels[0]["steps"],
        "levels": levels,
    }
    _print_table(result)
    finish(result, arguments.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the experiment, new or to be completed")
    parser.add_argument("--patients", type=int, default=24, help="24 are the paper's")
    parser.add_argument("--misalignment", type=float, nargs="+", default=[0.0, 4.0], metavar="MM")
    parser.add_argument("--pixels", type=int, default=96, help="rows and columns of a slice, a multiple of 8")
    parser.add_argument("--width", type=int, default=16, help="of generators and discriminators")
    parser.add_argument("--blocks", type=int, default=6, help="residual blocks")
    parser.add_argument("--epochs", type=int, default=2, help="with a flat rate, and as many with a falling one")
    parser.add_argument("--seed", type=int, default=0, help="of patients and trainings")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES), help="one is not compared")
    parser.add_argument("--grid", choices=SCANS, default="coarse")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    return parser.parse_args()


def _level(folder: Path, size: Size, misalignment_mm: float, schemes: Sequence[Scheme]) -> dict[str, Any]:
    """One degree of misalignment, from patients to Table 1."""
    folder.mkdir(parents=True, exist_ok=True)
    cohort = folder / "cohort"
    make_cohort(cohort, size.patients, size.seed, misalignment_mm, SCANS[size.grid])
    sources = sources_of([cohort / "mr"], [cohort / "ct"], cohort / "patients.csv", ())
    settings = Settings(MR_WINDOW, slices=size.slices, pairing="aligned", head_slices_only=True)
    prepare(sources, settings, folder / "dataset")
    dataset = Dataset(folder / "dataset")
    held_out = [source for source in sources if (source.modality, source.split) == ("mr", "validation")]
    rows, seconds, steps = [], {}, {}
    for scheme in schemes:
        seconds[scheme], steps[scheme] = _trained(folder / scheme, dataset, size, scheme)
        made = _synthetic_cts(folder / scheme, [source.path for source in held_out])
        cycled = write_cycled_mrs(folder / scheme, [source.path for source in held_out]) if scheme == "unpaired" else {}
        for source in held_out:
            truth = cohort / "truth" / source.path.name
            rows.append([source.patient, scheme, made[source.path], truth, source.path, cycled.get(source.path, "")])
    table = folder / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "method", "synthetic", "reference", "mr", "cycled_mr"])
        writer.writerows([[*row[:2], *(Path(path).resolve() if path else "" for path in row[2:])] for row in rows])
    evaluation = evaluate(table, read_pairs(table), PAPER, resample=False, show=lambda *_: None)
    write(evaluation, folder / "report", overwrite=True)
    return {
        "misalignment_mm": misalignment_mm,
        "steps": steps[schemes[0]],
        "training_seconds": seconds,
        **_told(evaluation),
    }


def _trained(folder: Path, dataset: Dataset, size: Size, scheme: Scheme) -> tuple[float, int]:
    """Train, or go on with it; the seconds that all steps take at the log's median speed, and their number.

    So a pause, or another program on the machine for a while, does not count.
    """
    config = size.config(scheme)
    fabric = Fabric(accelerator=size.device, devices=1, precision=config.fabric_precision)
    train(config, dataset, folder, fabric, rhythm=Rhythm(100, 500), resume=(folder / "last.ckpt").exists())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = max(line["step"] for line in log)
    speed = statistics.median(line["pairs_per_second"] for line in log if "pairs_per_second" in line)
    return steps * config.batch / speed, steps


def _synthetic_cts(folder: Path, mrs: list[Path]) -> dict[Path, Path]:
    """The exported generator over the MRs, as mr2ct-run does it."""
    checkpoint = load_checkpoint(folder / "last.ckpt")
    assert checkpoint.reference is not None
    reference = answered(*(part.numpy() for part in checkpoint.reference), checkpoint.mr_to_ct)
    export(checkpoint, reference, folder / "model", fp16=False, overwrite=True)
    model = mr2ct.open_model(folder / "model")
    choice = mr2ct.choose_backend(model)
    made = {}
    (folder / "synthetic").mkdir(exist_ok=True)
    for path in mrs:
        made[path] = folder / "synthetic" / path.name
        mr2ct.write_volume(mr2ct.synthesize(mr2ct.read_volume(path), model, choice).volume, made[path], overwrite=True)
    return made


def _told(evaluation: Evaluation) -> dict[str, Any]:
    """Table 1: every patient, mean and SD, and the tests between the two methods."""
    return {
        "patients": {
            patient: {
                row.method: {key: row.values[key] for key in SHOWN} for row in evaluation.rows if row.patient == patient
            }
            for patient in evaluation.patients
        },
        "methods": {
            method: {s.metric: {"mean": s.mean, "sd": s.sd} for s in evaluation.summaries if s.method == method}
            for method in evaluation.methods
        },
        "unpaired_minus_paired": {
            c.metric: {
                "mean": c.mean,
                "interval": c.interval,
                "t_test_p": c.t_p,
                "wilcoxon_p": c.wilcoxon_p,
                "effect": c.effect,
            }
            for c in evaluation.comparisons
            if c.metric in SHOWN
        },
    }


def _print_table(result: dict[str, Any]) -> None:
    print(f"{result['hardware']['gpu'] or result['hardware']['cpu']}; {result['steps']} steps each")
    print(f"{'misaligned':<12}{'':<10}{'MAE in mask, HU':>18}{'PSNR in mask, dB':>19}{'bone Dice':>14}{'minutes':>9}")
    for level in result["levels"]:
        for method, figures in level["methods"].items():
            mae, psnr, _, dice = (figures[key] for key in SHOWN)
            minutes = level["training_seconds"][method] / 60
            print(
                f"{level['misalignment_mm']:<9g}mm {method:<10}{mae['mean']:11.1f} +- {mae['sd']:<4.1f}"
                f"{psnr['mean']:11.1f} +- {psnr['sd']:<4.1f}{dice['mean']:14.3f}{minutes:9.1f}"
            )
        if len(level["methods"]) == 1:
            continue
        test = level["unpaired_minus_paired"]["mae_hu_in_mask"]
        low, high = test["interval"]
        print(
            f"{'':<12}unpaired - paired: {test['mean']:+.1f} HU (95 % {low:+.1f} to {high:+.1f}), paired t-test "
            f"p = {test['t_test_p']:.2g}, Wilcoxon p = {test['wilcoxon_p']:.2g}"
        )


if __name__ == "__main__":
    main()
